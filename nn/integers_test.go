package nn

import (
	"fmt"
	"math/rand/v2"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/internal/kernel"
)

// integerLayer is a float32 graph of a layer whose products, forward and
// backward, are all of integers.
type integerLayer struct {
	inputs G.Nodes // x, then the weights
	y      *G.Node
	vm     G.VM
}

func newIntegerLayer(t *testing.T, tokens, in int, outs ...int) *integerLayer {
	t.Helper()
	g, r := G.NewGraph(), rand.New(rand.NewPCG(3, 4))
	l := &integerLayer{}
	x, _ := floats32(g, "x", r, tokens, in)
	l.inputs = G.Nodes{x}
	width := 0
	for i, out := range outs {
		w, _ := floats32(g, fmt.Sprintf("w%d", i), r, out, in)
		l.inputs = append(l.inputs, w)
		width += out
	}
	var err error
	if l.y, err = bitLinear(l.inputs, &ActivationQuantizer{Bits: 8, Lambda: 1, GradientBits: 16}, &WeightQuantizer{Lambda: 1}); err != nil {
		t.Fatal(err)
	}
	dy, _ := floats32(g, "dy", r, tokens, width)
	cost := G.Must(G.Sum(G.Must(G.HadamardProd(l.y, dy))))
	if _, err := G.Grad(cost, l.inputs...); err != nil {
		t.Fatal(err)
	}
	l.vm = G.NewTapeMachine(g)
	t.Cleanup(func() { l.vm.Close() })
	return l
}

// run returns copies of the layer's output and of its gradients.
func (l *integerLayer) run(t *testing.T) (results []tensor.Tensor) {
	t.Helper()
	if err := l.vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	defer l.vm.Reset()
	results = append(results, l.y.Value().(*tensor.Dense).Clone().(tensor.Tensor))
	for _, n := range l.inputs {
		v, err := n.Grad()
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, v.(*tensor.Dense).Clone().(tensor.Tensor))
	}
	return results
}

// A layer of integers has one result: the same bits at every level of the
// processor, with any number of threads, and when it runs again.
func TestIntegerLayerHasTheSameBitsEverywhere(t *testing.T) {
	defer kernel.SetLevel(kernel.SetLevel(kernel.Portable))
	defer kernel.SetThreads(kernel.SetThreads(1))
	l := newIntegerLayer(t, 1031, 97, 53, 31)
	want := l.run(t)
	for level := kernel.Portable; level <= kernel.Best(); level++ {
		for _, threads := range []int{1, 2, 3} {
			kernel.SetLevel(level)
			kernel.SetThreads(threads)
			for again := range 2 {
				for i, got := range l.run(t) {
					if !got.Eq(want[i]) {
						t.Errorf("%v, %d threads, run %d: result %d (y, dx, dw...) differs from the portable one", level, threads, again, i)
					}
				}
			}
		}
	}
}
