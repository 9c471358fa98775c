package kernel

import "math"

// clampMin is the least gamma and the least row maximum that quantization
// divides by, as in the BitNet b1.58 reference (Ma et al. 2024).
const clampMin = 1e-5

// absMeanBlock elements are summed in float lanes before their sum joins the
// float64 total; absMeanLanes is the number of those lanes.
const (
	absMeanBlock = 4096
	absMeanLanes = 32
)

// AbsMean returns gamma = max(mean|w|, 1e-5), the scale of a ternary weight
// matrix, and NaN when w holds a NaN. The order of the sum is fixed: element i
// of a block of 4096 goes to lane i mod 32, the lanes of a block are folded in
// halves (lane j + lane j+16, then 8, 4, 2, 1), and the block sums are added
// in order in float64, divided by len(w) and rounded to F.
func AbsMean[F Float](w []F) F {
	if len(w) == 0 {
		return clampMin
	}
	blocks := (len(w) + absMeanBlock - 1) / absMeanBlock
	buf := callSpace()
	defer buf.release()
	sums := grow(&buf.float64, blocks)
	chunks(blocks, 8, func(lo, hi int) {
		own := taskSpace()
		defer own.release()
		lanes := floats[F](own, absMeanLanes)
		for b := lo; b < hi; b++ {
			sums[b] = absSum(lanes, w[b*absMeanBlock:min(len(w), (b+1)*absMeanBlock)])
		}
	})
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return max(F(total/float64(len(w))), clampMin)
}

// absSum returns the sum of |x| over one block of AbsMean, with lanes to work
// in.
func absSum[F Float](lanes, x []F) float64 {
	clear(lanes)
	done := addAbsLanes(lanes, x)
	for i, v := range x[done:] {
		lanes[i] += abs(v)
	}
	for half := absMeanLanes / 2; half > 0; half /= 2 {
		for j := range half {
			lanes[j] += lanes[j+half]
		}
	}
	return float64(lanes[0])
}

// Ternarize writes codes[i] = clamp(round(w[i]*(1/gamma)), -1, 1), rounding
// half to even. A NaN in w, or as gamma, gives code 0.
func Ternarize[F Float](codes []int8, w []F, gamma F) {
	quantizeAll(codes, w, 1/gamma, -1, 1)
}

// QuantizeRows quantizes every row of x [rows, cols] with its own scale:
//
//	a = max(max|x|, 1e-5), scale = a/qmax, inv = qmax/a
//	code = clamp(round(x*inv), -qmax-1, qmax), half to even
//
// scales is [rows] and codes [rows, cols]; qmax is 2^(bits-1)-1, at most 127.
// A row that holds a NaN gets codes 0 and scale NaN; else a row that holds an
// infinity gets codes 0 and scale +Inf: either shows in the product.
func QuantizeRows[F Float](codes []int8, scales []F, x []F, rows, cols, qmax int) {
	codes, scales, x = codes[:rows*cols], scales[:rows], x[:rows*cols]
	chunks(rows, rowGrain(cols), func(from, to int) {
		for r := from; r < to; r++ {
			scales[r] = quantizeRow(codes[r*cols:(r+1)*cols], x[r*cols:(r+1)*cols], qmax)
		}
	})
}

func quantizeRow[F Float](codes []int8, x []F, qmax int) (scale F) {
	lo, hi := F(-qmax-1), F(qmax)
	a := max(absMax(x), clampMin)
	quantize8(codes, x, hi/a, lo, hi)
	return a / hi
}

// QuantizeRowsStatic quantizes x [rows, cols] with one scale that is known
// beforehand: code = clamp(round(x*(1/scale)), -qmax-1, qmax), half to even.
// Infinities clamp; a NaN gives code 0.
func QuantizeRowsStatic[F Float](codes []int8, x []F, rows, cols int, scale F, qmax int) {
	quantizeAll(codes[:rows*cols], x[:rows*cols], 1/scale, F(-qmax-1), F(qmax))
}

func quantizeAll[F Float](codes []int8, x []F, inv, lo, hi F) {
	codes = codes[:len(x)]
	chunks(len(x), grain, func(from, to int) {
		quantize8(codes[from:to], x[from:to], inv, lo, hi)
	})
}

// DequantizeRows writes x[r,c] = F(codes[r,c]) * scales[r] for codes
// [rows, cols].
func DequantizeRows[F Float](x []F, codes []int8, scales []F, rows, cols int) {
	x, codes, scales = x[:rows*cols], codes[:rows*cols], scales[:rows]
	chunks(rows, rowGrain(cols), func(from, to int) {
		for r := from; r < to; r++ {
			dequantize8(x[r*cols:(r+1)*cols], codes[r*cols:(r+1)*cols], scales[r])
		}
	})
}

// Blend moves x towards the values of its codes, which have one scale:
//
//	y = x + lambda*(F(code)*scale - x)
//
// with each of the four operations rounded, at every level; where lambda is 1,
// y = F(code)*scale. y may be x.
func Blend[F Float](y, x []F, codes []int8, scale, lambda F) {
	y, codes = y[:len(x)], codes[:len(x)]
	chunks(len(x), grain, func(from, to int) {
		blend(y[from:to], x[from:to], codes[from:to], scale, lambda)
	})
}

// BlendRows is [Blend] of x and codes [rows, cols] with the scales [rows] of
// the rows.
func BlendRows[F Float](y, x []F, codes []int8, scales []F, rows, cols int, lambda F) {
	y, x, codes, scales = y[:rows*cols], x[:rows*cols], codes[:rows*cols], scales[:rows]
	chunks(rows, rowGrain(cols), func(from, to int) {
		for r := from; r < to; r++ {
			lo, hi := r*cols, (r+1)*cols
			blend(y[lo:hi], x[lo:hi], codes[lo:hi], scales[r], lambda)
		}
	})
}

func blend[F Float](y, x []F, codes []int8, scale, lambda F) {
	if lambda == 1 {
		dequantize8(y, codes, scale)
		return
	}
	blend8(y, x, codes, scale, lambda)
}

// maxGrad is the largest code of a gradient; the smallest is -maxGrad, so
// that a product of 2^16 codes with ternary weights fits an int32.
const maxGrad = math.MaxInt16

// gradScale returns the scale of gradient codes whose largest magnitude is
// amax, and its inverse. Where that has no finite inverse (zero, and what is
// far below any useful gradient) both are 0, and so are the codes.
func gradScale[F Float](amax F) (scale, inv F) {
	inv = maxGrad / amax
	if math.IsInf(float64(inv), 0) {
		return 0, 0
	}
	return amax / maxGrad, inv
}

// quantizeGradRow rounds a row of a gradient to 16 bits and returns its scale:
// max|g|/32767, code = round(g*(32767/max|g|)), half to even. A NaN gives codes
// 0 and scale NaN; else an infinity codes 0 and scale +Inf.
func quantizeGradRow[F Float](codes []int16, g []F) (scale F) {
	scale, inv := gradScale(absMax(g))
	quantize16(codes, g, inv)
	return scale
}
