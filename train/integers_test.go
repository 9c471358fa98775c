package train

import (
	"math"
	"path/filepath"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/data"
	"trefoil/export"
)

// The integer products of the backward pass are those of float64 but for the
// rounding of the gradient to 16 bits: in a model that has learned real text,
// for the activations and gradients of its own.
func TestIntegerGradientsOfRealText(t *testing.T) {
	c := tinyConfig(t)
	c.Data.Path, c.Data.Tokenizer.Kind, c.Data.Tokenizer.Vocab = goText(t), data.BPE, 400
	c.Model.Dim, c.Model.FF, c.Model.Context = 48, 100, 40
	c.Train.Steps, c.Train.EvalEvery = 100, 100
	dir := filepath.Join(t.TempDir(), "run")
	train(t, c, Options{Dir: dir})
	run, err := export.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	// A graph whose gradients keep their memory, to be looked at.
	n, loss, _, err := newLoss(run.Model, run.Config.Quantization, 1, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	var parameters G.Nodes
	for _, p := range n.Model.Parameters() {
		parameters = append(parameters, p.Node)
	}
	if _, err := G.Grad(loss, parameters...); err != nil {
		t.Fatal(err)
	}
	freeze(t, n, dir, run)
	copy(n.Inputs, run.Heldout.Tokens)
	copy(n.Targets, run.Heldout.Tokens[1:])

	all := products(loss.Graph())
	for i := range all {
		all[i].watch()
	}
	vm := G.NewTapeMachine(loss.Graph())
	defer vm.Close()
	for _, l := range n.Model.Linears() {
		l.Activations.GradientBits = 16
	}
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	rounded := 0
	for _, p := range all {
		if p.node.Shape()[0] == run.Model.Vocab {
			continue // the head's weights: the embedding adds its own gradient
		}
		e := frobeniusError(floats(p.got), p.float64())
		if e > 2e-4 {
			t.Errorf("%v: relative error %.3g, want at most 2e-4", p.node, e)
		}
		if e > 1e-6 { // float32 is more exact than that
			rounded++
		}
	}
	// Four gradients of inputs and seven of weights in each block.
	if want := 11 * c.Model.Layers; rounded != want {
		t.Errorf("%d of %d products are of rounded gradients, want %d", rounded, len(all), want)
	}
}

// gradientProduct is a node of dX = dY W or of dW = dY^T X.
type gradientProduct struct {
	node, dy *G.Node
	operands G.Nodes // the parts of W, or X
	first    int     // of dW: its first column of dY

	got, gotDY G.Value
	values     []G.Value // of the operands
}

// watch copies the product's values in each run to come.
func (p *gradientProduct) watch() {
	G.Read(p.node, &p.got)
	G.Read(p.dy, &p.gotDY)
	p.values = make([]G.Value, len(p.operands))
	for i, n := range p.operands {
		G.Read(n, &p.values[i])
	}
}

// products finds the gradients of linear layers in a graph.
func products(g *G.ExprGraph) (found []gradientProduct) {
	following := map[int64]*gradientProduct{} // of dW, by the node of the first part
	for _, n := range g.AllNodes() {
		if n.Op() == nil || (n.Op().String() != "LinearGradInput" && n.Op().String() != "LinearGradWeight") {
			continue
		}
		var children G.Nodes
		for it := g.From(n.ID()); it.Next(); {
			children = append(children, it.Node().(*G.Node))
		}
		p := gradientProduct{node: n}
		if before := following[children[0].ID()]; before != nil {
			p.dy, p.operands, p.first = before.dy, before.operands, before.first
			before.first += n.Shape()[0]
		} else {
			p.dy, p.operands = children[0], children[1:len(children)-1] // the last is only waited for
			if n.Op().String() == "LinearGradWeight" {
				following[n.ID()] = &gradientProduct{dy: p.dy, operands: p.operands, first: n.Shape()[0]}
			}
		}
		found = append(found, p)
	}
	return found
}

// float64 computes the product of dY and the operands.
func (p *gradientProduct) float64() []float64 {
	dy := floats(p.gotDY)
	tokens, out := p.dy.Shape()[0], p.dy.Shape()[1]
	rows, in := p.node.Shape()[0], p.node.Shape()[1]
	want := make([]float64, rows*in)
	add := func(row int, factor float32, x []float32) {
		for i, v := range x {
			want[row*in+i] += float64(factor) * float64(v)
		}
	}
	if p.node.Op().String() == "LinearGradWeight" {
		x := floats(p.values[0])
		for r := range tokens {
			for o := range rows {
				add(o, dy[r*out+p.first+o], x[r*in:(r+1)*in])
			}
		}
		return want
	}
	var w []float32
	for _, part := range p.values {
		w = append(w, floats(part)...)
	}
	for r := range tokens {
		for o := range out {
			add(r, dy[r*out+o], w[o*in:(o+1)*in])
		}
	}
	return want
}

func floats(v G.Value) []float32 { return v.Data().([]float32) }

// frobeniusError is |got-want| / |want| in the Frobenius norm.
func frobeniusError(got []float32, want []float64) float64 {
	var d, w float64
	for i, v := range want {
		d += (float64(got[i]) - v) * (float64(got[i]) - v)
		w += v * v
	}
	return math.Sqrt(d / w)
}
