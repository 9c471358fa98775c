package nn

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/internal/kernel"
)

// Linear returns the node x W^T for one or more weight matrices, side by
// side: x is [tokens, in], each of the weights [out_i, in], the result
// [tokens, sum of out_i].
//
// Where x and the weights are nodes of fake-quantization, and both are exact in
// this run, the integer codes are multiplied and scaled once; otherwise the
// float values are multiplied. Both give the gradient with respect to the
// fake-quantized values: dX = dY W and dW = dY^T X.
func Linear(x *G.Node, weights ...*G.Node) (*G.Node, error) {
	const name = "Linear"
	if len(weights) == 0 || !isMatrix(x) {
		return nil, shapeError(name, "x [tokens, in] and at least one weight matrix [out, in]", append(G.Nodes{x}, weights...)...)
	}
	for _, w := range weights {
		if !isMatrix(w) || w.Shape()[1] != x.Shape()[1] || !sameType(x, w) {
			return nil, shapeError(name, "x [tokens, in] and w [out, in] of one element type", x, w)
		}
	}
	tokens, out := x.Shape()[0], 0
	for _, w := range weights {
		out += w.Shape()[0]
	}
	return byType(name, x,
		func() (*G.Node, error) { return newLinear[float32](name, x, weights, tokens, out) },
		func() (*G.Node, error) { return newLinear[float64](name, x, weights, tokens, out) })
}

// linear is what the forward and backward ops of a Linear share.
type linear[F kernel.Float] struct {
	tokens, in, out int
	parts           []part[F]
	x               *integers[F] // nil when x is not fake-quantized with one scale a row
	rowScales       []F          // [tokens]: scales of x
	joined          []F          // [out, in]: the float weights of all parts, when there are several
}

// part is one of the weight matrices.
type part[F kernel.Float] struct {
	first, out int          // its columns in the result
	shape      tensor.Shape // of its node: [out, in], or more dimensions behind out
	w          *integers[F] // nil when it is not fake-quantized
	packed     kernel.Ternary
}

// newLinear multiplies x [tokens, in] with the weights; the result is
// [tokens, out] in the given shape.
func newLinear[F kernel.Float](name string, x *G.Node, weights []*G.Node, shape ...int) (*G.Node, error) {
	o, _ := linearOp[F](name, x, weights, shape...)
	return o.apply(append(G.Nodes{x}, weights...)...)
}

// linearOp is the operation of newLinear.
func linearOp[F kernel.Float](name string, x *G.Node, weights []*G.Node, shape ...int) (*op, *linear[F]) {
	l := &linear[F]{tokens: x.Shape()[0], in: x.Shape()[1], x: integersOf[F](x)}
	if l.x != nil && l.x.group > 0 {
		l.x = nil // the scales of a row's groups cannot be taken out of its sums
	}
	for _, w := range weights {
		p := part[F]{first: l.out, out: w.Shape()[0], shape: w.Shape(), w: integersOf[F](w)}
		l.parts = append(l.parts, p)
		l.out += p.out
	}
	o, y := newOp[F](name, shape...)
	o.run = func(in []G.Value) error {
		if l.exact() {
			l.forward(y.data)
		} else {
			kernel.GemmNT(y.data, values[F](in[0]), l.weights(in[1:]), l.tokens, l.out, l.in, false)
		}
		return nil
	}
	o.diff = l.diff
	o.codesOnly = l.exact
	return o, l
}

// exact reports whether this run multiplies integers.
func (l *linear[F]) exact() bool {
	if l.x == nil || !l.x.exact() {
		return false
	}
	for _, p := range l.parts {
		if p.w == nil || !p.w.exact() {
			return false
		}
	}
	return true
}

// exactBackward reports whether this run's backward products multiply
// integers too.
func (l *linear[F]) exactBackward() bool {
	if !l.exact() || l.x.gradientBits == nil || l.x.gradientBits() != 16 {
		return false
	}
	for _, p := range l.parts {
		if !p.single() {
			return false
		}
	}
	return true
}

// single reports whether the weights are ternary with one scale.
func (p *part[F]) single() bool { return p.w.ternary && len(p.w.scales) == 1 }

func (l *linear[F]) forward(y []F) {
	l.scaleRows()
	for i := range l.parts {
		p := &l.parts[i]
		if !p.single() {
			l.multiply(y[p.first:], p)
			continue
		}
		p.packed.Pack(p.w.codes, p.out, l.in)
		kernel.MulTernary(y[p.first:], l.out, l.x.codes, l.rowScales, &p.packed, p.w.scales[0], l.tokens)
	}
}

// scaleRows brings the scales of x to one a row.
func (l *linear[F]) scaleRows() {
	if len(l.x.scales) == l.tokens {
		l.rowScales = l.x.scales
		return
	}
	if l.rowScales == nil {
		l.rowScales = make([]F, l.tokens)
	}
	for r := range l.rowScales {
		l.rowScales[r] = l.x.scales[0]
	}
}

// weights returns the float weights of all parts as one matrix [out, in].
func (l *linear[F]) weights(parts []G.Value) []F {
	if len(parts) == 1 {
		return values[F](parts[0])
	}
	if l.joined == nil {
		l.joined = make([]F, l.out*l.in)
	}
	for i, p := range l.parts {
		copy(l.joined[p.first*l.in:], values[F](parts[i]))
	}
	return l.joined
}

func (l *linear[F]) diff(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
	gradW, _, err := l.gradWeights(in, out, grad)
	if err != nil {
		return nil, err
	}
	gradX, err := l.gradInput(in, gradW[0], grad)
	if err != nil {
		return nil, err
	}
	return append(G.Nodes{gradX}, gradW...), nil
}

// gradInput returns the node dX = dY W, [tokens, in]. It comes after the
// gradient of the weights, which also reads dY: the memory of dY is then free.
func (l *linear[F]) gradInput(in G.Nodes, gradW, grad *G.Node) (*G.Node, error) {
	o, dx := newOp[F]("LinearGradInput", l.tokens, l.in)
	o.run = func(in []G.Value) error {
		dy := values[F](in[0])
		if l.exactBackward() {
			l.backwardInput(dx.data, dy)
		} else {
			kernel.GemmNN(dx.data, dy, l.weights(in[1:1+len(l.parts)]), l.tokens, l.in, l.out, false)
		}
		return nil
	}
	o.codesOnly = l.exactBackward
	o.waits = G.Nodes{gradW}
	return o.apply(append(G.Nodes{grad}, in[1:]...)...)
}

func (l *linear[F]) backwardInput(dx, dy []F) {
	for i, p := range l.parts {
		kernel.MulGradInput(dx, dy[p.first:], l.out, p.w.codes, p.w.scales[0], l.tokens, p.out, l.in, i > 0)
	}
}

// gradWeights returns a node dW = dY^T X, [out_i, in], for each weight matrix,
// and the memory of all of them. The first one computes all of them.
func (l *linear[F]) gradWeights(in G.Nodes, out, grad *G.Node) (nodes G.Nodes, dw []F, err error) {
	dw = make([]F, l.out*l.in)
	o := newOpOn("LinearGradWeight", dw[:l.parts[0].out*l.in], l.parts[0].shape...)
	o.run = func(in []G.Value) error {
		dy := values[F](in[0])
		if l.exactBackward() {
			kernel.MulGradWeight(dw, dy, l.out, l.rowScales, l.x.codes, l.tokens, l.out, l.in)
		} else {
			kernel.GemmTN(dw, dy, values[F](in[1]), l.out, l.in, l.tokens, false)
		}
		return nil
	}
	o.codesOnly = l.exactBackward
	o.waits = G.Nodes{out}
	first, err := o.apply(grad, in[0])
	nodes = G.Nodes{first}
	for _, p := range l.parts[1:] {
		if err != nil {
			return nil, nil, err
		}
		var n *G.Node
		n, err = pick(first, "LinearGradWeight", dw[p.first*l.in:(p.first+p.out)*l.in], p.shape...)
		nodes = append(nodes, n)
	}
	return nodes, dw, err
}
