package convert

import (
	"math"

	"trefoil/internal/kernel"
)

// learnable returns weights whose mean magnitude is the scale of the ternary
// ones given, so that rounding gives the same codes and scale: see the package
// comment. ok is false, and w returned as it is, if it is not ternary with one
// scale.
func learnable(w []float32) (out []float32, ok bool) {
	gamma, used, ok := ternaryScale(w)
	if !ok || used == 0 {
		return w, ok
	}
	// A little less than needed, so that one element can make up for it.
	magnitude := float32(float64(gamma) * float64(len(w)) / float64(used) * (1 - 0x1p-22))
	out = make([]float32, len(w))
	last := 0
	for i, v := range w {
		if v != 0 {
			out[i] = float32(math.Copysign(float64(magnitude), float64(v)))
			last = i
		}
	}
	correct(out, last, gamma)
	return out, true
}

// ternaryScale returns the one magnitude of the elements that are not zero,
// and their number.
func ternaryScale(w []float32) (gamma float32, used int, ok bool) {
	for _, v := range w {
		v = max(v, -v)
		switch {
		case v == 0:
			continue
		case gamma == 0:
			gamma = v
		case v != gamma:
			return 0, 0, false
		}
		used++
	}
	return gamma, used, true
}

// correct changes the element at i until the mean magnitude of w is gamma to
// the last bit, or, where the sum of few elements is too coarse for that, next
// to it. Each step makes up for the error of the mean, which is rounded along
// the way. The element's code does not change with it.
func correct(w []float32, i int, gamma float32) {
	best, least := w[i], float32(math.Inf(1))
	for range 16 {
		mean := kernel.AbsMean(w)
		if off := max(mean-gamma, gamma-mean); off < least {
			best, least = w[i], off
		}
		magnitude := math.Abs(float64(w[i])) + (float64(gamma)-float64(mean))*float64(len(w))
		if least == 0 || magnitude < 0.75*float64(gamma) {
			break
		}
		w[i] = float32(math.Copysign(magnitude, float64(best)))
	}
	w[i] = best
}
