package quant

import (
	"math"

	"trefoil/internal/kernel"
)

// Quantizers whose scale is learned with the weights: their forward rules and
// the gradients that the papers give them. x, y, dx and dy are row-major
// tensors of one shape, divided into groups by a [Layout]; steps, alphas and
// their gradients have one element for each group. Nothing is allocated.

// LSQStep returns the step that LSQ begins with, for weights of that mean|W|:
// 2 mean|W| / sqrt(top) (Esser et al. 2020, arXiv:1902.08153, section 2.1,
// unnumbered).
func LSQStep(absMean float32, g Grid) float32 {
	return float32(2 * float64(absMean) / math.Sqrt(float64(g.Max)))
}

// LSQGradScale returns what LSQ multiplies a step's gradient by, so that steps
// learn as fast as weights: 1/sqrt(n top) for a group of n weights
// (arXiv:1902.08153, section 2.2, unnumbered).
func LSQGradScale(n int, g Grid) float64 { return 1 / math.Sqrt(float64(n)*float64(g.Max)) }

// LSQForward writes y = round(clip(x/step, g.Min, g.Max)) * step
// (arXiv:1902.08153, equations 1 and 2).
func LSQForward[F kernel.Float](y, x, steps []F, l Layout, g Grid) {
	eachRun(l, func(group, lo, hi int) {
		step := steps[group]
		inv := 1 / step
		for i := lo; i < hi; i++ {
			y[i] = F(math.RoundToEven(float64(min(max(x[i]*inv, F(g.Min)), F(g.Max))))) * step
		}
	})
}

// LSQBackward writes the gradients of LSQForward, dy being that of y: with
// v = x/step, dx = dy where g.Min < v < g.Max and 0 elsewhere, and dsteps the
// sum over the group of dy times
//
//	round(v) - v inside, g.Min below, g.Max above
//
// (arXiv:1902.08153, equations 3 and 5), times [LSQGradScale] of the group.
func LSQBackward[F kernel.Float](dx, dsteps, dy, x, steps []F, l Layout, g Grid) {
	clear(dsteps)
	top, bottom := F(g.Max), F(g.Min)
	eachRun(l, func(group, lo, hi int) {
		inv, sum := 1/steps[group], F(0)
		for i := lo; i < hi; i++ {
			v := x[i] * inv
			dx[i] = 0
			switch {
			case v <= bottom:
				sum += F(dy[i] * bottom)
			case v >= top:
				sum += F(dy[i] * top)
			default:
				dx[i] = dy[i]
				sum += F(dy[i] * (F(math.RoundToEven(float64(v))) - v))
			}
		}
		dsteps[group] += sum
	})
	scaleAll(dsteps, LSQGradScale(l.Size(), g))
}

// seqClip is where SEQ stops the gradient, in units of alpha: a hundredth
// inside the range, as in the authors' implementation.
const seqClip = 0.99

// SEQStep returns the scale of SEQ's codes for the range [-alpha, alpha] that
// it learns: 2 alpha/3 for 1.58 bits, alpha/2^bits for more, where the codes
// are odd (ParetoQ, Liu et al. 2025, arXiv:2502.02631, section on the stretched
// elastic quantizer: the levels divide the range evenly, and lie in the middle
// of their parts).
func SEQStep[F kernel.Float](alpha F, bits float64) F {
	if bits == Ternary {
		return alpha / 1.5
	}
	return alpha / F(int(1)<<int(bits))
}

// seqLevels returns the levels in half a range and how far they are moved.
func seqLevels(bits float64) (levels, shift float64) {
	if bits == Ternary {
		return 1.5, 0
	}
	return float64(int(1) << (int(bits) - 1)), 0.5
}

// seqLevel returns the level of v = x/alpha, in units of alpha.
func seqLevel(v, levels, shift float64) float64 {
	v = min(max(v, -seqClip), seqClip)
	return (math.RoundToEven(float64(v*levels)-shift) + shift) / levels
}

// SEQForward writes y = alpha (round(clip(x/alpha) k/2 - s) + s) 2/k, with k
// levels, 3 for 1.58 bits and 2^bits for 2 bits and more, and s = 0 for 3
// levels, 1/2 for more (arXiv:2502.02631, section on the stretched elastic
// quantizer).
func SEQForward[F kernel.Float](y, x, alphas []F, l Layout, bits float64) {
	levels, shift := seqLevels(bits)
	eachRun(l, func(group, lo, hi int) {
		alpha := alphas[group]
		for i := lo; i < hi; i++ {
			y[i] = F(seqLevel(float64(x[i]/alpha), levels, shift)) * alpha
		}
	})
}

// SEQBackward writes the gradients of SEQForward: with v = x/alpha, dx = dy
// where |v| <= 0.99 and 0 elsewhere, and dalphas the sum over the group of dy
// times level(v) - v inside and the outermost level beyond
// (arXiv:2502.02631, the derivative of the same formula), times [LSQGradScale]
// of the whole tensor with the largest code of that many bits, 1 for 1.58. (The
// authors' code takes 1 for the outermost ternary level too; the formula, and
// this, 2/3.)
func SEQBackward[F kernel.Float](dx, dalphas, dy, x, alphas []F, l Layout, bits float64) {
	clear(dalphas)
	levels, shift := seqLevels(bits)
	outermost := F((levels - shift) / levels)
	top := 1
	if bits == Ternary {
		outermost = F(1 / levels)
	} else {
		top = MaxCode(int(bits))
	}
	eachRun(l, func(group, lo, hi int) {
		alpha, sum := alphas[group], F(0)
		for i := lo; i < hi; i++ {
			v := x[i] / alpha
			dx[i] = 0
			switch {
			case v < -seqClip:
				sum -= F(dy[i] * outermost)
			case v > seqClip:
				sum += F(dy[i] * outermost)
			default:
				dx[i] = dy[i]
				sum += F(dy[i] * (F(seqLevel(float64(v), levels, shift)) - v))
			}
		}
		dalphas[group] += sum
	})
	scaleAll(dalphas, LSQGradScale(l.Groups*l.Size(), Grid{Max: top}))
}

// PACTForward writes y = clip(x, 0, alpha), the activation whose clip is
// learned (Choi et al. 2018, arXiv:1805.06085, equation 1). What follows it
// covers [0, alpha].
func PACTForward[F kernel.Float](y, x []F, alpha F) {
	for i, v := range x {
		y[i] = min(max(v, 0), alpha)
	}
}

// PACTBackward writes dx = dy where 0 < x < alpha and 0 elsewhere, and returns
// the gradient of alpha, the sum of dy where x >= alpha (arXiv:1805.06085,
// equation 3).
func PACTBackward[F kernel.Float](dx, dy, x []F, alpha F) (dalpha F) {
	for i, v := range x {
		dx[i] = 0
		switch {
		case v >= alpha:
			dalpha += dy[i]
		case v > 0:
			dx[i] = dy[i]
		}
	}
	return dalpha
}

// eachRun calls body with each run of consecutive elements of each group.
func eachRun(l Layout, body func(group, lo, hi int)) {
	for g := range l.Groups {
		for r := range l.Runs {
			lo := l.Start(g) + r*l.Stride
			body(g, lo, lo+l.Run)
		}
	}
}

func scaleAll[F kernel.Float](x []F, by float64) {
	for i := range x {
		x[i] *= F(by)
	}
}
