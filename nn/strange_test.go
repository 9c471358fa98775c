package nn

import (
	"math"
	"strings"
	"sync"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// A panic in a kernel, here on a worker, is the error of the operation.
func TestPanicsAreErrors(t *testing.T) {
	defer kernel.SetThreads(kernel.SetThreads(2))
	o, _ := newOp[float32]("Broken", 2)
	o.run = func([]G.Value) error {
		var began sync.WaitGroup
		began.Add(2)
		kernel.Parallel(2, func(i int) { // one index a goroutine
			began.Done()
			began.Wait()
			if i == 1 {
				panic("index 1 is bad")
			}
		})
		return nil
	}
	for range 20 {
		if _, err := o.Do(); err == nil || err.Error() != "Broken: index 1 is bad" {
			t.Fatalf("got the error %v", err)
		}
	}
}

// What is documented about numbers that are not finite: b1.58's own nodes show
// them in their values, the same rules as quantizers end the run.
func TestStrangeNumbersInTheGraph(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	run := func(x []float32, build func(x *G.Node) (*G.Node, error)) ([]float32, error) {
		g := G.NewGraph()
		dense := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking(x))
		y, err := build(G.NewTensor(g, tensor.Float32, 2, G.WithShape(2, 2), G.WithName("x"), G.WithValue(dense)))
		if err != nil {
			t.Fatal(err)
		}
		vm := G.NewTapeMachine(g)
		defer vm.Close()
		if err := vm.RunAll(); err != nil {
			return nil, err
		}
		return y.Value().Data().([]float32), nil
	}
	weights := func(q WeightQuantizer) func(x *G.Node) (*G.Node, error) {
		q.Lambda = 1
		return func(x *G.Node) (*G.Node, error) { return FakeQuantWeight(x, &q) }
	}
	inputs := func(q ActivationQuantizer) func(x *G.Node) (*G.Node, error) {
		q.Lambda = 1
		return func(x *G.Node) (*G.Node, error) { return FakeQuantActivation(x, &q) }
	}
	for _, bad := range []float32{nan, inf, -inf} {
		x := []float32{1, 2, bad, 3}
		y, err := run(x, weights(WeightQuantizer{}))
		if err != nil || y[0]-y[0] == 0 {
			t.Errorf("weights with %v become %v (%v)", bad, y, err)
		}
		y, err = run(x, inputs(ActivationQuantizer{Bits: 8}))
		if err != nil || y[1] != 2 || y[3] == y[3] {
			t.Errorf("inputs with %v become %v (%v), want NaN in the second row", bad, y, err)
		}
		for name, build := range map[string]func(x *G.Node) (*G.Node, error){
			"weights": weights(WeightQuantizer{Rule: quantizer(t, quant.Config{})}),
			"inputs":  inputs(ActivationQuantizer{Rule: quantizer(t, quant.Config{Bits: 8, Granularity: quant.PerToken})}),
		} {
			if _, err := run(x, build); err == nil || !strings.Contains(err.Error(), "only finite numbers have a code") {
				t.Errorf("%s with %v by a rule: %v", name, bad, err)
			}
		}
	}
	y, err := run([]float32{-math.MaxFloat32, math.MaxFloat32, 1, 1}, inputs(ActivationQuantizer{Bits: 8}))
	if err != nil || y[1] != inf || y[0] != -inf || y[2] != 1 {
		t.Errorf("the largest numbers become %v (%v)", y, err)
	}
}
