package kernel

// integerKernels are the loops that one level has in assembly. Where a length
// n is given it is a positive multiple of 32; each is documented where the
// assembly is declared.
type integerKernels struct {
	ternary, unpacked ternaryTiles

	grad wordTiles

	unpackPanel     func(dst, panel *byte, blocks int)
	packFour        func(panel *byte, codes *int8, ld, pairs int)
	sumBytes        func(x *int8, n int) int32
	interleaveBytes func(dst *int16, src *int8, ld, pairs int)
	interleaveWords func(dst, src *int16, ld, pairs int)

	scaleTile     func(y *float32, ldy int, sums, offsets *int32, scales *float32, rows, n int)
	foldTile      func(y *float32, ldy int, sums *int32, scales *float32, rows, n int)
	addScaledSums func(y *float32, sums *int32, scale float32, n int)

	minMaxKeys        func(x *float32, n int) (lo, hi int32)
	absMax            func(x *float32, n int) float32
	absMaxScaled      func(amax, x *float32, scale float32, n int)
	addAbsLanes       func(lanes, x *float32, n int)
	quantize8         func(codes *int8, x *float32, inv, lo, hi float32, n int)
	quantize16        func(codes *int16, x *float32, inv float32, n int)
	quantizeColumns16 func(codes *int16, x, inv *float32, scale float32, n int)
	dequantize8       func(x *float32, codes *int8, scale float32, n int)
	blend8            func(y, x *float32, codes *int8, scale, lambda float32, n int)
	prefetch          func(x *float32, ld, rows, n int)
	encodeHalf        func(dst *uint16, src *float32, n int)
	decodeHalf        func(dst *float32, src *uint16, n int)
}

// integers returns the kernels of the active level, nil for Portable.
func integers() *integerKernels { return integerLevels[Active()] }

// vectorPart splits n elements of x into those that assembly does, a multiple
// of 32, and the rest. With assembly it returns its kernels and x in float32;
// without (Portable, float64, or too few elements) n is 0.
func vectorPart[F Float](x []F) (k *integerKernels, x32 []float32, n int) {
	k = integers()
	if k == nil {
		return nil, nil, 0
	}
	x32, ok := any(x).([]float32)
	if !ok {
		return nil, nil, 0
	}
	return k, x32, len(x) &^ 31
}

// absMax returns the largest |x[i]|, 0 for none, and NaN if any is.
func absMax[F Float](x []F) F {
	k, x32, n := vectorPart(x)
	if n == 0 {
		return absMaxPortable(x)
	}
	return max(F(k.absMax(&x32[0], n)), absMaxPortable(x[n:]))
}

// absMaxScaled raises amax[i] to |g[i]*scale|.
func absMaxScaled[F Float](amax, g []F, scale F) {
	k, g32, n := vectorPart(g)
	if n > 0 {
		k.absMaxScaled(&f32(amax)[0], &g32[0], float32(scale), n)
	}
	absMaxScaledPortable(amax[n:], g[n:], scale)
}

// addAbsLanes adds |x[i]| to lanes[i mod 32] for the whole groups of 32 in x,
// and returns how many elements that was.
func addAbsLanes[F Float](lanes, x []F) int {
	k, x32, n := vectorPart(x)
	if n == 0 {
		return addAbsLanesPortable(lanes, x)
	}
	k.addAbsLanes(&f32(lanes)[0], &x32[0], n)
	return n
}

// quantize8 writes codes[i] = round(clamp(x[i]*inv, lo, hi)), 0 for NaN.
func quantize8[F Float](codes []int8, x []F, inv, lo, hi F) {
	k, x32, n := vectorPart(x)
	if n > 0 {
		k.quantize8(&codes[:n][0], &x32[0], float32(inv), float32(lo), float32(hi), n)
	}
	quantize8Portable(codes[n:], x[n:], inv, lo, hi)
}

// quantize16 writes codes[i] = round(clamp(x[i]*inv, -32767, 32767)), 0 for
// NaN.
func quantize16[F Float](codes []int16, x []F, inv F) {
	k, x32, n := vectorPart(x)
	if n > 0 {
		k.quantize16(&codes[:n][0], &x32[0], float32(inv), n)
	}
	quantize16Portable(codes[n:], x[n:], inv)
}

// quantizeColumns16 does the same with g[i]*scale and an inverse a column.
func quantizeColumns16[F Float](codes []int16, g, inv []F, scale F) {
	k, g32, n := vectorPart(g)
	if n > 0 {
		k.quantizeColumns16(&codes[:n][0], &g32[0], &f32(inv)[:n][0], float32(scale), n)
	}
	quantizeColumns16Portable(codes[n:], g[n:], inv[n:], scale)
}

// dequantize8 writes x[i] = codes[i]*scale.
func dequantize8[F Float](x []F, codes []int8, scale F) {
	k, x32, n := vectorPart(x)
	if n > 0 {
		k.dequantize8(&x32[0], &codes[:n][0], float32(scale), n)
	}
	dequantize8Portable(x[n:], codes[n:], scale)
}

// blend8 writes y[i] = x[i] + lambda*(codes[i]*scale-x[i]).
func blend8[F Float](y, x []F, codes []int8, scale, lambda F) {
	k, x32, n := vectorPart(x)
	if n > 0 {
		k.blend8(&f32(y[:n])[0], &x32[0], &codes[:n][0], float32(scale), float32(lambda), n)
	}
	blend8Portable(y[n:], x[n:], codes[n:], scale, lambda)
}

// prefetch brings n columns of some rows of x, ld apart, towards the processor.
// A product asks so for its outputs: written without, each of their cache lines
// would be waited for.
func prefetch[F Float](k *integerKernels, x []F, ld, rows, n int) {
	if x32, ok := any(x).([]float32); ok {
		k.prefetch(&x32[0], ld, rows, n)
	}
}

// A sumsTile is up to tileRows rows of integer sums, stripCols apart, of which
// n columns become floats in rows of y, ldy apart.
type sumsTile[F Float] struct {
	y       []F
	ldy     int
	sums    []int32
	rows, n int
}

// zeroOffsets are the offsets of signed codes.
var zeroOffsets [tileRows]int32

// line returns the first row of y, and panics unless y and sums hold the tile.
func (t sumsTile[F]) line() []F {
	_, _ = t.y[(t.rows-1)*t.ldy+t.n-1], t.sums[(t.rows-1)*stripCols+t.n-1]
	return t.y[:t.n]
}

// scale writes y = F(sums-offset)*scale, with an offset and a scale a row.
func (t sumsTile[F]) scale(offsets []int32, scales []F) {
	k, y32, n := vectorPart(t.line())
	if n > 0 {
		k.scaleTile(&y32[0], t.ldy, &t.sums[0], &offsets[0], &f32(scales)[0], t.rows, n)
	}
	for r := range t.rows {
		scaleSumsPortable(t.y[r*t.ldy:][n:t.n], t.sums[r*stripCols:][n:t.n], offsets[r], scales[r])
	}
}

// fold writes y = (y+F(sums))*scale, with a scale a row.
func (t sumsTile[F]) fold(scales []F) {
	k, y32, n := vectorPart(t.line())
	if n > 0 {
		k.foldTile(&y32[0], t.ldy, &t.sums[0], &f32(scales)[0], t.rows, n)
	}
	for r := range t.rows {
		foldSumsPortable(t.y[r*t.ldy:][n:t.n], t.sums[r*stripCols:][n:t.n], scales[r])
	}
}

// addScaledSums adds F(sums)*scale to y.
func addScaledSums[F Float](y []F, sums []int32, scale F) {
	k, y32, n := vectorPart(y)
	if n > 0 {
		k.addScaledSums(&y32[0], &sums[:n][0], float32(scale), n)
	}
	addScaledSumsPortable(y[n:], sums[n:], scale)
}

func encodeHalf(dst []uint16, src []float32) {
	k, _, n := vectorPart(src)
	if n > 0 {
		k.encodeHalf(&dst[:n][0], &src[0], n)
	}
	encodeHalfPortable(dst[n:], src[n:])
}

func decodeHalf(dst []float32, src []uint16) {
	k, _, n := vectorPart(dst)
	if n > 0 {
		k.decodeHalf(&dst[0], &src[:n][0], n)
	}
	decodeHalfPortable(dst[n:], src[n:])
}
