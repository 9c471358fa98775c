package train

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/layers"
)

// given is a parameter with a gradient that a test chose.
type given struct {
	*G.Node
	gradient []float32
}

func (g given) Grad() (G.Value, error) {
	return tensor.New(tensor.WithShape(g.Node.Shape()...), tensor.WithBacking(g.gradient)), nil
}

func parameter(kind arch.Kind, values []float32, shape ...int) *layers.Parameter {
	dense := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
	n := G.NewTensor(G.NewGraph(), tensor.Float32, len(shape), G.WithShape(shape...), G.WithName("w"), G.WithValue(dense))
	return &layers.Parameter{Parameter: arch.Parameter{Name: "w", Shape: shape, Kind: kind}, Node: n}
}

func settings() config.Train {
	t := config.Default().Train
	t.LR, t.MuonLR, t.WeightDecay, t.Beta1, t.Beta2, t.Clip = 0.01, 0.02, 0.1, 0.9, 0.99, 1
	return t
}

// Three steps of AdamW with clipping, against the formulas of the paper in
// float64.
func TestAdamW(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const n = 37
	values, want := make([]float32, n), make([]float64, n)
	for i := range values {
		values[i] = float32(r.NormFloat64())
		want[i] = float64(values[i])
	}
	p := parameter(arch.Embedding, values, n, 1)
	s := settings()
	s.Optimizer = config.AdamW
	o := NewOptimizer(s, []*layers.Parameter{p})
	m, v := make([]float64, n), make([]float64, n)
	for step := 1; step <= 3; step++ {
		g := make([]float32, n)
		sum := 0.0
		for i := range g {
			g[i] = float32(r.NormFloat64() * float64(step)) // norms of about 6 to 18: clipped
			sum += float64(g[i]) * float64(g[i])
		}
		if err := o.Step([]G.ValueGrad{given{p.Node, g}}); err != nil {
			t.Fatal(err)
		}
		if math.Abs(o.Norm-math.Sqrt(sum)) > 1e-4*o.Norm {
			t.Errorf("norm %v, want %v", o.Norm, math.Sqrt(sum))
		}
		for i := range want {
			d := float64(g[i]) / math.Sqrt(sum)
			m[i] = 0.9*m[i] + 0.1*d
			v[i] = 0.99*v[i] + 0.01*d*d
			mean, square := m[i]/(1-math.Pow(0.9, float64(step))), v[i]/(1-math.Pow(0.99, float64(step)))
			want[i] -= 0.01*mean/(math.Sqrt(square)+1e-8) + 0.01*0.1*want[i]
		}
	}
	for i := range want {
		if math.Abs(float64(values[i])-want[i]) > 1e-5 {
			t.Fatalf("w[%d] = %v, want %v", i, values[i], want[i])
		}
	}
}

func TestNormsDoNotDecay(t *testing.T) {
	for _, c := range []struct {
		kind arch.Kind
		want float32
	}{{arch.Norm, 1}, {arch.Embedding, 1 - 0.01*0.1}, {arch.Linear, 1 - 0.02*0.1}} {
		p := parameter(c.kind, []float32{1, 1, 1, 1}, 2, 2)
		s := settings()
		s.Optimizer = config.Muon
		o := NewOptimizer(s, []*layers.Parameter{p})
		if err := o.Step([]G.ValueGrad{given{p.Node, make([]float32, 4)}}); err != nil {
			t.Fatal(err)
		}
		if got := p.Data()[0]; math.Abs(float64(got-c.want)) > 1e-6 {
			t.Errorf("%v: 1 becomes %v without a gradient, want %v", c.kind, got, c.want)
		}
	}
}

// Five Newton-Schulz steps leave the singular vectors and bring the singular
// values near 1: x^T x of the result is near the identity, whichever side is
// the longer one.
func TestOrthogonalize(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, shape := range [][2]int{{20, 50}, {50, 20}, {33, 33}, {1, 7}} {
		rows, cols := shape[0], shape[1]
		var o orthogonalizer
		x := o.matrix(rows * cols)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		original := slices.Clone(x)
		y := o.orthogonalize(x, rows, cols)
		// Along the matrix itself the result must point the same way.
		dot := 0.0
		for i := range y {
			dot += float64(y[i]) * float64(original[i])
		}
		if dot <= 0 {
			t.Errorf("%v: the result points away from the matrix", shape)
		}
		k := min(rows, cols)
		for i := range k {
			for j := range k {
				sum := 0.0
				for l := range max(rows, cols) {
					if rows < cols {
						sum += float64(y[i*cols+l]) * float64(y[j*cols+l])
					} else {
						sum += float64(y[l*cols+i]) * float64(y[l*cols+j])
					}
				}
				// Singular values between 0.6 and 1.25; the square matrix has
				// some near zero, which five steps do not lift.
				if i == j && rows != cols && (sum < 0.3 || sum > 1.6) {
					t.Errorf("%v: the square of row %d is %v", shape, i, sum)
				}
				if i != j && rows != cols && math.Abs(sum) > 0.35 {
					t.Errorf("%v: rows %d and %d have the product %v", shape, i, j, sum)
				}
			}
		}
	}
}

// Muon's step has the size that its rule gives: the root mean square of
// lr * 0.2 * sqrt(max) * O, O with singular values near 1, is 0.2 lr.
func TestMuonStepSize(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	const rows, cols = 24, 96
	g := make([]float32, rows*cols)
	for i := range g {
		g[i] = float32(r.NormFloat64() * 1e-3)
	}
	p := parameter(arch.Linear, make([]float32, rows*cols), rows, cols)
	s := settings()
	s.Optimizer = config.Muon
	o := NewOptimizer(s, []*layers.Parameter{p})
	if err := o.Step([]G.ValueGrad{given{p.Node, g}}); err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, v := range p.Data() {
		sum += float64(v) * float64(v)
	}
	if rms := math.Sqrt(sum / (rows * cols)); rms < 0.7*0.2*0.02 || rms > 1.25*0.2*0.02 {
		t.Errorf("the step's root mean square is %v, want about %v", rms, 0.2*0.02)
	}
}

func TestNonFiniteGradient(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		p := parameter(arch.Embedding, []float32{1, 2}, 2, 1)
		o := NewOptimizer(settings(), []*layers.Parameter{p})
		err := o.Step([]G.ValueGrad{given{p.Node, []float32{0, bad}}})
		var e *NonFinite
		if !errors.As(err, &e) || e.Parameter != "w" {
			t.Errorf("gradient %v: error %v", bad, err)
		}
		if !slices.Equal(p.Data(), []float32{1, 2}) {
			t.Errorf("gradient %v changed the parameter to %v", bad, p.Data())
		}
	}
}
