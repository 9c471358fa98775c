package quant

import (
	"fmt"
	"math"
	"slices"

	"trefoil/internal/kernel"
)

// Ternarize writes the codes in {-1, 0, 1} of the weights w, as long as w,
// and returns their scale by the rule, absmean or median: w is represented by
// code * gamma. The scale is at least 1e-5, and NaN, with codes that mean
// nothing, when w holds a NaN: what training shows in its loss. A [Scalar]
// gives the same codes and scale, and an error. It panics on fewer codes than
// weights.
func Ternarize[F kernel.Float](codes []int8, w []F, rule Scale) F {
	if len(codes) < len(w) {
		panic(fmt.Sprintf("quant: Ternarize: room for %d codes of %d weights: give as many", len(codes), len(w)))
	}
	g := gamma(rule, w)
	kernel.Ternarize(codes, w, g)
	return g
}

// Gamma returns the scale of the weights w by the rule, absmean or median: at
// least 1e-5, NaN when w holds a NaN.
func (s Scale) Gamma(w []float32) float32 { return gamma(s, w) }

func gamma[F kernel.Float](s Scale, w []F) F {
	if s == Median {
		return medianAbs(w)
	}
	return kernel.AbsMean(w)
}

// medianAbs returns the lower median of |w|, at least 1e-5.
func medianAbs[F kernel.Float](w []F) F {
	if len(w) == 0 {
		return minScale
	}
	a := make([]F, len(w))
	for i, v := range w {
		if v != v {
			return v
		}
		a[i] = max(v, -v)
	}
	return max(selectKth(a, (len(a)-1)/2), minScale)
}

// twnFactor is the threshold of TWN in units of mean|W|
// (arXiv:1605.04711, section on the threshold-based ternary function).
const twnFactor = 0.7

// threshold returns the parameters of the rules with a threshold. Their scale
// is the mean of the magnitudes above it.
func (w *work) threshold(s *scratch, v view) (p params, err error) {
	if w.rule == Optimal {
		return w.optimal(s, v)
	}
	m := absSum
	if w.rule == TTQ {
		m = absMax
	}
	t, err := w.measure(s, &v, m, 0)
	if err != nil {
		return p, err
	}
	p.cut = float32(w.q.config.Threshold * float64(t.hi))
	if m == absSum {
		p.cut = float32(twnFactor * t.sum / float64(v.size()))
	}
	kept, err := w.measure(s, &v, above, p.cut)
	p.scale = max(float32(kept.sum/float64(max(1, kept.count))), minScale)
	return p, err
}

// optimal returns the threshold and scale of the least squared error. With k
// magnitudes of sum S kept the error is sum W^2 - S^2/k, and a threshold keeps
// all of several equal magnitudes or none. Small groups are sorted.
func (w *work) optimal(s *scratch, v view) (params, error) {
	top, err := w.measure(s, &v, absMax, 0)
	if err != nil || !(top.hi <= math.MaxFloat32) {
		return params{scale: top.hi}, err
	}
	if v.size() > taskSize {
		return w.optimalByKeys(s, &v)
	}
	s.copy = resize(s.copy, v.size())
	for i := range v.blocks() {
		for j, x := range v.block(s.x, i) {
			s.copy[i*block+j] = max(x, -x)
		}
	}
	slices.Sort(s.copy)
	return bestThreshold(s.copy), nil
}

// bestThreshold returns the cut and scale of the least squared error for
// magnitudes in ascending order.
func bestThreshold(a []float32) params {
	p := params{scale: minScale}
	sum, best := 0.0, 0.0
	for i := len(a) - 1; i >= 0; i-- {
		sum += float64(a[i])
		k := float64(len(a) - i)
		if i > 0 && a[i-1] == a[i] || sum*sum/k <= best {
			continue
		}
		best = sum * sum / k
		p.scale, p.cut = max(float32(sum/k), minScale), 0
		if i > 0 {
			p.cut = a[i-1]
		}
	}
	return p
}
