package quant

import "math"

// bounds returns the range of values that the codes of the group v cover:
// lo <= 0 <= hi, not finite if an element is not.
func (w *work) bounds(s *scratch, v view) (lo, hi float32, err error) {
	switch w.rule {
	case AbsMax:
		t, err := w.measure(s, &v, absMax, 0)
		return -t.hi, t.hi, err
	case MinMax:
		t, err := w.measure(s, &v, minMax, 0)
		return t.lo, t.hi, err
	case Sigma, ACIQGaussian, ACIQLaplace:
		return w.around(s, v)
	}
	t, err := w.measure(s, &v, minMax, 0)
	if top := max(-t.lo, t.hi); err != nil || !(top <= math.MaxFloat32) || top == 0 {
		return -top, top, err
	}
	switch w.rule {
	case Percentile:
		return w.percentile(s, &v)
	case KL:
		err = w.histogram(s, &v, max(-t.lo, t.hi))
		hi, s.weight = s.hist.kl(w.q.grid.Max+1, s.weight)
		return -hi, hi, err
	}
	points, err := w.points(s, &v, t.lo, t.hi) // of MSE and Entropy
	lo, hi = points.search(w.rule, w.q.config.Scheme, w.q.grid, t.lo, t.hi)
	return lo, hi, err
}

// percentile returns the bounds that leave out the given share of the values.
// A bound is an element: the ceil(share*n)-th smallest |x|, or for an affine
// grid the like of x from each end.
func (w *work) percentile(s *scratch, v *view) (lo, hi float32, err error) {
	n, share := v.size(), w.q.config.Percentile/100
	if w.q.config.Scheme == Symmetric {
		hi, err = w.kth(s, v, rankOf(share, n), byMagnitude)
		return -hi, hi, err
	}
	top := rankOf((1+share)/2, n)
	if hi, err = w.kth(s, v, top, byValue); err != nil {
		return 0, 0, err
	}
	lo, err = w.kth(s, v, n-1-top, byValue)
	return min(0, lo), max(0, hi), err
}

// rankOf returns the rank, from 0, of the element that a share of n elements
// does not exceed; the rounding of the share does not move it.
func rankOf(share float64, n int) int {
	return min(max(int(math.Ceil(share*float64(n)-1e-6))-1, 0), n-1)
}

// around returns mean +- a number of deviations, as far as there are values.
func (w *work) around(s *scratch, v view) (lo, hi float32, err error) {
	n := float64(v.size())
	t, err := w.measure(s, &v, moments, 0)
	if err != nil {
		return 0, 0, err
	}
	mean := t.sum / n
	width := math.Sqrt(max(0, t.squares/n-float64(mean*mean)))
	switch w.rule {
	case Sigma:
		width *= w.q.config.Sigmas
	case ACIQGaussian:
		width *= w.q.aciq
	case ACIQLaplace:
		t, err = w.measure(s, &v, spread, float32(mean))
		if err != nil {
			return 0, 0, err
		}
		width = w.q.aciq * t.sum / n
	}
	ends, err := w.measure(s, &v, minMax, 0)
	lo = max(min(0, float32(mean-width)), ends.lo)
	hi = min(max(0, float32(mean+width)), ends.hi)
	return lo, hi, err
}

// ACIQ returns the bound of the least expected squared error for a grid of
// 2^bits levels: in standard deviations of a normal distribution, or in mean
// absolute deviations of a Laplace distribution. With half a step's noise
// inside the bound and clipping beyond, the error falls until
//
//	normal   2 a erfc(a/sqrt 2) - 2 sqrt(2/pi) exp(-a^2/2) + 2a/(3 4^bits) = 0
//	Laplace  2a/(3 4^bits) - 2 exp(-a) = 0
//
// (Banner et al. 2019, arXiv:1810.05723: the section on analytical clipping
// has the Laplace distribution, the appendix the normal one). Other rules have
// no such bound: it is 0.
func ACIQ(rule Scale, bits float64) float64 {
	noise := 2 / (3 * math.Pow(4, bits))
	var slope func(a float64) float64
	switch rule {
	case ACIQGaussian:
		slope = func(a float64) float64 {
			return 2*a*math.Erfc(a/math.Sqrt2) - 2*math.Sqrt(2/math.Pi)*math.Exp(-a*a/2) + noise*a
		}
	case ACIQLaplace:
		slope = func(a float64) float64 { return noise*a - 2*math.Exp(-a) }
	default:
		return 0
	}
	lo, hi := 0.0, 64.0
	for range 64 {
		if mid := (lo + hi) / 2; slope(mid) < 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}
