package calib

import (
	"context"
	"fmt"
	"math"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// A Layer is a linear layer y = x w^T with calibration data to round it by.
type Layer struct {
	Weight  []float32 // [Out, In]
	Inputs  []float32 // [n, In], any number n of them
	Out, In int
}

// The constants of AdaRound: the stretch of the sigmoid (equation 23), the
// weight of the regulariser (equation 21; the paper has 0.01 for errors that are
// not divided by [adaRounding.unit]) and the range of its exponent, and
// the share of steps before it sets in.
const (
	adaZeta, adaGamma  = 1.1, -0.1
	adaLambda          = 3
	adaBetaFrom        = 20.0
	adaBetaTo          = 2.0
	adaWarmUp          = 0.2
	adaRate            = 1e-2
	adaBeta1, adaBeta2 = 0.9, 0.999
)

// AdaRound quantizes a layer's weights by c and chooses for each whether to
// round up or down, so that the layer's output on its inputs changes least
// (Nagel et al. 2020, arXiv:2004.10568, equations 21 to 24). The scales are
// those that c gives; Adam takes the given number of steps (1,000 are enough
// for small layers, the paper takes 10,000). The result is never worse on the
// inputs than rounding to nearest, which is kept where it is better. It needs
// a grid of consecutive codes and no threshold: not a binary one, twn, ttq,
// optimal, nor seq above 1.58 bits. The context is looked at in each step.
func AdaRound(ctx context.Context, layer Layer, c quant.Config, steps int) (*quant.Tensor, error) {
	nearest, err := layer.nearest(c)
	if err != nil {
		return nil, fmt.Errorf("adaround: %w", err)
	}
	if steps < 1 {
		return nil, fmt.Errorf("adaround: %d steps learn nothing: take 1000", steps)
	}
	a := newAdaRounding(layer, nearest)
	for step := range steps {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		a.step(step, steps)
	}
	return a.best(nearest), nil
}

// nearest checks the layer and rounds it to nearest.
func (l Layer) nearest(c quant.Config) (*quant.Tensor, error) {
	if l.Out < 1 || l.In < 1 || len(l.Weight) != l.Out*l.In {
		return nil, fmt.Errorf("%d weights are no matrix of %d x %d", len(l.Weight), l.Out, l.In)
	}
	if len(l.Inputs) == 0 || len(l.Inputs)%l.In != 0 {
		return nil, fmt.Errorf("%d inputs do not fill rows of %d: give at least one row", len(l.Inputs), l.In)
	}
	if i := kernel.FirstNonFinite(l.Inputs); i >= 0 {
		return nil, fmt.Errorf("input %d is %v: only finite numbers can be learned from", i, l.Inputs[i])
	}
	c.Rounding = quant.HalfEven
	q, err := quant.New(c)
	if err != nil {
		return nil, err
	}
	if q.Grid().Step != 1 || c.Scale == quant.TWN || c.Scale == quant.TTQ || c.Scale == quant.Optimal {
		return nil, fmt.Errorf("a grid of %v bits with the scale %q leaves nothing to round: use 1.58 bits with absmean, or 2 to 8", c.Bits, c.Scale)
	}
	return q.Quantize(l.Weight, l.Out, l.In)
}

// adaRounding is the state of learning: for each weight in steps of its scale
// the code below it and the variable v that decides how much is added.
type adaRounding struct {
	Layer
	grid        quant.Grid
	scale, zero []float32 // of each weight
	floor       []float32
	v, m, u     []float32 // variable, first and second moment
	gram        []float32 // [In, In] mean x x^T, up to a factor
	diff, grad  []float32 // [Out, In] change of the weights, and gram times it
}

func newAdaRounding(l Layer, t *quant.Tensor) *adaRounding {
	n := len(l.Weight)
	buf := func() []float32 { return make([]float32, n) }
	a := &adaRounding{
		Layer: l, grid: t.Grid, scale: buf(), zero: buf(), floor: buf(),
		v: buf(), m: buf(), u: buf(), diff: buf(), grad: buf(), gram: make([]float32, l.In*l.In),
	}
	rows, x := len(l.Inputs)/l.In, belowOne(l.Inputs)
	kernel.GemmTN(a.gram, x, x, l.In, l.In, rows, false)
	kernel.Scale(a.gram, 1/float32(rows))
	for g := range t.Layout.Groups {
		for r := range t.Layout.Runs {
			lo := t.Layout.Start(g) + r*t.Layout.Stride
			for i := lo; i < lo+t.Layout.Run; i++ {
				a.start(i, t, g)
			}
		}
	}
	return a
}

// belowOne returns x divided by the power of two that brings the largest |x|
// below 1, which changes no choice of codes and keeps squares from overflowing.
func belowOne(x []float32) []float32 {
	_, exponent := math.Frexp(float64(kernel.AbsMaxSpan(x)))
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(math.Ldexp(float64(v), -exponent))
	}
	return out
}

// start sets the variable of weight i so that h is the fraction that rounding
// down leaves.
func (a *adaRounding) start(i int, t *quant.Tensor, g int) {
	a.scale[i] = t.Scales[g]
	if len(t.Zeros) > 0 {
		a.zero[i] = float32(t.Zeros[g])
	}
	w := float64(a.Weight[i] / a.scale[i])
	a.floor[i] = float32(math.Floor(w))
	rest := w - math.Floor(w)
	a.v[i] = float32(-math.Log((adaZeta-adaGamma)/(rest-adaGamma) - 1))
}

// rectified returns h(v) and its derivative (equation 23).
func rectified(v float32) (h, slope float64) {
	s := 1 / (1 + math.Exp(-float64(v)))
	h = s*(adaZeta-adaGamma) + adaGamma
	if h <= 0 || h >= 1 {
		return min(max(h, 0), 1), 0
	}
	return h, s * (1 - s) * (adaZeta - adaGamma)
}

// value returns the weight that floor + h codes stand for, and whether it is
// inside the grid.
func (a *adaRounding) value(i int, h float64) (w float64, inside bool) {
	code := float64(a.floor[i]) + h
	lo, hi := float64(a.grid.Min)-float64(a.zero[i]), float64(a.grid.Max)-float64(a.zero[i])
	return min(max(code, lo), hi) * float64(a.scale[i]), code > lo && code < hi
}

// step is one step of Adam on the squared error of the output, plus the
// regulariser sum 1 - |2h-1|^beta.
func (a *adaRounding) step(step, steps int) {
	for i := range a.v {
		h, _ := rectified(a.v[i])
		w, _ := a.value(i, h)
		a.diff[i] = float32(w - float64(a.Weight[i]))
	}
	kernel.GemmNN(a.grad, a.diff, a.gram, a.Out, a.In, a.In, false)
	norm := a.unit()
	progress := (float64(step)/float64(steps) - adaWarmUp) / (1 - adaWarmUp)
	beta := adaBetaTo + (adaBetaFrom-adaBetaTo)*(1-max(progress, 0))
	fix1, fix2 := 1-math.Pow(adaBeta1, float64(step+1)), 1-math.Pow(adaBeta2, float64(step+1))
	kernel.Parallel(a.Out, func(r int) {
		for i := r * a.In; i < (r+1)*a.In; i++ {
			h, slope := rectified(a.v[i])
			g := 0.0
			if _, inside := a.value(i, h); inside {
				g = 2 * float64(a.grad[i]) * float64(a.scale[i]) / norm
			}
			if progress > 0 {
				d := 2*h - 1
				g -= adaLambda * 2 * beta * math.Copysign(math.Pow(math.Abs(d), beta-1), d)
			}
			a.adam(i, g*slope, fix1, fix2)
		}
	})
}

func (a *adaRounding) adam(i int, g, fix1, fix2 float64) {
	m := adaBeta1*float64(a.m[i]) + (1-adaBeta1)*g
	u := adaBeta2*float64(a.u[i]) + (1-adaBeta2)*g*g
	a.m[i], a.u[i] = float32(m), float32(u)
	a.v[i] -= float32(adaRate * m / fix1 / (math.Sqrt(u/fix2) + 1e-8))
}

// unit is the error that rounding one weight at random makes: the errors are
// measured in it, so that the regulariser weighs the same whatever the sizes of
// weights and inputs.
func (a *adaRounding) unit() float64 {
	sum := 0.0
	for r := range a.Out {
		sum += float64(a.scale[r*a.In]) * float64(a.scale[r*a.In])
	}
	trace := 0.0
	for i := range a.In {
		trace += float64(a.gram[i*a.In+i])
	}
	return max(sum/float64(a.Out)*trace/float64(a.In)/12, math.SmallestNonzeroFloat32)
}

// best returns for each row the codes that were learned, or those of rounding
// to nearest if their output is nearer.
func (a *adaRounding) best(nearest *quant.Tensor) *quant.Tensor {
	learned := *nearest
	learned.Codes = make([]int8, len(nearest.Codes))
	for i := range learned.Codes {
		h, _ := rectified(a.v[i])
		code := float64(a.floor[i]) + math.Round(h) + float64(a.zero[i])
		learned.Codes[i] = int8(min(max(code, float64(a.grid.Min)), float64(a.grid.Max)))
	}
	before, after := a.rowErrors(nearest), a.rowErrors(&learned)
	for r := range a.Out {
		if !(after[r] < before[r]) {
			copy(learned.Codes[r*a.In:(r+1)*a.In], nearest.Codes[r*a.In:(r+1)*a.In])
		}
	}
	return &learned
}

// rowErrors returns the mean squared error of each output.
func (a *adaRounding) rowErrors(t *quant.Tensor) []float64 {
	for i, v := range t.Values() {
		a.diff[i] = v - a.Weight[i]
	}
	kernel.GemmNN(a.grad, a.diff, a.gram, a.Out, a.In, a.In, false)
	errs := make([]float64, a.Out)
	for i, d := range a.diff {
		errs[i/a.In] += float64(d) * float64(a.grad[i])
	}
	return errs
}
