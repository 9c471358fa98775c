package nn

import (
	"errors"
	"fmt"
	"slices"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// WeightQuantizer is the quantizer of a weight matrix. But for Rule, Learned
// and Estimator, its fields are read at each run of the graph. The zero value
// leaves the weights as they are: set Lambda to 1 for b1.58.
type WeightQuantizer struct {
	// Rule turns weights into codes; nil means the ternary one of b1.58.
	Rule quant.Quantizer
	// Learned is the node of the scales that are learned, one for each group:
	// step sizes where Rule is LSQ, ranges where it is SEQ; otherwise nil.
	Learned *G.Node
	// Scale is b1.58's rule for gamma, where Rule is nil; empty means absmean.
	Scale quant.Scale
	// Estimator is the derivative used for rounding; empty means the one that
	// fits Rule, which is identity for b1.58.
	Estimator quant.Estimator
	// Lambda blends: the node's value is W + Lambda (Q(W) - W).
	Lambda float64
	// Noise disturbs the blended weights, in units of the distance of two
	// levels. With it the codes are not exact. With Lambda 0 it is all that
	// the node does; block noise, which spares blocks from the blend, then
	// does nothing.
	Noise quant.Noise
	// Seed and Step choose the noise, and which weights stochastic rounding
	// rounds up: give each matrix a seed of its own, and count Step up.
	// Step 0 rounds as the rule does outside of a graph.
	Seed, Step uint64
}

// Draw returns the [quant.Tensor] Draw of a run: of stochastic rounding.
func (q *WeightQuantizer) Draw() uint64 { return q.now().draw() }

// validate reports fields that would otherwise mean b1.58's own rule, or no
// noise, without a word.
func (q *WeightQuantizer) validate() error {
	switch {
	case q.Scale != "" && q.Scale != quant.AbsMean && q.Scale != quant.Median:
		return fmt.Errorf("the scale %q is not b1.58's: use absmean or median, or a Rule that quant.New makes", q.Scale)
	case q.Rule == nil && q.Learned != nil:
		return errors.New("scales are learned by a rule: set Rule to a quantizer with scale lsq or seq")
	}
	return errors.Join(q.Noise.Validate(), q.Estimator.Validate())
}

func (q *WeightQuantizer) exact() bool { return q.Lambda == 1 && !q.Noise.Enabled() }

func (q *WeightQuantizer) now() moment {
	return moment{q.Lambda, q.Noise, q.Seed, q.Step}
}

// FakeQuant returns a node of x's shape, of one dimension or more, with the
// value of x after quantization by any quantizer of trefoil/quant; one of the
// rule static must have its scales by [quant.Scalar.WithScales]. The gradient
// passes straight through (Bengio et al. 2013, arXiv:1308.3432), but on a grid
// of 2 bits and more not to values beyond the outermost codes, which do not
// move with x (arXiv:1712.05877, section 3). For scales that are learned, and
// for stochastic rounding that differs from run to run, see [WeightQuantizer].
func FakeQuant(x *G.Node, q quant.Quantizer) (*G.Node, error) {
	const name = "FakeQuant"
	if isNil(q) {
		return nil, fmt.Errorf("%s: the quantizer is nil: make one with quant.New", name)
	}
	if x == nil || x.Dims() < 1 || slices.Contains(x.Shape(), 0) {
		return nil, shapeError(name, "a tensor with elements", x)
	}
	always := (&WeightQuantizer{Lambda: 1}).now()
	return fakeQuantByRule(name, x, rule{quantizer: q, now: func() moment { return always }})
}

// isNil reports whether there is no quantizer, not even behind a pointer.
func isNil(q quant.Quantizer) bool {
	scalar, ok := q.(*quant.Scalar)
	return q == nil || ok && scalar == nil
}

// FakeQuantWeight returns a node of w's shape, [out, in] or with more
// dimensions, with the value W + lambda (Q(W) - W), plus the quantizer's
// noise. Q is q.Rule, or ternary with one scale: gamma = max(mean|W|, 1e-5) and
// code = clamp(round(w/gamma), -1, 1) (arXiv:2402.17764, equations 1 to 3, but
// for the epsilon that the paper adds to gamma).
// The gradient passes by q.Estimator, and with learned scales by the rules of
// [quant.LSQBackward] and [quant.SEQBackward].
//
// Weights that are not finite show in the values, which become NaN or
// infinite, where q.Rule is nil; with a rule they end the run with an error
// that names the first of them.
//
// In a run in which every reader of the node multiplies codes (see [Linear]),
// the node's float values are left as they are.
func FakeQuantWeight(w *G.Node, q *WeightQuantizer) (*G.Node, error) {
	const name = "FakeQuantWeight"
	if w == nil || !isBatch(w) {
		return nil, shapeError(name, "weights [out, in] or [out, height, width, in]", w)
	}
	if err := q.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if q.Rule != nil {
		if isNil(q.Rule) {
			return nil, fmt.Errorf("%s: the rule is a nil pointer: make one with quant.New", name)
		}
		return fakeQuantByRule(name, w, rule{q.Rule, q.Learned, q.Estimator, q.now, nil})
	}
	return byType(name, w,
		func() (*G.Node, error) { return fakeQuantWeight[float32](w, q) },
		func() (*G.Node, error) { return fakeQuantWeight[float64](w, q) })
}

func fakeQuantWeight[F kernel.Float](w *G.Node, q *WeightQuantizer) (*G.Node, error) {
	o, y := newOp[F]("FakeQuantWeight", w.Shape()...)
	c := &integers[F]{codes: make([]int8, w.Shape().TotalSize()), scales: make([]F, 1), ternary: true, exact: q.exact}
	o.integers = c
	var r readers
	o.run = func(in []G.Value) error {
		x, y := values[F](in[0]), y.data
		if q.Lambda == 0 && !q.Noise.Enabled() {
			copy(y, x)
			return nil
		}
		gamma := quant.Ternarize(c.codes, x, q.Scale)
		c.scales[0] = gamma
		if q.exact() && !r.wantValues() {
			o.unwritten = true
			return nil
		}
		kernel.Blend(y, x, c.codes, gamma, F(q.Lambda))
		return quant.Apply(q.Noise, y, x, gamma, q.Seed, q.Step)
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		if isIdentity(q.Estimator) {
			return G.Nodes{grad}, nil
		}
		back, dx := newOp[F]("FakeQuantWeightGrad", in[0].Shape()...)
		back.run = func(in []G.Value) error {
			backward(q.Estimator, dx.data, values[F](in[0]), values[F](in[1]), float64(c.scales[0]), q.Lambda, -1, 1)
			spare(q.Noise, dx.data, values[F](in[0]), q.Seed, q.Step)
			return nil
		}
		back.waits = G.Nodes{out}
		dw, err := back.apply(grad, in[0])
		return G.Nodes{dw}, err
	}
	var err error
	r.node, err = o.apply(w)
	return r.node, err
}

// spare passes the gradient straight to the weights that block noise left as
// they were: by seed and step it spares the same blocks as in the forward pass.
func spare[F kernel.Float](n quant.Noise, dx, grad []F, seed, step uint64) {
	if n.Kind == quant.BlockNoise {
		quant.Apply(n, dx, grad, 0, seed, step)
	}
}
