package main

import (
	"math"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/train"
)

// The model of Gorgonia's own operations has the loss and the gradients of
// Trefoil's float32 model.
func TestBuiltInIsTheSameModel(t *testing.T) {
	a := arch.Config{Vocab: 11, Dim: 16, Layers: 2, Heads: 2, KVHeads: 2, FF: 24, Context: 6, Activation: arch.SiLU, RopeBase: 1e4, NormEps: 1e-5}
	const batch = 3
	q := config.Default().Quantization
	q.Weights.Bits, q.Activations.Bits, q.Phases = 32, 32, nil
	n, err := train.NewNetwork(a, q, batch, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	m, err := newBuiltIn(a, batch)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n.Inputs {
		n.Inputs[i], n.Targets[i] = int32(i*7%a.Vocab), int32((i*5+1)%a.Vocab)
	}
	m.set(n.Inputs, n.Targets)
	for i, p := range n.Model.Parameters() {
		for j := range p.Data() {
			p.Data()[j] *= 10 // far from uniform
		}
		copy(m.parameters[i].Value().Data().([]float32), columns(p.Parameter, p.Data()))
	}
	if err := n.Learn(); err != nil {
		t.Fatal(err)
	}
	vm := G.NewTapeMachine(m.graph)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	want := n.Report.Sum / float64(n.Report.Tokens)
	if got := float64(m.loss.Value().Data().(float32)); math.Abs(got-want) > 1e-5*want {
		t.Errorf("loss %v, want %v", got, want)
	}
	for i, p := range n.Model.Parameters() {
		g, err := p.Gradient()
		if err != nil {
			t.Fatal(err)
		}
		v, err := m.parameters[i].Grad()
		if err != nil {
			t.Fatal(err)
		}
		if e := distance(v.Data().([]float32), columns(p.Parameter, g)); e > 1e-4 {
			t.Errorf("gradient of %s: relative error %v", p.Name, e)
		}
	}
}

// columns returns the values of a parameter in the order of builtIn.
func columns(p arch.Parameter, values []float32) []float32 {
	if p.Kind != arch.Linear {
		return values
	}
	out, in := p.Shape[0], p.Shape[1]
	turned := make([]float32, len(values))
	for i, v := range values {
		turned[i%in*out+i/in] = v
	}
	return turned
}

// distance is the Frobenius norm of got-want, relative to want's.
func distance(got, want []float32) float64 {
	var d, w float64
	for i := range want {
		d += float64(got[i]-want[i]) * float64(got[i]-want[i])
		w += float64(want[i]) * float64(want[i])
	}
	return math.Sqrt(d / w)
}
