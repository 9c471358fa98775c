package kernel

// What one goroutine does to a piece of a tensor: for callers that divide the
// work themselves. The results are those of the parallel functions.

// AbsMeanBlock is how many elements AbsMean sums in float32 lanes before
// their sum joins the float64 total.
const AbsMeanBlock = absMeanBlock

// AbsSums writes the sum of |x| of each block of AbsMeanBlock elements, the
// last of which may be shorter: AbsMean is their sum in order, divided by the
// number of elements, rounded to F, at least 1e-5. sums has one element for
// each block.
func AbsSums[F Float](sums []float64, x []F) {
	own := taskSpace()
	defer own.release()
	lanes := floats[F](own, absMeanLanes)
	for b := range sums {
		sums[b] = absSum(lanes, x[b*absMeanBlock:min(len(x), (b+1)*absMeanBlock)])
	}
}

// AbsMaxSpan returns the largest |x|, 0 for none, and NaN if any is.
func AbsMaxSpan[F Float](x []F) F { return absMax(x) }

// QuantizeSpan writes codes[i] = clamp(round(x[i]*inv), lo, hi), half to
// even; NaN gives 0. lo and hi are integers within the range of int8.
func QuantizeSpan[F Float](codes []int8, x []F, inv, lo, hi F) {
	quantize8(codes[:len(x)], x, inv, lo, hi)
}

// DequantizeSpan writes x[i] = F(codes[i]) * scale.
func DequantizeSpan[F Float](x []F, codes []int8, scale F) {
	dequantize8(x[:len(codes)], codes, scale)
}

// DecodeFloat16Span is DecodeFloat16 for one goroutine.
func DecodeFloat16Span(dst []float32, src []uint16) { decodeHalf(dst[:len(src)], src) }

// RoundFloat16 rounds v to the nearest binary16 number, half to even: an
// infinity beyond 65519.
func RoundFloat16(v float32) float32 { return float16Value(float16Bits(v)) }
