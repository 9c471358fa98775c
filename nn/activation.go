package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// ActivationQuantizer is the quantizer of activations. But for Rule, Learned
// and Estimator, its fields are read at each run of the graph. The zero value
// leaves the activations as they are: set Bits to 8 and Lambda to 1 for b1.58.
type ActivationQuantizer struct {
	// Rule turns activations into codes; nil means absmax by Bits.
	Rule quant.Quantizer
	// Learned is as in [WeightQuantizer].
	Learned *G.Node
	// Bits is the width of a code where Rule is nil, 2 to 8; anything else
	// means float.
	Bits int
	// Estimator is the derivative used for rounding; empty means the one that
	// fits Rule, which is identity for absmax.
	Estimator quant.Estimator
	// Lambda blends: the node's value is X + Lambda (Q(X) - X).
	Lambda float64
	// Step chooses which activations stochastic rounding rounds up: count it
	// up. Step 0 rounds as the rule does outside of a graph.
	Step uint64
	// GradientBits is the precision of the backward products of the linear
	// layers that read the node, where the codes are exact: 16 rounds the
	// gradient to 16 bits and multiplies integers, anything else takes float
	// products.
	GradientBits int
}

func (q *ActivationQuantizer) now() moment { return moment{lambda: q.Lambda, step: q.Step} }

func (q *ActivationQuantizer) gradientBits() int { return q.GradientBits }

func (q *ActivationQuantizer) enabled() bool {
	return q.Bits >= 2 && q.Bits <= 8 && q.Lambda != 0
}

func (q *ActivationQuantizer) exact() bool { return q.enabled() && q.Lambda == 1 }

// FakeQuantActivation returns a node of x's shape, [tokens, in] or
// [batch, height, width, channels], with the value X + lambda (Q(X) - X), Q
// symmetric with one scale for each token or image: scale =
// max|x|/(2^(bits-1)-1) and code = clamp(round(x/scale))
// (arXiv:2402.17764, section 2, unnumbered), unless q.Rule says otherwise. The gradient
// passes by q.Estimator. About the float values, see [FakeQuantWeight].
//
// Numbers that are not finite show in the values: a row that holds one has the
// scale NaN or +Inf, and NaN for its values. A magnitude near the largest
// float32 may become infinite, since its scale is rounded. With q.Rule either
// ends the run with an error.
func FakeQuantActivation(x *G.Node, q *ActivationQuantizer) (*G.Node, error) {
	const name = "FakeQuantActivation"
	if x == nil || !isBatch(x) {
		return nil, shapeError(name, "x [tokens, in] or [batch, height, width, channels]", x)
	}
	if err := q.Estimator.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if q.Rule != nil {
		if isNil(q.Rule) {
			return nil, fmt.Errorf("%s: the rule is a nil pointer: make one with quant.New", name)
		}
		return fakeQuantByRule(name, x, rule{q.Rule, q.Learned, q.Estimator, q.now, q.gradientBits})
	}
	return byType(name, x,
		func() (*G.Node, error) { return fakeQuantActivation[float32](x, q) },
		func() (*G.Node, error) { return fakeQuantActivation[float64](x, q) })
}

// quantizedRows is the state of a fake-quant node of activations: the forward
// and backward ops share it.
type quantizedRows[F kernel.Float] struct {
	*ActivationQuantizer
	rows, cols int
	integers   *integers[F]
	readers    readers
}

func fakeQuantActivation[F kernel.Float](x *G.Node, q *ActivationQuantizer) (*G.Node, error) {
	shape := x.Shape()
	n := &quantizedRows[F]{ActivationQuantizer: q, rows: shape[0], cols: shape.TotalSize() / shape[0]}
	o, y := newOp[F]("FakeQuantActivation", shape...)
	n.integers = &integers[F]{codes: make([]int8, shape.TotalSize()), scales: make([]F, n.rows), exact: q.exact, gradientBits: q.gradientBits}
	n.integers.maxCode = func() int {
		if !q.exact() {
			return 0
		}
		return quant.MaxCode(q.Bits)
	}
	o.integers = n.integers
	o.run = func(in []G.Value) error {
		o.unwritten = !n.run(y.data, values[F](in[0]))
		return nil
	}
	o.diff = n.diff
	var err error
	n.readers.node, err = o.apply(x)
	return n.readers.node, err
}

// run writes y, or leaves it alone, having found codes, where nobody reads it.
func (n *quantizedRows[F]) run(y, x []F) (written bool) {
	c := n.integers
	if !n.enabled() {
		copy(y, x)
		return true
	}
	if !c.written {
		kernel.QuantizeRows(c.codes, c.scales, x, n.rows, n.cols, quant.MaxCode(n.Bits))
	}
	c.written = false
	if n.Lambda == 1 && !n.readers.wantValues() {
		return false
	}
	kernel.BlendRows(y, x, c.codes, c.scales, n.rows, n.cols, F(n.Lambda))
	return true
}

func (n *quantizedRows[F]) diff(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
	if isIdentity(n.Estimator) {
		return G.Nodes{grad}, nil
	}
	back, dx := newOp[F]("FakeQuantActivationGrad", in[0].Shape()...)
	back.run = func(in []G.Value) error {
		grad, x, dx := values[F](in[0]), values[F](in[1]), dx.data
		if !n.enabled() {
			copy(dx, grad)
			return nil
		}
		top := float64(quant.MaxCode(n.Bits))
		kernel.Parallel(n.rows, func(r int) {
			lo, hi := r*n.cols, (r+1)*n.cols
			backward(n.Estimator, dx[lo:hi], grad[lo:hi], x[lo:hi], float64(n.integers.scales[r]), n.Lambda, -top-1, top)
		})
		return nil
	}
	back.waits = G.Nodes{out}
	gradX, err := back.apply(grad, in[0])
	return G.Nodes{gradX}, err
}
