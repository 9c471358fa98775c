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

// newtonSchulz takes the five steps in float64, each on the whole matrix.
func newtonSchulz(x []float64, rows, cols int) []float64 {
	const a, b, c = 3.4445, -4.7750, 2.0315
	kernel.Scale(x, 1/math.Sqrt(kernel.SumSquares(x)))
	gram, poly, next := make([]float64, rows*rows), make([]float64, rows*rows), make([]float64, len(x))
	for range 5 {
		kernel.GemmNT(gram, x, x, rows, rows, cols, false)
		kernel.GemmNN(poly, gram, gram, rows, rows, rows, false)
		for i := range poly {
			poly[i] = c*poly[i] + b*gram[i]
		}
		for i := range rows {
			poly[i*rows+i] += a
		}
		kernel.GemmNN(next, poly, x, rows, cols, rows, false)
		x, next = next, x
	}
	return x
}

// decaying returns a matrix as gradients are: its singular values fall by
// decay from one to the next, down to a little noise.
func decaying(r *rand.Rand, rows, cols int, decay float64) []float64 {
	x := make([]float64, rows*cols)
	for i := range x {
		x[i] = 1e-3 * r.NormFloat64()
	}
	u, v := make([]float64, rows), make([]float64, cols)
	for s := 1.0; s > 1e-4; s *= decay {
		for i := range u {
			u[i] = s * r.NormFloat64()
		}
		for j := range v {
			v[j] = r.NormFloat64()
		}
		kernel.GemmNN(x, u, v, rows, cols, 1, true)
	}
	return x
}

// Steps on the Gram matrix lose little against steps on the matrix itself:
// what float32 rounds off a small eigenvalue grows by the square of 3.4445 in
// each, by 2e4 in the four that follow. Measured: 4e-4 of the result's norm.
func TestOrthogonalizeAgainstFloat64(t *testing.T) {
	for _, shape := range [][2]int{{96, 96}, {64, 176}, {5, 300}} {
		for _, decay := range []float64{0.5, 0.75, 0.95} {
			rows, cols := shape[0], shape[1]
			x := decaying(rand.New(rand.NewPCG(4, 5)), rows, cols, decay)
			wide, tall := make([]float32, len(x)), make([]float32, len(x))
			for i, v := range x {
				wide[i], tall[i%cols*rows+i/cols] = float32(v), float32(v)
			}
			var o orthogonalizer
			copy(o.matrix(len(x)), wide)
			got := slices.Clone(o.orthogonalize(o.x, rows, cols))
			copy(o.matrix(len(x)), tall)
			transposed := o.orthogonalize(o.x, cols, rows)
			want := newtonSchulz(x, rows, cols)
			var errors, errorsTall, norm float64
			for i, v := range want {
				errors += math.Pow(float64(got[i])-v, 2)
				errorsTall += math.Pow(float64(transposed[i%cols*rows+i/cols])-v, 2)
				norm += v * v
			}
			if e := math.Sqrt(max(errors, errorsTall) / norm); !(e < 2e-3) {
				t.Errorf("%dx%d, decay %v: relative error %.1e", rows, cols, decay, e)
			}
		}
	}
}

// The update of a matrix has the same bits with any number of threads.
func TestMuonIndependentOfThreads(t *testing.T) {
	const rows, cols, matrices = 70, 130, 3
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
		s.Optimizer = config.Muon
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
