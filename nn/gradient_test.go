package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A bench is a float64 graph of one operation, its output weighted by fixed
// random numbers and added up, so that every output matters to the cost.
type bench struct {
	t      *testing.T
	graph  *G.ExprGraph
	inputs []*G.Node
	data   [][]float64
	out    *G.Node
	cost   *G.Node
	vm     G.VM
}

// newBench builds the operation on inputs of the given shapes with normal
// random values.
func newBench(t *testing.T, shapes [][]int, build func(in []*G.Node) (*G.Node, error)) *bench {
	t.Helper()
	return newBenchOf(t, shapes, build, false)
}

// newBenchOf is newBench, its gradients sharing memory or not.
func newBenchOf(t *testing.T, shapes [][]int, build func(in []*G.Node) (*G.Node, error), share bool) *bench {
	t.Helper()
	b := &bench{t: t, graph: G.NewGraph()}
	r := rand.New(rand.NewPCG(1, 2))
	for i, shape := range shapes {
		n, data := float64Node(b.graph, fmt.Sprintf("in%d", i), r, shape...)
		b.inputs, b.data = append(b.inputs, n), append(b.data, data)
	}
	var err error
	if b.out, err = build(b.inputs); err != nil {
		t.Fatal(err)
	}
	b.cost = b.out
	if b.out.Dims() > 0 {
		weights, _ := float64Node(b.graph, "weights", r, b.out.Shape()...)
		b.cost = G.Must(G.Sum(G.Must(G.HadamardProd(b.out, weights))))
	}
	gradients, err := G.Grad(b.cost, b.inputs...)
	if err != nil {
		t.Fatal(err)
	}
	if share {
		if err := ShareMemory(b.cost, gradients...); err != nil {
			t.Fatal(err)
		}
	}
	b.vm = G.NewTapeMachine(b.graph)
	t.Cleanup(func() { b.vm.Close() })
	return b
}

func float64Node(g *G.ExprGraph, name string, r *rand.Rand, shape ...int) (*G.Node, []float64) {
	data := make([]float64, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = r.NormFloat64()
	}
	dense := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	return G.NewTensor(g, tensor.Float64, len(shape), G.WithShape(shape...), G.WithName(name), G.WithValue(dense)), data
}

// run evaluates the graph and returns the cost.
func (b *bench) run() float64 {
	b.t.Helper()
	if err := b.vm.RunAll(); err != nil {
		b.t.Fatal(err)
	}
	cost := values1[float64](b.cost.Value())
	b.vm.Reset()
	return cost
}

// gradient returns a copy of the gradient of input i after a run.
func (b *bench) gradient(i int) []float64 {
	b.t.Helper()
	v, err := b.inputs[i].Grad()
	if err != nil {
		b.t.Fatal(err)
	}
	return append([]float64(nil), v.Data().([]float64)...)
}

// checkNumerically compares every gradient with central differences. Their
// error is of the order of h^2 plus 1e-16/h, so 1e-7 of the gradient's size
// is a safe bound at h = 1e-5.
func (b *bench) checkNumerically() {
	b.t.Helper()
	const h, tolerance = 1e-5, 1e-7
	for i := range b.inputs {
		b.run()
		want := b.gradient(i)
		size := norm(want)/math.Sqrt(float64(len(want))) + 1e-3
		for j, x := range b.data[i] {
			b.data[i][j] = x + h
			up := b.run()
			b.data[i][j] = x - h
			down := b.run()
			b.data[i][j] = x
			if numeric := (up - down) / (2 * h); math.Abs(numeric-want[j]) > tolerance*max(1, size) {
				b.t.Fatalf("gradient of input %d at %d: %v, by differences %v", i, j, want[j], numeric)
			}
		}
	}
}

func norm(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v * v
	}
	return math.Sqrt(s)
}

func TestGradients(t *testing.T) {
	ids := func(b *G.ExprGraph, name string, values ...int32) *G.Node {
		return G.NewVector(b, tensor.Int32, G.WithShape(len(values)), G.WithName(name),
			G.WithValue(tensor.New(tensor.WithShape(len(values)), tensor.WithBacking(values))))
	}
	attention := AttentionShape{Batch: 2, Context: 5, Heads: 4, KVHeads: 2, HeadDim: 6, RopeBase: 100}
	for _, c := range []struct {
		name   string
		shapes [][]int
		build  func(in []*G.Node) (*G.Node, error)
	}{
		{"Linear", [][]int{{5, 4}, {3, 4}}, func(in []*G.Node) (*G.Node, error) { return Linear(in[0], in[1]) }},
		{"Linear of three", [][]int{{5, 4}, {3, 4}, {1, 4}, {2, 4}}, func(in []*G.Node) (*G.Node, error) { return Linear(in[0], in[1:]...) }},
		{"RMSNorm", [][]int{{5, 7}, {7}}, func(in []*G.Node) (*G.Node, error) { return RMSNorm(in[0], in[1], 1e-5) }},
		{"Add", [][]int{{5, 7}, {5, 7}}, func(in []*G.Node) (*G.Node, error) { return Add(in[0], in[1]) }},
		{"Add to itself", [][]int{{5, 7}}, func(in []*G.Node) (*G.Node, error) { return Add(in[0], in[0]) }},
		{"SiLUGate", [][]int{{5, 6}}, func(in []*G.Node) (*G.Node, error) { return SiLUGate(in[0]) }},
		{"ReLU2Gate", [][]int{{5, 6}}, func(in []*G.Node) (*G.Node, error) { return ReLU2Gate(in[0]) }},
		{"Attention", [][]int{{10, attention.Width()}}, func(in []*G.Node) (*G.Node, error) { return Attention(in[0], attention) }},
		{"Attention in the memory of its input", [][]int{{10, 3}, {attention.Width(), 3}}, func(in []*G.Node) (*G.Node, error) {
			qkv, err := Linear(in[0], in[1])
			if err != nil {
				return nil, err
			}
			return Attention(qkv, attention)
		}},
		{"Attention to what others read", [][]int{{10, 3}, {attention.Width(), 3}, {attention.Heads * attention.HeadDim, attention.Width()}}, func(in []*G.Node) (*G.Node, error) {
			qkv, err := Linear(in[0], in[1])
			if err != nil {
				return nil, err
			}
			y, err := Attention(qkv, attention)
			if err != nil {
				return nil, err
			}
			other, err := Linear(qkv, in[2])
			if err != nil {
				return nil, err
			}
			return Add(y, other)
		}},
		{"Residual", [][]int{{5, 4}, {4}, {4, 4}}, func(in []*G.Node) (*G.Node, error) {
			return Residual(in[0], in[1], 1e-5, func(h *G.Node) (*G.Node, error) { return Linear(h, in[2]) })
		}},
		{"Residuals", [][]int{{5, 4}, {4}, {6, 4}, {4, 3}, {4}}, func(in []*G.Node) (*G.Node, error) {
			x := in[0]
			for range 3 {
				var err error
				x, err = Residual(x, in[1], 1e-5, func(h *G.Node) (*G.Node, error) {
					if h, err = Linear(h, in[2]); err != nil {
						return nil, err
					}
					if h, err = SiLUGate(h); err != nil {
						return nil, err
					}
					return Linear(h, in[3])
				})
				if err != nil {
					return nil, err
				}
			}
			return RMSNorm(x, in[4], 1e-5)
		}},
		{"TiedHead", [][]int{{6, 5}, {5, 5}}, func(in []*G.Node) (*G.Node, error) {
			rows, err := Embedding(in[0], ids(in[0].Graph(), "ids", 4, 0, 4))
			if err != nil {
				return nil, err
			}
			x, err := Linear(rows, in[1])
			if err != nil {
				return nil, err
			}
			logits, err := TiedHead(x, rows)
			if err != nil {
				return nil, err
			}
			return CrossEntropy(logits, ids(in[0].Graph(), "targets", 0, 4, 5), nil)
		}},
		{"Residual that does not read the norm", [][]int{{5, 4}, {5, 4}, {4, 4}}, func(in []*G.Node) (*G.Node, error) {
			gain := G.NewTensor(in[0].Graph(), tensor.Float64, 1, G.WithShape(4), G.WithName("gain"),
				G.WithValue(tensor.New(tensor.WithShape(4), tensor.WithBacking([]float64{1, 2, 3, 4}))))
			return Residual(in[0], gain, 1e-5, func(*G.Node) (*G.Node, error) { return Linear(in[1], in[2]) })
		}},
		{"two heads", [][]int{{6, 5}}, func(in []*G.Node) (*G.Node, error) {
			rows, err := Embedding(in[0], ids(in[0].Graph(), "ids", 4, 0, 4))
			if err != nil {
				return nil, err
			}
			first, err := TiedHead(rows, rows)
			if err != nil {
				return nil, err
			}
			second, err := TiedHead(rows, rows)
			if err != nil {
				return nil, err
			}
			return Add(first, second)
		}},
		{"head of something else", [][]int{{6, 5}, {3, 5}}, func(in []*G.Node) (*G.Node, error) {
			rows, err := Embedding(in[0], ids(in[0].Graph(), "ids", 4, 0, 4))
			if err != nil {
				return nil, err
			}
			logits, err := TiedHead(in[1], rows)
			if err != nil {
				return nil, err
			}
			other, err := Linear(rows, in[0])
			if err != nil {
				return nil, err
			}
			return Add(logits, other)
		}},
		{"Embedding", [][]int{{6, 3}}, func(in []*G.Node) (*G.Node, error) {
			return Embedding(in[0], ids(in[0].Graph(), "ids", 4, 0, 4, 5))
		}},
		{"CrossEntropy", [][]int{{4, 7}}, func(in []*G.Node) (*G.Node, error) {
			return CrossEntropy(in[0], ids(in[0].Graph(), "targets", 6, 0, -1, 3), nil)
		}},
		{"head, tied, with the loss in its place", [][]int{{6, 5}}, func(in []*G.Node) (*G.Node, error) {
			x, err := Embedding(in[0], ids(in[0].Graph(), "ids", 4, 0, 4))
			if err != nil {
				return nil, err
			}
			logits, err := Linear(x, in[0])
			if err != nil {
				return nil, err
			}
			return CrossEntropy(logits, ids(in[0].Graph(), "targets", 0, 4, 5), nil)
		}},
		{"FakeQuant at lambda 0", [][]int{{4, 3}, {2, 3}}, func(in []*G.Node) (*G.Node, error) {
			return bitLinear(in, &ActivationQuantizer{Bits: 8}, &WeightQuantizer{})
		}},
	} {
		for name, share := range map[string]bool{"own memory": false, "shared memory": true} {
			t.Run(c.name+"/"+name, func(t *testing.T) { newBenchOf(t, c.shapes, c.build, share).checkNumerically() })
		}
	}
}

// bitLinear is Linear on fake-quantized inputs: in[0] is x, the rest weights.
func bitLinear(in []*G.Node, a *ActivationQuantizer, w *WeightQuantizer) (*G.Node, error) {
	x, err := FakeQuantActivation(in[0], a)
	if err != nil {
		return nil, err
	}
	var weights []*G.Node
	for _, n := range in[1:] {
		q, err := FakeQuantWeight(n, w)
		if err != nil {
			return nil, err
		}
		weights = append(weights, q)
	}
	return Linear(x, weights...)
}
