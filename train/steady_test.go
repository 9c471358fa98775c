package train

import (
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/nn"
	"trefoil/schedule"
)

// What a step allocates is Gorgonia's, but for the functions that kernels hand to
// their workers, some hundred bytes a product and a norm: it does not grow with
// the tensors, and no goroutine stays behind.
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
			g := n.loss.Graph()
			gorgonia, operations := allocated(t, idleRun(t, g)), uint64(operations(g))
			ours := bytes[i] - gorgonia
			t.Logf("%s, width %d: of %d operations, %d bytes a step are Trefoil's, %d Gorgonia's", optimizer, a.Dim, operations, ours, gorgonia)
			if ours > 300*operations {
				t.Errorf("%s, width %d: Trefoil allocates %d bytes a step, %d an operation", optimizer, a.Dim, ours, ours/operations)
			}
			n.Close()
		}
		if bytes[1] > bytes[0]+bytes[0]/4 {
			t.Errorf("%s: a step allocates %d bytes, with tensors about ten times as large %d", optimizer, bytes[0], bytes[1])
		}
	}
}

// allocated returns the least bytes that one of several steps allocates, when
// all buffers have their size, and checks that they leave no goroutine.
func allocated(t *testing.T, step func()) uint64 {
	t.Helper()
	const warm, steps = 3, 10
	goroutines, least := 0, uint64(math.MaxUint64)
	for i := range warm + steps {
		if i == warm {
			goroutines = runtime.NumGoroutine()
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		step()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	for wait := time.Millisecond; runtime.NumGoroutine() > goroutines; wait *= 2 {
		if wait > time.Second {
			t.Errorf("%d goroutines after %d steps, before %d", runtime.NumGoroutine(), steps, goroutines)
			break
		}
		time.Sleep(wait) // for those that are about to end
	}
	return least
}

// idle is an operation that does nothing but hand out the value of another.
type idle struct {
	G.Op
	value G.Value
}

func (o idle) Do(...G.Value) (G.Value, error) { return o.value, nil }

// idleRun returns a run of the graph, which has run before, with operations
// that do nothing: what it costs is Gorgonia's.
func idleRun(t *testing.T, g *G.ExprGraph) (run func()) {
	t.Helper()
	sorted, err := G.Sort(g)
	if err != nil {
		t.Fatal(err)
	}
	copied, copies := G.NewGraph(), map[*G.Node]*G.Node{}
	for _, n := range slices.Backward(sorted) { // it begins at the results
		var operands G.Nodes
		for _, o := range nn.Operands(n) {
			operands = append(operands, copies[o])
		}
		switch {
		case len(operands) > 0:
			if copies[n], err = G.ApplyOp(idle{n.Op(), n.Value()}, operands...); err != nil {
				t.Fatal(err)
			}
		case n.Op() != nil:
			copies[n] = copied.AddNode(G.NewConstant(n.Value(), G.WithName(n.Name())))
		default:
			copies[n] = G.NewTensor(copied, n.Dtype(), n.Dims(), G.WithShape(n.Shape()...), G.WithName(n.Name()), G.WithValue(n.Value()))
		}
	}
	if got, want := len(copied.AllNodes()), len(g.AllNodes()); got != want {
		t.Fatalf("the copy has %d nodes, the graph %d", got, want)
	}
	vm := G.NewTapeMachine(copied)
	t.Cleanup(func() { vm.Close() })
	return func() {
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		vm.Reset()
	}
}

// operations returns how many nodes of a graph are computed.
func operations(g *G.ExprGraph) (n int) {
	for _, node := range g.AllNodes() {
		if len(nn.Operands(node)) > 0 {
			n++
		}
	}
	return n
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
