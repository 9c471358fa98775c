package nn

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// deep is the sum over a network of residual blocks of two kinds, mixed with
// operations of Gorgonia's own or not.
type deep struct {
	cost       *G.Node
	parameters G.Nodes
}

// builder adds parameters with normal random values to a network.
type builder struct {
	t *testing.T
	g *G.ExprGraph
	r *rand.Rand
	d *deep
}

func (b builder) parameter(shape ...int) *G.Node {
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32(b.r.NormFloat64())
	}
	n := G.NewTensor(b.g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(fmt.Sprintf("p%d", len(b.d.parameters))),
		G.WithValue(tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))))
	b.d.parameters = append(b.d.parameters, n)
	return n
}

func (b builder) must(n *G.Node, err error) *G.Node {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func newDeep(t *testing.T, blocks int, mixed bool) deep {
	t.Helper()
	const tokens, dim, width = 8, 6, 10
	d := deep{}
	b := builder{t, G.NewGraph(), rand.New(rand.NewPCG(5, 6)), &d}
	parameter, must := b.parameter, b.must
	attention := AttentionShape{Batch: 2, Context: tokens / 2, Heads: 1, KVHeads: 1, HeadDim: dim, RopeBase: 100}
	x := parameter(tokens, dim)
	for range blocks {
		x = must(Residual(x, parameter(dim), 1e-5, func(h *G.Node) (*G.Node, error) {
			return Attention(must(Linear(h, parameter(dim, dim), parameter(dim, dim), parameter(dim, dim))), attention)
		}))
		x = must(Residual(x, parameter(dim), 1e-5, func(h *G.Node) (*G.Node, error) {
			h = must(SiLUGate(must(Linear(h, parameter(width, dim), parameter(width, dim)))))
			return Linear(must(RMSNorm(h, parameter(width), 1e-5)), parameter(dim, width))
		}))
		if !mixed {
			continue
		}
		x = must(Add(must(RMSNorm(x, parameter(dim), 1e-5)), G.Must(G.HadamardProd(x, parameter(tokens, dim)))))
	}
	d.cost = G.Must(G.Sum(x))
	return d
}

// gradients runs the network and returns copies of all gradients, of two runs.
func (d deep) gradients(t *testing.T, share bool) [][]float32 {
	t.Helper()
	grads, err := G.Grad(d.cost, d.parameters...)
	if err != nil {
		t.Fatal(err)
	}
	if share {
		if err := ShareMemory(d.cost, grads...); err != nil {
			t.Fatal(err)
		}
	}
	vm := G.NewTapeMachine(d.cost.Graph())
	defer vm.Close()
	var all [][]float32
	for range 2 {
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		for _, p := range d.parameters {
			v, err := p.Grad()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, slices.Clone(v.Data().([]float32)))
		}
		vm.Reset()
	}
	return all
}

// Gradients in the memory of values that are done with have the same bits.
func TestSharedMemoryKeepsTheBits(t *testing.T) {
	want, got := newDeep(t, 3, true).gradients(t, false), newDeep(t, 3, true).gradients(t, true)
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("gradient %d of %d differs", i, len(want))
		}
	}
}

// However deep a network is, its gradients need the memory of a few: all but
// those live in what the forward pass has left.
func TestGradientsShareMemory(t *testing.T) {
	own := func(blocks int) (elements int) {
		d := newDeep(t, blocks, false)
		d.gradients(t, true)
		forward := map[memory]bool{}
		for _, n := range d.cost.Graph().ExactSubgraphRoots(d.cost).AllNodes() {
			if o, ok := n.Op().(*op); ok && o.memory != nil {
				forward[o.memory] = true
			}
		}
		for _, n := range d.cost.Graph().AllNodes() {
			if o, ok := n.Op().(*op); ok && o.memory != nil && !forward[o.memory] && o.memory.(*buffer[float32]).host == nil {
				elements += o.memory.size()
			}
		}
		return elements
	}
	if two, six := own(2), own(6); six != two || two == 0 {
		t.Errorf("the gradients of 6 blocks have %d elements of their own, those of 2 blocks %d", six, two)
	}
}

// quantizedModel is the loss of two quantized blocks with a tied head.
func quantizedModel(t *testing.T, lambda float64, gradientBits int) deep {
	t.Helper()
	const vocab, tokens, dim, width = 11, 8, 6, 10
	d := deep{}
	b := builder{t, G.NewGraph(), rand.New(rand.NewPCG(7, 8)), &d}
	parameter, must := b.parameter, b.must
	ids := func(name string) *G.Node {
		data := make([]int32, tokens)
		for i := range data {
			data[i] = b.r.Int32N(vocab)
		}
		return G.NewVector(b.g, tensor.Int32, G.WithShape(tokens), G.WithName(name), G.WithValue(tensor.New(tensor.WithShape(tokens), tensor.WithBacking(data))))
	}
	linear := func(x *G.Node, outs ...int) *G.Node {
		in := x.Shape()[1]
		x = must(FakeQuantActivation(x, &ActivationQuantizer{Bits: 8, Lambda: lambda, GradientBits: gradientBits}))
		var weights []*G.Node
		for _, out := range outs {
			weights = append(weights, must(FakeQuantWeight(parameter(out, in), &WeightQuantizer{Lambda: lambda})))
		}
		return must(Linear(x, weights...))
	}
	attention := AttentionShape{Batch: 2, Context: tokens / 2, Heads: 1, KVHeads: 1, HeadDim: dim, RopeBase: 100}
	rows := must(Embedding(parameter(vocab, dim), ids("ids")))
	x := rows
	for range 2 {
		x = must(Residual(x, parameter(dim), 1e-5, func(h *G.Node) (*G.Node, error) {
			h = must(Attention(linear(h, dim, dim, dim), attention))
			return linear(must(RMSNorm(h, parameter(dim), 1e-5)), dim), nil
		}))
		x = must(Residual(x, parameter(dim), 1e-5, func(h *G.Node) (*G.Node, error) {
			h = must(SiLUGate(linear(h, width, width)))
			return linear(must(RMSNorm(h, parameter(width), 1e-5)), dim), nil
		}))
	}
	logits := must(TiedHead(must(RMSNorm(x, parameter(dim), 1e-5)), rows))
	d.cost = must(CrossEntropy(logits, ids("targets"), nil))
	return d
}

func TestSharedMemoryKeepsTheBitsOfIntegers(t *testing.T) {
	for _, lambda := range []float64{0.5, 1} {
		for _, bits := range []int{16, 32} {
			want := quantizedModel(t, lambda, bits).gradients(t, false)
			got := quantizedModel(t, lambda, bits).gradients(t, true)
			for i := range want {
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("lambda %v, gradients at %d bits: gradient %d of %d differs", lambda, bits, i, len(want))
				}
			}
		}
	}
}

// A value that is wanted after the run is there, rotated queries and logits
// among them.
func TestKeptMemory(t *testing.T) {
	plain, shared := quantizedModel(t, 1, 16), quantizedModel(t, 1, 16)
	ours := func(d deep) (nodes G.Nodes) {
		for _, n := range d.cost.Graph().ExactSubgraphRoots(d.cost).AllNodes() {
			if o, ok := n.Op().(*op); ok && o.memory != nil {
				nodes = append(nodes, n)
			}
		}
		slices.SortFunc(nodes, func(a, b *G.Node) int { return int(a.Op().(*op).serial) - int(b.Op().(*op).serial) })
		return nodes
	}
	run := func(d deep, keep G.Nodes) {
		grads, err := G.Grad(d.cost, d.parameters...)
		if err != nil {
			t.Fatal(err)
		}
		if keep != nil {
			if err := ShareMemory(d.cost, append(keep, grads...)...); err != nil {
				t.Fatal(err)
			}
		}
		vm := G.NewTapeMachine(d.cost.Graph())
		defer vm.Close()
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	kept, want := ours(shared), ours(plain)
	for _, n := range want {
		G.Read(n, new(G.Value)) // a reader, so that nothing overwrites it
	}
	run(plain, nil)
	run(shared, kept)
	compared := 0
	for i, n := range kept {
		if !Written(n) || !Written(want[i]) {
			continue
		}
		compared++
		if !slices.Equal(n.Value().Data().([]float32), want[i].Value().Data().([]float32)) {
			t.Errorf("%v has other values", n)
		}
	}
	if compared < 10 {
		t.Errorf("only %d values were there to compare", compared)
	}
}
