package layers

import (
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/nn"
)

func small() arch.Config {
	return arch.Config{
		Vocab: 11, Dim: 16, Layers: 2, Heads: 4, KVHeads: 2, FF: 24, Context: 6,
		Activation: arch.SiLU, RopeBase: 10000, NormEps: 1e-5,
	}
}

// The model's parameters are those that arch lists: same order, names, shapes
// and kinds.
func TestParametersAreThoseOfArch(t *testing.T) {
	m, err := NewTransformer(G.NewGraph(), small(), true, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, want := m.Parameters(), small().Parameters()
	if len(got) != len(want) {
		t.Fatalf("%d parameters, want %d", len(got), len(want))
	}
	for i, p := range got {
		if p.Name != want[i].Name || p.Kind != want[i].Kind || !slices.Equal(p.Shape, want[i].Shape) {
			t.Errorf("parameter %d is %+v, want %+v", i, p.Parameter, want[i])
		}
		if len(p.Data()) != want[i].Size() {
			t.Errorf("%s has %d values, want %d", p.Name, len(p.Data()), want[i].Size())
		}
	}
	var linears []string
	for _, l := range m.Linears() {
		linears = append(linears, l.Weight.Name)
	}
	var joined []string
	for _, b := range m.Blocks {
		for _, group := range b.Inputs() {
			for _, l := range group {
				joined = append(joined, l.Weight.Name)
			}
		}
	}
	if !slices.Equal(linears, joined) {
		t.Errorf("Linears %v and Inputs %v differ in order", linears, joined)
	}
}

func TestInitIsSeeded(t *testing.T) {
	draw := func(seed uint64) []float32 {
		m, err := NewTransformer(G.NewGraph(), small(), true, seed)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Concat(m.Blocks[0].Attention.Q.Weight.Data(), m.Blocks[1].FeedForward.Down.Weight.Data())
	}
	if !slices.Equal(draw(1), draw(1)) {
		t.Error("one seed gives two models")
	}
	if slices.Equal(draw(1), draw(2)) {
		t.Error("two seeds give one model")
	}
	m, _ := NewTransformer(G.NewGraph(), small(), true, 1)
	if a := m.Blocks[0].Attention; slices.Equal(a.Q.Weight.Data(), a.O.Weight.Data()) {
		t.Error("two parameters of one shape start alike")
	}
}

// Every parameter gets a gradient, and quantized or not a sequence's logits do
// not depend on what comes later.
func TestTransformer(t *testing.T) {
	for _, quantized := range []bool{false, true} {
		for _, activation := range []arch.Activation{arch.SiLU, arch.ReLU2} {
			g := G.NewGraph()
			c := small()
			c.Activation = activation
			m, err := NewTransformer(g, c, quantized, 3)
			if err != nil {
				t.Fatal(err)
			}
			const batch = 2
			ids, input := NewIDs(g, "ids", batch*c.Context)
			targets, want := NewIDs(g, "targets", batch*c.Context)
			for i := range input {
				input[i], want[i] = int32(i*7%c.Vocab), int32((i+1)*7%c.Vocab)
			}
			logits, err := m.Forward(ids, batch)
			if err != nil {
				t.Fatal(err)
			}
			loss, err := nn.CrossEntropy(logits, targets, nil)
			if err != nil {
				t.Fatal(err)
			}
			// A copy, for the loss's gradient takes the place of the logits.
			kept, err := nn.Add(logits, logits)
			if err != nil {
				t.Fatal(err)
			}
			var nodes G.Nodes
			for _, p := range m.Parameters() {
				nodes = append(nodes, p.Node)
			}
			if _, err := G.Grad(loss, nodes...); err != nil {
				t.Fatal(err)
			}
			vm := G.NewTapeMachine(g)
			run := func() []float32 {
				t.Helper()
				if err := vm.RunAll(); err != nil {
					t.Fatal(err)
				}
				vm.Reset()
				return slices.Clone(kept.Value().Data().([]float32))
			}
			first := run()
			for _, p := range m.Parameters() {
				d, err := p.Gradient()
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(d, func(v float32) bool { return v != 0 }) {
					t.Errorf("quantized %v, %s: the gradient is zero", quantized, p.Name)
				}
			}
			last := c.Context - 1 // of the first sequence
			input[last]++
			second := run()
			for i := range first {
				changed, may := first[i] != second[i], i/c.Vocab == last
				if changed && !may {
					t.Fatalf("quantized %v: logit %d changed with a later token", quantized, i)
				}
			}
			if slices.Equal(first[last*c.Vocab:c.Context*c.Vocab], second[last*c.Vocab:c.Context*c.Vocab]) {
				t.Error("a token's own logits do not depend on it")
			}
			vm.Close()
		}
	}
}

func TestTransformerErrors(t *testing.T) {
	c := small()
	c.Heads = 3
	if _, err := NewTransformer(G.NewGraph(), c, true, 1); err == nil || !strings.Contains(err.Error(), "heads") {
		t.Errorf("three heads of 16: %v", err)
	}
	g := G.NewGraph()
	m, err := NewTransformer(g, small(), true, 1)
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := NewIDs(g, "ids", 7)
	if _, err := m.Forward(ids, 1); err == nil || !strings.Contains(err.Error(), "(7)") || !strings.Contains(err.Error(), "(6)") {
		t.Errorf("7 ids for a context of 6: %v", err)
	}
	l := NewBitLinear(g, "narrow", 3, 2, Init{1, 1})
	x := G.NewMatrix(g, G.Float32, G.WithShape(4, 5), G.WithName("x"))
	if _, err := l.Forward(x); err == nil || !strings.Contains(err.Error(), "narrow") || !strings.Contains(err.Error(), "(4, 5)") {
		t.Errorf("5 columns into 3 inputs: %v", err)
	}
}
