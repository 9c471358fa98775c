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

// relativeError returns |y - want| / |want| in the Frobenius norm, y being what
// the orthogonalizer makes of x: [rows, cols], want what steps in float64 do.
func relativeError(x []float32, rows, cols int) float64 {
	var o orthogonalizer
	copy(o.matrix(len(x)), x)
	y := o.orthogonalize(o.x, rows, cols)
	wide := rows <= cols
	at := func(i int) int { // where element i of y is in want, which is wide
		if wide {
			return i
		}
		return i%cols*rows + i/cols
	}
	exact := make([]float64, len(x))
	for i, v := range x {
		exact[at(i)] = float64(v)
	}
	want := newtonSchulz(exact, min(rows, cols), max(rows, cols))
	var difference, norm float64
	for i, v := range y {
		difference += math.Pow(float64(v)-want[at(i)], 2)
		norm += math.Pow(want[at(i)], 2)
	}
	return math.Sqrt(difference / norm)
}

// orthonormal returns n orthonormal vectors of length d.
func orthonormal(r *rand.Rand, n, d int) [][]float64 {
	vectors := make([][]float64, n)
	for i := range vectors {
		v := make([]float64, d)
		for j := range v {
			v[j] = r.NormFloat64()
		}
		for range 2 { // the second time for what rounding left
			for _, u := range vectors[:i] {
				dot := make([]float64, 1)
				kernel.GemmNT(dot, u, v, 1, 1, d, false)
				kernel.Combine(v, 1, v, -dot[0], u)
			}
		}
		kernel.Scale(v, 1/math.Sqrt(kernel.SumSquares(v)))
		vectors[i] = v
	}
	return vectors
}

// Steps on the Gram matrix lose little against steps on the matrix itself:
// what float32 rounds off a small eigenvalue grows by the square of 3.4445 in
// each, by 2e4 in the four that follow. Here the singular values fall evenly,
// in their logarithm, from 1 to smallest. Measured: 5e-7 where they are equal,
// 8e-4 at most.
func TestOrthogonalizeAgainstFloat64(t *testing.T) {
	for _, shape := range [][2]int{{96, 96}, {64, 176}, {176, 64}, {5, 300}} {
		rows, cols := shape[0], shape[1]
		k := min(rows, cols)
		r := rand.New(rand.NewPCG(4, 5))
		left, right := orthonormal(r, k, rows), orthonormal(r, k, cols)
		for _, smallest := range []float64{1, 1e-1, 1e-3, 1e-6} {
			exact, x := make([]float64, rows*cols), make([]float32, rows*cols)
			for i := range k {
				u := slices.Clone(left[i])
				kernel.Scale(u, math.Pow(smallest, float64(i)/float64(k-1)))
				kernel.GemmNN(exact, u, right[i], rows, cols, 1, true)
			}
			for i, v := range exact {
				x[i] = float32(v)
			}
			e := relativeError(x, rows, cols)
			if !(e < 2e-3) {
				t.Errorf("%dx%d, singular values from 1 to %g: relative error %.1e", rows, cols, smallest, e)
			}
		}
	}
}

// The momentum of a model in training, of all matrices of its blocks. Measured:
// 3e-6 to 2e-4.
func TestOrthogonalizeMomentum(t *testing.T) {
	c := config.Default()
	c.Quantization.Phases = nil
	a := arch.Config{Vocab: 65, Dim: 96, Layers: 2, Heads: 4, KVHeads: 4, FF: 256, Context: 32,
		Activation: arch.SiLU, RopeBase: 1e4, NormEps: 1e-5}
	n, err := NewNetwork(a, c.Quantization, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	s := settings()
	s.Optimizer = config.Muon
	o := NewOptimizer(s, n.Model.Parameters())
	var model []G.ValueGrad
	for _, p := range n.Model.Parameters() {
		model = append(model, p.Node)
	}
	r := rand.New(rand.NewPCG(8, 9))
	for range 20 {
		for i := range n.Inputs { // each token follows from the one before, most of the time
			n.Inputs[i] = r.Int32N(65)
			if i > 0 && r.IntN(4) > 0 {
				n.Inputs[i] = n.Inputs[i-1] * 7 % 65
			}
			n.Targets[max(0, i-1)] = n.Inputs[i]
		}
		if err := n.Learn(); err != nil {
			t.Fatal(err)
		}
		if err := o.Step(model); err != nil {
			t.Fatal(err)
		}
	}
	compared := 0
	for _, s := range o.states {
		if s.square != nil {
			continue
		}
		compared++
		e := relativeError(s.mean, s.rows, s.cols)
		if !(e < 1e-3) {
			t.Errorf("momentum of %s: relative error %.1e", s.name, e)
		}
	}
	if compared != 14 {
		t.Errorf("compared %d matrices, want 7 of each of 2 blocks", compared)
	}
}
