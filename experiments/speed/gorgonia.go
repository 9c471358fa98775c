package main

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/arch"
)

// builtIn is a float32 model built of nothing but Gorgonia's own operations,
// for batches of a fixed size.
type builtIn struct {
	config arch.Config
	batch  int

	graph *G.ExprGraph
	// parameters are in the order of arch.Config.Parameters. The matrices of
	// linear layers are [in, out], as G.Mul wants them.
	parameters G.Nodes

	ids    []int     // [batch*context], the inputs of the next run
	oneHot []float32 // [batch*context, vocab], 1 at each of its targets
	loss   *G.Node

	// Constants of the rotary embedding, one row a token and head:
	// x cos + (x swap) sin.
	cos, sin, swap *G.Node
	mask           *G.Node // [batch*heads, context, context], -1e9 at keys behind the query
}

// newBuiltIn builds the model and its gradients; its parameters are 0. Shapes
// that do not fit are a panic of G.Must.
func newBuiltIn(c arch.Config, batch int) (*builtIn, error) {
	tokens := batch * c.Context
	m := &builtIn{config: c, batch: batch, graph: G.NewGraph(), ids: make([]int, tokens), oneHot: make([]float32, tokens*c.Vocab)}
	for _, p := range c.Parameters() {
		shape := tensor.Shape(p.Shape).Clone()
		if p.Kind == arch.Linear {
			shape[0], shape[1] = shape[1], shape[0]
		}
		m.parameters = append(m.parameters, m.leaf(p.Name, make([]float32, shape.TotalSize()), shape...))
	}
	m.rotation()
	m.causality()
	m.loss = m.crossEntropy(m.forward())
	if _, err := G.Grad(m.loss, m.parameters...); err != nil {
		return nil, fmt.Errorf("differentiating the loss: %w", err)
	}
	return m, nil
}

// leaf adds a named tensor to the graph, whose memory is data.
func (m *builtIn) leaf(name string, data []float32, shape ...int) *G.Node {
	dense := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	return G.NewTensor(m.graph, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name), G.WithValue(dense))
}

func (m *builtIn) scalar(name string, v float64) *G.Node {
	return G.NewScalar(m.graph, tensor.Float32, G.WithName(name), G.WithValue(float32(v)))
}

func (m *builtIn) rotation() {
	c := m.config
	rows, width := len(m.ids)*c.Heads, c.HeadDim()
	cos, sin, swap := make([]float32, rows*width), make([]float32, rows*width), make([]float32, width*width)
	for i := range cos {
		position, pair := i/(c.Heads*width)%c.Context, i%width%(width/2)
		s, c := math.Sincos(float64(position) * math.Pow(c.RopeBase, -2*float64(pair)/float64(width)))
		cos[i], sin[i] = float32(c), float32(s)
	}
	for i := range width / 2 {
		swap[(i+width/2)*width+i], swap[i*width+i+width/2] = -1, 1
	}
	m.cos, m.sin, m.swap = m.leaf("cos", cos, rows, width), m.leaf("sin", sin, rows, width), m.leaf("swap", swap, width, width)
}

func (m *builtIn) causality() {
	heads, context := m.batch*m.config.Heads, m.config.Context
	mask := make([]float32, heads*context*context)
	for i := range mask {
		if query, key := i/context%context, i%context; key > query {
			mask[i] = -1e9
		}
	}
	m.mask = m.leaf("mask", mask, heads, context, context)
}

// forward returns the logits [batch*context, vocab].
func (m *builtIn) forward() *G.Node {
	rest := m.parameters
	next := func() *G.Node {
		n := rest[0]
		rest = rest[1:]
		return n
	}
	ids := tensor.New(tensor.WithShape(len(m.ids)), tensor.WithBacking(m.ids))
	embedding := next()
	x := G.Must(G.ByIndices(embedding, G.NewVector(m.graph, tensor.Int, G.WithShape(len(m.ids)), G.WithName("ids"), G.WithValue(ids)), 0))
	for range m.config.Layers {
		h := m.norm(x, next())
		y := m.attention(mul(h, next()), mul(h, next()), mul(h, next()))
		y = m.norm(y, next())
		x = G.Must(G.Add(x, mul(y, next())))

		h = m.norm(x, next())
		gate, up := mul(h, next()), mul(h, next())
		y = hadamard(hadamard(gate, G.Must(G.Sigmoid(gate))), up)
		y = m.norm(y, next())
		x = G.Must(G.Add(x, mul(y, next())))
	}
	return mul(m.norm(x, next()), G.Must(G.Transpose(embedding, 1, 0)))
}

func mul(a, b *G.Node) *G.Node      { return G.Must(G.Mul(a, b)) }
func hadamard(a, b *G.Node) *G.Node { return G.Must(G.HadamardProd(a, b)) }

func (m *builtIn) norm(x, gain *G.Node) *G.Node {
	square := G.Must(G.Mean(G.Must(G.Square(x)), 1))
	inverse := G.Must(G.InverseSqrt(G.Must(G.Add(square, m.scalar("eps", m.config.NormEps)))))
	x = G.Must(G.BroadcastHadamardProd(x, inverse, nil, []byte{1}))
	return G.Must(G.BroadcastHadamardProd(x, gain, nil, []byte{0}))
}

// attention returns the heads' outputs [tokens, dim] of q, k and v
// [tokens, dim].
func (m *builtIn) attention(q, k, v *G.Node) *G.Node {
	c := m.config
	q, k, v = m.heads(m.rotate(q)), m.heads(m.rotate(k)), m.heads(v)
	scores := G.Must(G.BatchedMatMul(q, k, false, true))
	scores = G.Must(G.HadamardProd(scores, m.scalar("scale", 1/math.Sqrt(float64(c.HeadDim())))))
	weights := G.Must(G.SoftMax(G.Must(G.Add(scores, m.mask))))
	y := G.Must(G.BatchedMatMul(weights, v))
	y = G.Must(G.Reshape(y, tensor.Shape{m.batch, c.Heads, c.Context, c.HeadDim()}))
	return G.Must(G.Reshape(G.Must(G.Transpose(y, 0, 2, 1, 3)), tensor.Shape{len(m.ids), c.Dim}))
}

// rotate turns the pairs of each head of x [tokens, dim] by their position.
func (m *builtIn) rotate(x *G.Node) *G.Node {
	x = G.Must(G.Reshape(x, m.cos.Shape()))
	x = G.Must(G.Add(hadamard(x, m.cos), hadamard(mul(x, m.swap), m.sin)))
	return G.Must(G.Reshape(x, tensor.Shape{len(m.ids), m.config.Dim}))
}

// heads makes x [tokens, dim] [batch*heads, context, headDim].
func (m *builtIn) heads(x *G.Node) *G.Node {
	c := m.config
	x = G.Must(G.Reshape(x, tensor.Shape{m.batch, c.Context, c.Heads, c.HeadDim()}))
	return G.Must(G.Reshape(G.Must(G.Transpose(x, 0, 2, 1, 3)), tensor.Shape{m.batch * c.Heads, c.Context, c.HeadDim()}))
}

func (m *builtIn) crossEntropy(logits *G.Node) *G.Node {
	targets := m.leaf("targets", m.oneHot, len(m.ids), m.config.Vocab)
	picked := hadamard(G.Must(G.LogSoftMax(logits)), targets)
	return G.Must(G.HadamardProd(G.Must(G.Sum(picked)), m.scalar("mean", -1/float64(len(m.ids)))))
}

// set fills in the ids of the next run and the ids that follow them.
func (m *builtIn) set(inputs, targets []int32) {
	clear(m.oneHot)
	for i := range inputs {
		m.ids[i] = int(inputs[i])
		m.oneHot[i*m.config.Vocab+int(targets[i])] = 1
	}
}
