package train

import (
	"runtime"
	"runtime/debug"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/schedule"
)

// What a step allocates is Gorgonia's, some hundred bytes a node: it does not
// grow with the tensors, and no goroutine stays behind.
func TestStepsLeaveNothingBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode, which the race detector runs in: it lets pools lose buffers at random")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	q := config.Default().Quantization
	q.Phases, q.GradientBits = nil, 16
	for _, optimizer := range []string{config.AdamW, config.Muon} {
		var bytes [2]uint64
		for i, scale := range []int{1, 3} { // both so narrow that muon takes whole matrices
			a := arch.Config{Vocab: 50 * scale, Dim: 40 * scale, Layers: 2, Heads: 2, KVHeads: 1, FF: 80 * scale, Context: 32 * scale,
				Activation: arch.SiLU, RopeBase: 1e4, NormEps: 1e-5}
			n, err := NewNetwork(a, q, 3, 1)
			if err != nil {
				t.Fatal(err)
			}
			bytes[i] = allocated(t, stepOf(t, n, q, optimizer))
			n.Close()
		}
		t.Logf("%s: %d bytes a step", optimizer, bytes[0])
		if bytes[1] > bytes[0]+bytes[0]/4 {
			t.Errorf("%s: a step allocates %d bytes, with tensors about ten times as large %d", optimizer, bytes[0], bytes[1])
		}
	}
}

// allocated returns the bytes that a step allocates once all buffers have
// their size, and checks that it leaves no goroutine.
func allocated(t *testing.T, step func()) uint64 {
	t.Helper()
	const steps = 10
	for range 3 {
		step()
	}
	goroutines := runtime.NumGoroutine()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range steps {
		step()
	}
	runtime.ReadMemStats(&after)
	if now := runtime.NumGoroutine(); now > goroutines {
		t.Errorf("%d goroutines after %d steps, before %d", now, steps, goroutines)
	}
	return (after.TotalAlloc - before.TotalAlloc) / steps
}

// stepOf returns a training step on ids that repeat, quantized as q has it after
// a tenth of a run: in the middle of the default blend.
func stepOf(t testing.TB, n *Network, q schedule.Quantization, optimizer string) func() {
	t.Helper()
	var names []string
	for _, l := range n.Model.Linears() {
		names = append(names, l.Weight.Name)
	}
	const steps, now = 1000, 100
	plan, err := q.Plan(names, steps)
	if err != nil {
		t.Fatal(err)
	}
	n.Quantize(plan.At(now), now)
	for i := range n.Inputs {
		n.Inputs[i], n.Targets[i] = int32(i*31%n.Model.Config.Vocab), int32((i*31+31)%n.Model.Config.Vocab)
	}
	c := settings()
	c.Optimizer = optimizer
	o := NewOptimizer(c, n.Model.Parameters())
	var model []G.ValueGrad
	for _, p := range n.Model.Parameters() {
		model = append(model, p.Node)
	}
	return func() {
		if err := n.Learn(); err != nil {
			t.Fatal(err)
		}
		if err := o.Step(model); err != nil {
			t.Fatal(err)
		}
	}
}
