package quant

import (
	"fmt"
	"math"

	"trefoil/internal/kernel"
)

// params is how a group is encoded.
type params struct {
	scale float32
	inv   float32 // what an element is multiplied by, 1/scale but for rounding
	zero  float32 // zero point
	cut   float32 // threshold of the code 0; centre of a binary grid
}

// params returns the parameters of the group g, whose elements are v.
func (w *work) params(s *scratch, v view, g int) (params, error) {
	var p params
	var err error
	switch w.rule {
	case Static:
		p, err = w.static(s, v, g)
	case AbsMean, Median, RMS, Centred, LSQ, SEQ:
		p, err = w.gamma(s, v)
	case TWN, TTQ, Optimal:
		p, err = w.threshold(s, v)
	default:
		p, err = w.covering(s, v)
	}
	if err != nil {
		return p, err
	}
	if !(p.scale <= math.MaxFloat32) || p.inv != p.inv || p.cut-p.cut != 0 {
		return p, w.complain(s, v, g)
	}
	if w.rule != Static {
		if p, err = w.q.inType(p, g); err != nil {
			return p, err
		}
	}
	if !w.q.grid.fits(p) {
		return p, w.complain(s, v, g)
	}
	return p, nil
}

// fits reports whether the value of every code is finite.
func (g Grid) fits(p params) bool {
	reach := max(p.zero-float32(g.Min), float32(g.Max)-p.zero)
	return p.scale*reach <= math.MaxFloat32
}

// static takes the parameters that are there already.
func (w *work) static(s *scratch, v view, g int) (params, error) {
	p := params{scale: w.t.Scales[g]}
	if p.inv = 1 / p.scale; !(p.scale > 0 && p.scale <= math.MaxFloat32 && p.inv <= math.MaxFloat32) {
		return p, fmt.Errorf("quantizing: the scale of group %d is %v: give a positive number of a finite inverse", g, p.scale)
	}
	if t := w.q.config.ScaleType; !t.Holds(p.scale) {
		return p, fmt.Errorf("quantizing: the scale of group %d, %v, is no %s: round it as Config.Cover does, or leave scale_type out", g, p.scale, t)
	}
	if len(w.t.Zeros) > 0 {
		p.zero = float32(w.t.Zeros[g])
	}
	top, err := w.measure(s, &v, absMax, 0)
	p.cut = top.hi - top.hi // 0, but NaN if an element is not finite
	return p, err
}

// gamma returns the parameters of the rules that give a scale.
func (w *work) gamma(s *scratch, v view) (p params, err error) {
	n := float64(v.size())
	var g float32
	switch w.rule {
	case Median:
		g, err = w.rank(s, v, (v.size()-1)/2)
	case RMS:
		t, e := w.measure(s, &v, moments, 0)
		g, err = float32(math.Sqrt(t.squares/n)), e
	case SEQ:
		t, e := w.measure(s, &v, absMax, 0)
		g, err = max(t.hi, minScale), e
		g = SEQStep(g, w.q.config.Bits)
	default:
		t, e := w.measure(s, &v, absSum, 0)
		g, err = float32(t.sum/n), e
	}
	switch w.rule {
	case Centred:
		t, e := w.measure(s, &v, moments, 0)
		p.cut, err = float32(t.sum/n), e
	case LSQ:
		g = LSQStep(g, w.q.grid)
	}
	p.scale = max(g, minScale)
	p.inv = 1 / p.scale
	return p, err
}

// covering returns the parameters of the rules that give a range.
func (w *work) covering(s *scratch, v view) (params, error) {
	lo, hi, err := w.bounds(s, v)
	if w.q.config.Scheme == Affine {
		return affine(lo, hi, w.q.grid), err
	}
	return symmetric(max(-lo, hi), w.q.grid), err
}

// Cover returns the scale and zero point with which the codes of c cover the
// values from lo <= 0 to hi >= 0: the static parameters of calibration. It
// fails on a configuration that is not valid, or not of a uniform grid.
func (c Config) Cover(lo, hi float32) (scale float32, zero int8, err error) {
	if !(lo <= 0 && hi >= 0 && hi-lo <= math.MaxFloat32) {
		return 0, 0, fmt.Errorf("covering %v to %v: give a finite range around 0", lo, hi)
	}
	q, err := New(c)
	if err != nil {
		return 0, 0, err
	}
	if c = q.config; c.Bits < 2 || c.Scale == SEQ {
		return 0, 0, fmt.Errorf("covering a range: a grid of %v bits with the scale %s is not uniform: use 2 bits or more, and another scale than seq", c.Bits, c.Scale)
	}
	p := symmetric(max(-lo, hi), q.grid)
	if q.config.Scheme == Affine {
		p = affine(lo, hi, q.grid)
	}
	p, err = q.inType(p, 0)
	return p.scale, int8(p.zero), err
}

// symmetric covers [-a, a]: scale = a/top, inv = top/a.
func symmetric(a float32, grid Grid) params {
	a, top := max(a, minScale), float32(grid.Max)
	return params{scale: a / top, inv: top / a}
}

// affine covers [lo, hi], lo <= 0 <= hi, with scale = (hi-lo)/(levels-1) and
// zero = clamp(min - round(lo/scale)), in float32 as PyTorch's observers do.
func affine(lo, hi float32, grid Grid) params {
	steps := float32(grid.Levels() - 1)
	scale := (hi - lo) / steps
	if math.IsInf(float64(hi-lo), 0) { // the width overflows, not the step
		scale = hi/steps - lo/steps
	}
	scale = max(scale, minScale/steps)
	return params{scale: scale, inv: 1 / scale, zero: zeroPoint(lo, scale, grid)}
}

func zeroPoint(lo, scale float32, grid Grid) float32 {
	zero := float64(grid.Min) - math.RoundToEven(float64(lo/scale))
	return float32(min(max(zero, float64(grid.Min)), float64(grid.Max)))
}

const smallestFloat16 = 1.0 / (1 << 24)

// inType rounds the scale to its type.
func (q *Scalar) inType(p params, g int) (params, error) {
	if q.config.ScaleType == Float32 {
		return p, nil
	}
	exact := p.scale
	p.scale = q.config.ScaleType.round(exact)
	if math.IsInf(float64(p.scale), 0) {
		return p, fmt.Errorf("quantizing: the scale of group %d, %v, is too large for %s: use float32, or make the weights smaller", g, exact, q.config.ScaleType)
	}
	p.inv = 1 / p.scale
	if q.config.Scheme == Affine {
		lowest := (float32(q.grid.Min) - p.zero) * exact
		p.zero = zeroPoint(lowest, p.scale, q.grid)
	}
	return p, nil
}

// round returns a positive scale in the type, infinite if it is too large.
func (t ScaleType) round(scale float32) float32 {
	switch t {
	case Float16:
		return max(kernel.RoundFloat16(scale), smallestFloat16)
	case PowerOfTwo:
		return ceilPowerOfTwo(scale)
	}
	return scale
}

// Holds reports whether a positive scale is a number of the type. The empty
// string means float32, which holds all.
func (t ScaleType) Holds(scale float32) bool { return t.round(scale) == scale }

// ceilPowerOfTwo returns the least power of two that is not below a positive
// scale.
func ceilPowerOfTwo(scale float32) float32 {
	fraction, exponent := math.Frexp(float64(scale)) // fraction in [1/2, 1)
	if fraction == 0.5 {
		exponent--
	}
	return float32(math.Ldexp(1, exponent))
}

// complain says why the group g has no scale.
func (w *work) complain(s *scratch, v view, g int) error {
	for i := range v.blocks() {
		for j, x := range v.block(s.x, i) {
			if x-x != 0 {
				k := i*block + j
				return fmt.Errorf("quantizing: element %d of group %d is %v: only finite numbers have a code", k, g, x)
			}
		}
	}
	return fmt.Errorf("quantizing: the grid of group %d overflows float32: divide the numbers, or the scales given, by a power of two first", g)
}
