package kernel

import "math"

// The portable loops: what the kernels of each level must equal, bit for bit.
// Where Go may fuse a product and a sum, a conversion keeps them apart.

func abs[F Float](x F) F { return F(math.Abs(float64(x))) }

// absMaxPortable returns the largest |x[i]|, 0 for none, and NaN if any is.
func absMaxPortable[F Float](x []F) F {
	var amax F
	for _, v := range x {
		amax = max(amax, abs(v))
	}
	return amax
}

// roundClamp rounds v half to even, within [lo, hi]; NaN gives 0.
func roundClamp[F Float](v, lo, hi F) F {
	if v != v {
		return 0
	}
	return F(math.RoundToEven(float64(min(max(v, lo), hi))))
}

func quantize8Portable[F Float](codes []int8, x []F, inv, lo, hi F) {
	for i, v := range x {
		codes[i] = int8(roundClamp(v*inv, lo, hi))
	}
}

func quantize16Portable[F Float](codes []int16, x []F, inv F) {
	for i, v := range x {
		codes[i] = int16(roundClamp(v*inv, -maxGrad, maxGrad))
	}
}

func absMaxScaledPortable[F Float](amax, g []F, scale F) {
	for c, v := range g {
		amax[c] = max(amax[c], abs(v*scale))
	}
}

func quantizeColumns16Portable[F Float](codes []int16, g, inv []F, scale F) {
	for c, v := range g {
		codes[c] = int16(roundClamp(F(v*scale)*inv[c], -maxGrad, maxGrad))
	}
}

func dequantize8Portable[F Float](x []F, codes []int8, scale F) {
	for i, c := range codes {
		x[i] = F(c) * scale
	}
}

func blend8Portable[F Float](y, x []F, codes []int8, scale, lambda F) {
	for i, v := range x {
		y[i] = v + F(lambda*(F(F(codes[i])*scale)-v))
	}
}

// addAbsLanesPortable adds |x[i]| to lanes[i mod 32] for the whole groups of
// 32 in x, and returns how many elements that was.
func addAbsLanesPortable[F Float](lanes []F, x []F) int {
	whole := len(x) &^ (absMeanLanes - 1)
	for i := 0; i < whole; i += absMeanLanes {
		for j, v := range x[i : i+absMeanLanes] {
			lanes[j] += abs(v)
		}
	}
	return whole
}

// scaleSumsPortable computes y = F(sum-offset)*scale.
func scaleSumsPortable[F Float](y []F, sums []int32, offset int32, scale F) {
	for i, s := range sums {
		y[i] = F(s-offset) * scale
	}
}

// addScaledSumsPortable computes y += F(sum)*scale.
func addScaledSumsPortable[F Float](y []F, sums []int32, scale F) {
	for i, s := range sums {
		y[i] += F(F(s) * scale)
	}
}

// foldSumsPortable computes y = (y+F(sum))*scale.
func foldSumsPortable[F Float](y []F, sums []int32, scale F) {
	for i, s := range sums {
		y[i] = (y[i] + F(s)) * scale
	}
}
