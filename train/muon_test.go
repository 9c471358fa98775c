package train

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/internal/kernel"
	"trefoil/layers"
)

// stepped returns what one step of Muon makes of w: [rows, cols], in blocks of
// up to block rows.
func stepped(t *testing.T, w, g []float32, rows, cols, block int) []float32 {
	t.Helper()
	w = slices.Clone(w)
	p := parameter(arch.Linear, w, rows, cols)
	s := settings()
	s.Optimizer, s.Clip, s.MuonBlock = config.Muon, 0, block
	o := NewOptimizer(s, []*layers.Parameter{p})
	if err := o.Step([]G.ValueGrad{given{p.Node, g}}); err != nil {
		t.Fatal(err)
	}
	return w
}

// A matrix with more than 128 rows moves as its blocks of rows do by
// themselves, a tall one as its transpose does.
func TestMuonBlocks(t *testing.T) {
	const rows, cols, blocks = 300, 400, 3
	r := rand.New(rand.NewPCG(10, 11))
	w, g := make([]float32, rows*cols), make([]float32, rows*cols)
	for i := range w {
		w[i], g[i] = float32(r.NormFloat64()), float32(r.NormFloat64())
	}
	got := stepped(t, w, g, rows, cols, 128)
	const size = rows / blocks * cols
	for b := range blocks {
		lo, hi := b*size, (b+1)*size
		if !slices.Equal(got[lo:hi], stepped(t, w[lo:hi], g[lo:hi], rows/blocks, cols, 0)) {
			t.Errorf("block %d moves otherwise than by itself", b)
		}
	}
	tall := transposed(stepped(t, transposed(w, rows, cols), transposed(g, rows, cols), cols, rows, 128), cols, rows)
	for i := range got {
		if d := math.Abs(float64(got[i] - tall[i])); d > 1e-6 {
			t.Fatalf("the transposed matrix moves otherwise: element %d is %v, not %v", i, tall[i], got[i])
		}
	}
}

// transposed returns the transpose of x: [rows, cols].
func transposed(x []float32, rows, cols int) []float32 {
	y := make([]float32, len(x))
	for i := range rows {
		for j := range cols {
			y[j*rows+i] = x[i*cols+j]
		}
	}
	return y
}

// The update of a matrix has the same bits with any number of threads.
func TestMuonIndependentOfThreads(t *testing.T) {
	const rows, cols, matrices = 270, 130, 3
	update := func(threads int) (weights [][]float32) {
		defer kernel.SetThreads(kernel.SetThreads(threads))
		r := rand.New(rand.NewPCG(6, 7))
		var parameters []*layers.Parameter
		var model []G.ValueGrad
		for range matrices {
			w, g := make([]float32, rows*cols), make([]float32, rows*cols)
			for i := range w {
				w[i], g[i] = float32(r.NormFloat64()), float32(r.NormFloat64())
			}
			p := parameter(arch.Linear, w, rows, cols)
			parameters, model = append(parameters, p), append(model, given{p.Node, g})
			weights = append(weights, w)
		}
		s := settings()
		s.Optimizer, s.MuonBlock = config.Muon, 100
		o := NewOptimizer(s, parameters)
		for range 3 {
			if err := o.Step(model); err != nil {
				t.Fatal(err)
			}
		}
		return weights
	}
	want := update(1)
	for i, w := range update(4) {
		if !slices.Equal(w, want[i]) {
			t.Errorf("matrix %d depends on the number of threads", i)
		}
	}
}
