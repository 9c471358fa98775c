package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// codes is what a fake-quant op shares with the products that read its node:
// the integers behind the float values of the last run.
type codes interface {
	// exact reports whether the values are codes times scales and nothing
	// else, so that a product may multiply the codes.
	exact() bool
}

// readers finds the operations that read a fake-quant node, so that float
// values which nobody reads are not computed.
type readers struct {
	node *G.Node
	ops  []G.Op
}

// wantValues reports whether a reader needs the float values in this run. The
// graph is complete when it first runs.
func (r *readers) wantValues() bool {
	if r.ops == nil {
		for it := r.node.Graph().To(r.node.ID()); it.Next(); {
			r.ops = append(r.ops, it.Node().(*G.Node).Op())
		}
	}
	for _, reader := range r.ops {
		if o, ok := reader.(*op); !ok || o.codesOnly == nil || !o.codesOnly() {
			return true
		}
	}
	return len(r.ops) == 0
}

// always is codesOnly of an op that takes a fake-quant node for the order of
// execution alone.
func always() bool { return true }

// WeightQuantizer is the ternary quantizer of a weight matrix. Its fields are
// read at each run of the graph. The zero value leaves the weights as they
// are: set Lambda to 1 for b1.58.
type WeightQuantizer struct {
	// Scale is the rule for gamma; empty means absmean.
	Scale quant.Scale
	// Estimator is the derivative used for rounding; empty means identity.
	// It is read when the gradient is built.
	Estimator quant.Estimator
	// Lambda blends: the node's value is W + Lambda (Q(W) - W).
	Lambda float64
	// Noise disturbs the blended weights. With it the codes are not exact.
	Noise quant.Noise
	// Seed and Step choose the noise: give each matrix a seed of its own, and
	// count Step up.
	Seed, Step uint64
}

func (q *WeightQuantizer) exact() bool { return q.Lambda == 1 && !q.Noise.Enabled() }

// weightCodes is the state of a FakeQuantWeight node: codes [out, in], valid
// when the quantizer is exact.
type weightCodes[F kernel.Float] struct {
	q     *WeightQuantizer
	codes []int8
	gamma F
}

func (c *weightCodes[F]) exact() bool { return c.q.exact() }

// FakeQuantWeight returns a node of w's shape [out, in] with the value
// W + lambda (Q(W) - W), Q ternary with one scale: gamma = mean|W| and
// code = clamp(round(w/gamma), -1, 1) (arXiv:2402.17764, equations 1 to 3),
// plus the quantizer's noise. The gradient passes by q.Estimator.
//
// In a run in which every reader of the node multiplies codes (see [Linear]),
// the node's float values are left as they are.
func FakeQuantWeight(w *G.Node, q *WeightQuantizer) (*G.Node, error) {
	const name = "FakeQuantWeight"
	if !isMatrix(w) {
		return nil, shapeError(name, "a matrix [out, in]", w)
	}
	if err := q.Estimator.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return byType(name, w,
		func() (*G.Node, error) { return fakeQuantWeight[float32](w, q) },
		func() (*G.Node, error) { return fakeQuantWeight[float64](w, q) })
}

func fakeQuantWeight[F kernel.Float](w *G.Node, q *WeightQuantizer) (*G.Node, error) {
	o, y := newOp[F]("FakeQuantWeight", w.Shape()...)
	c := &weightCodes[F]{q: q, codes: make([]int8, len(y))}
	o.codes = c
	var r readers
	o.run = func(in []G.Value) error {
		x := values[F](in[0])
		if q.Lambda == 0 && !q.Noise.Enabled() {
			copy(y, x)
			return nil
		}
		c.gamma = quant.Ternarize(c.codes, x, q.Scale)
		if c.exact() && !r.wantValues() {
			return nil
		}
		blend(y, x, c.codes, c.gamma, F(q.Lambda))
		quant.Apply(q.Noise, y, x, c.gamma, q.Seed, q.Step)
		return nil
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		if isIdentity(q.Estimator) {
			return G.Nodes{grad}, nil
		}
		back, dx := newOp[F]("FakeQuantWeightGrad", in[0].Shape()...)
		back.run = func(in []G.Value) error {
			backward(q.Estimator, dx, values[F](in[0]), values[F](in[1]), float64(c.gamma), q.Lambda, -1, 1)
			return nil
		}
		back.codesOnly = always
		dw, err := back.apply(grad, in[0], out)
		return G.Nodes{dw}, err
	}
	var err error
	r.node, err = o.apply(w)
	return r.node, err
}

// blend writes y = x + lambda (code*scale - x).
func blend[F kernel.Float](y, x []F, codes []int8, scale, lambda F) {
	const chunk = 1 << 16
	kernel.Parallel((len(y)+chunk-1)/chunk, func(i int) {
		lo, hi := i*chunk, min(len(y), (i+1)*chunk)
		y, x, codes := y[lo:hi], x[lo:hi], codes[lo:hi]
		if lambda == 1 {
			for i, c := range codes {
				y[i] = F(c) * scale
			}
			return
		}
		for i, c := range codes {
			y[i] = x[i] + lambda*(F(c)*scale-x[i])
		}
	})
}

// ActivationQuantizer is the absmax quantizer of activations. Its fields are
// read at each run of the graph. The zero value leaves the activations as
// they are: set Bits to 8 and Lambda to 1 for b1.58.
type ActivationQuantizer struct {
	// Bits is the width of a code, 2 to 8; anything else means float.
	Bits int
	// Estimator is the derivative used for rounding; empty means identity.
	// It is read when the gradient is built.
	Estimator quant.Estimator
	// Lambda blends: the node's value is X + Lambda (Q(X) - X).
	Lambda float64
	// GradientBits is the precision of the backward products of the linear
	// layers that read the node, where the codes are exact: 16 rounds the
	// gradient to 16 bits and multiplies integers, anything else takes float
	// products.
	GradientBits int
}

func (q *ActivationQuantizer) enabled() bool {
	return q.Bits >= 2 && q.Bits <= 8 && q.Lambda != 0
}

// activationCodes is the state of a FakeQuantActivation node: codes
// [tokens, in] and scales [tokens], valid when exact.
type activationCodes[F kernel.Float] struct {
	q      *ActivationQuantizer
	codes  []int8
	scales []F
}

func (c *activationCodes[F]) exact() bool { return c.q.enabled() && c.q.Lambda == 1 }

// FakeQuantActivation returns a node of x's shape [tokens, in] with the value
// X + lambda (Q(X) - X), Q symmetric with one scale a token: scale =
// max|x|/(2^(bits-1)-1) and code = clamp(round(x/scale))
// (arXiv:2402.17764, section 2). The gradient passes by q.Estimator. About
// the float values, see [FakeQuantWeight].
func FakeQuantActivation(x *G.Node, q *ActivationQuantizer) (*G.Node, error) {
	const name = "FakeQuantActivation"
	if !isMatrix(x) {
		return nil, shapeError(name, "a matrix [tokens, in]", x)
	}
	if err := q.Estimator.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return byType(name, x,
		func() (*G.Node, error) { return fakeQuantActivation[float32](x, q) },
		func() (*G.Node, error) { return fakeQuantActivation[float64](x, q) })
}

func fakeQuantActivation[F kernel.Float](x *G.Node, q *ActivationQuantizer) (*G.Node, error) {
	rows, cols := x.Shape()[0], x.Shape()[1]
	o, y := newOp[F]("FakeQuantActivation", rows, cols)
	c := &activationCodes[F]{q: q, codes: make([]int8, len(y)), scales: make([]F, rows)}
	o.codes = c
	var readers readers
	o.run = func(in []G.Value) error {
		x := values[F](in[0])
		if !q.enabled() {
			copy(y, x)
			return nil
		}
		kernel.QuantizeRows(c.codes, c.scales, x, rows, cols, quant.MaxCode(q.Bits))
		if q.Lambda == 1 {
			if readers.wantValues() {
				kernel.DequantizeRows(y, c.codes, c.scales, rows, cols)
			}
			return nil
		}
		for r := range rows {
			lo, hi := r*cols, (r+1)*cols
			blend(y[lo:hi], x[lo:hi], c.codes[lo:hi], c.scales[r], F(q.Lambda))
		}
		return nil
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		if isIdentity(q.Estimator) {
			return G.Nodes{grad}, nil
		}
		back, dx := newOp[F]("FakeQuantActivationGrad", rows, cols)
		back.run = func(in []G.Value) error {
			grad, x := values[F](in[0]), values[F](in[1])
			if !q.enabled() {
				copy(dx, grad)
				return nil
			}
			top := float64(quant.MaxCode(q.Bits))
			kernel.Parallel(rows, func(r int) {
				lo, hi := r*cols, (r+1)*cols
				backward(q.Estimator, dx[lo:hi], grad[lo:hi], x[lo:hi], float64(c.scales[r]), q.Lambda, -top-1, top)
			})
			return nil
		}
		back.codesOnly = always
		gradX, err := back.apply(grad, in[0], out)
		return G.Nodes{gradX}, err
	}
	var err error
	readers.node, err = o.apply(x)
	return readers.node, err
}
