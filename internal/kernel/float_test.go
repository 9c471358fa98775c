package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// lengths have tails of every size for vectors of 8 and of 16.
func lengths(r *rand.Rand) []int {
	n := []int{0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 127, 1000, 4099, 70001}
	for range 20 {
		n = append(n, r.IntN(300))
	}
	return n
}

// TestElementwise compares with the portable loops in float64. Sums of
// products may cancel, so the bounds are absolute, for values of size 1.
func TestElementwise(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, n := range lengths(r) {
			a, b, dst := random[float32](r, n), random[float32](r, n), newGuarded[float32](n)
			wa, wb, want := widen(a.x), widen(b.x), make([]float64, n)
			compare := func(what string, bound float64) {
				t.Helper()
				near(t, fmt.Sprintf("%s of %d", what, n), dst.x, want, bound)
				dst.check(t, what)
			}
			Add(dst.x, a.x, b.x)
			Add(want, wa, wb)
			compare("Add", 1e-6)
			AddScaled(dst.x, a.x, -0.7)
			AddScaled(want, wa, float64(float32(-0.7)))
			compare("AddScaled", 1e-6)
			Scale(dst.x, 0.3)
			Scale(want, float64(float32(0.3)))
			compare("Scale", 1e-6)

			if got, want := SumSquares(a.x), SumSquares(wa); math.Abs(got-want) > 1e-12*want {
				t.Fatalf("SumSquares of %d: %v, want %v", n, got, want)
			}
			if got, want := float64(dot(a.x, b.x)), dot(wa, wb); math.Abs(got-want) > 1e-6*float64(n+1) {
				t.Fatalf("dot of %d: %v, want %v", n, got, want)
			}
			if got, want := Argmax(a.x), Argmax(wa); got != want {
				t.Fatalf("Argmax of %d: %d, want %d", n, got, want)
			}
		}
	})
}

func TestArgmaxFirst(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachLevel(t, func(t *testing.T, l Level) {
		for want, x := range [][]float32{
			{3, 1, 3}, {nan, 2, 2}, {-9, nan, -1}, {-5, -4, -3, -2}, {0, 1, 2, 3, inf, inf, 3, 1, 3, 5, 6, 7, 8},
		} {
			if got := Argmax(x); got != want {
				t.Errorf("Argmax(%v) = %d, want %d", x, got, want)
			}
		}
		if got := Argmax([]float32{nan, nan}); got != 0 {
			t.Errorf("Argmax of NaN alone = %d, want 0", got)
		}
	})
}

func TestFirstNonFinite(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		x := make([]float32, 100003)
		for i := range x {
			x[i] = math.MaxFloat32
		}
		if got := FirstNonFinite(x); got != -1 {
			t.Fatalf("without any: %d", got)
		}
		for _, want := range []int{100002, 70000, 32768, 32767, 5, 0} {
			x[want] = []float32{float32(math.NaN()), float32(math.Inf(-1))}[want%2]
			if got := FirstNonFinite(x); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
		}
	})
}

// TestExp checks the bound that Exp states, and its ends.
func TestExp(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		const n = 1 << 18
		x, y := make([]float32, n+3), make([]float32, n+3)
		for i := range n {
			x[i] = -87.3 + 175.3*float32(i)/n
		}
		x[n], x[n+1], x[n+2] = float32(math.Inf(-1)), float32(math.NaN()), 500
		Exp(y, x)
		worst := 0.0
		for i := range n {
			want := math.Exp(float64(x[i]))
			worst = max(worst, math.Abs(float64(y[i])-want)/want)
		}
		t.Logf("largest relative error 2^%.2f", math.Log2(worst))
		if worst > 0x1p-22 {
			t.Errorf("largest relative error %g", worst)
		}
		if y[n] != 0 || y[n+1] == y[n+1] || !math.IsInf(float64(y[n+2]), 1) {
			t.Errorf("exp of -Inf, NaN, 500 is %v", y[n:])
		}
		Exp(y[:1], []float32{0})
		if y[0] != 1 {
			t.Errorf("exp(0) = %v", y[0])
		}
	})
}

// rowShapes are rows and columns for kernels that work by rows.
func rowShapes(r *rand.Rand) [][2]int {
	s := [][2]int{{0, 4}, {1, 1}, {3, 7}, {2, 16}, {150, 33}, {129, 128}, {17, 257}}
	for range 20 {
		s = append(s, [2]int{r.IntN(12), 1 + r.IntN(130)})
	}
	return s
}

func TestGates(t *testing.T) {
	gates := []struct {
		name   string
		f32    func(y, gu []float32, rows, ff int)
		f64    func(y, gu []float64, rows, ff int)
		grad32 func(dgu, dy, gu []float32, rows, ff int)
		grad64 func(dgu, dy, gu []float64, rows, ff int)
	}{
		{"SiLU", SiLUGate[float32], SiLUGate[float64], SiLUGateGrad[float32], SiLUGateGrad[float64]},
		{"ReLU2", ReLU2Gate[float32], ReLU2Gate[float64], ReLU2GateGrad[float32], ReLU2GateGrad[float64]},
	}
	eachLevel(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, s := range rowShapes(r) {
			rows, ff := s[0], s[1]
			for _, g := range gates {
				gu, dy := random[float32](r, rows*2*ff), random[float32](r, rows*ff)
				y, dgu := newGuarded[float32](rows*ff), newGuarded[float32](rows*2*ff)
				wantY, wantD := make([]float64, rows*ff), make([]float64, rows*2*ff)
				g.f32(y.x, gu.x, rows, ff)
				g.f64(wantY, widen(gu.x), rows, ff)
				near(t, g.name, y.x, wantY, 2e-5)
				g.grad32(dgu.x, dy.x, gu.x, rows, ff)
				g.grad64(wantD, widen(dy.x), widen(gu.x), rows, ff)
				near(t, g.name+" gradient", dgu.x, wantD, 2e-5)
				y.check(t, g.name)
				dgu.check(t, g.name+" gradient")
			}
		}
		// Far from zero the gate is linear or shut.
		y, gu := make([]float32, 2), []float32{-200, 300, 1, 2}
		SiLUGate(y, gu, 1, 2)
		if y[0] != 0 || y[1] != 600 {
			t.Errorf("SiLUGate(%v) = %v", gu, y)
		}
	})
}

func TestRMSNorm(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(9, 10))
		for _, s := range rowShapes(r) {
			rows, dim := s[0], s[1]
			n := rows * dim
			x, gain, dy := random[float32](r, n), random[float32](r, dim), random[float32](r, n)
			y, inv := newGuarded[float32](n), newGuarded[float32](rows)
			dx, dgain := newGuarded[float32](n), newGuarded[float32](dim)
			wantY, wantInv, wantDX, wantGain := make([]float64, n), make([]float64, rows), make([]float64, n), make([]float64, dim)

			RMSNorm(y.x, inv.x, x.x, gain.x, rows, dim, 1e-3)
			RMSNorm(wantY, wantInv, widen(x.x), widen(gain.x), rows, dim, float64(float32(1e-3)))
			what := fmt.Sprintf("RMSNorm %d x %d", rows, dim)
			near(t, what, y.x, wantY, 2e-5)
			near(t, what+" inv", inv.x, wantInv, 1e-4)
			// The gradient's bound scales with inv^3, large for one small element.
			largest := 1.0
			for _, v := range wantInv {
				largest = max(largest, v*v)
			}
			RMSNormGrad(dx.x, dgain.x, dy.x, x.x, gain.x, inv.x, rows, dim)
			RMSNormGrad(wantDX, wantGain, widen(dy.x), widen(x.x), widen(gain.x), wantInv, rows, dim)
			near(t, what+" dx", dx.x, wantDX, 1e-5*largest)
			near(t, what+" dgain", dgain.x, wantGain, 1e-4)
			for _, g := range []guarded[float32]{y, inv, dx, dgain} {
				g.check(t, what)
			}
		}
	})
}

func TestRope(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(11, 12))
		for _, headDim := range []int{2, 6, 16, 18, 32, 64, 70} {
			const heads, tokens, start, rows = 3, 5, 4, 15
			ld := heads*headDim + 3
			half := headDim / 2
			cos, sin := make([]float32, (start+tokens)*half), make([]float32, (start+tokens)*half)
			RopeTable(cos, sin, start+tokens, headDim, 10000)
			x := random[float32](r, rows*ld)
			before, want := append([]float32{}, x.x...), widen(x.x)
			Rope(x.x, cos, sin, rows, ld, heads, headDim, tokens, start, false)
			Rope(want, widen(cos), widen(sin), rows, ld, heads, headDim, tokens, start, false)
			near(t, "Rope", x.x, want, 1e-6)
			x.check(t, "Rope")
			Rope(x.x, cos, sin, rows, ld, heads, headDim, tokens, start, true)
			near(t, "Rope and back", x.x, widen(before), 2e-6)
		}
	})
	// Position 2, pair 1 of 2 with base 100: an angle of 2 * 100^(-1/2).
	cos, sin := make([]float64, 6), make([]float64, 6)
	RopeTable(cos, sin, 3, 4, 100)
	if math.Abs(cos[5]-math.Cos(0.2)) > 1e-15 || math.Abs(sin[5]-math.Sin(0.2)) > 1e-15 {
		t.Errorf("RopeTable: cos %v, sin %v, want those of 0.2", cos[5], sin[5])
	}
}

func TestCrossEntropy(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(13, 14))
		for _, s := range rowShapes(r) {
			rows, vocab := s[0], s[1]
			x, targets := random[float32](r, rows*vocab), make([]int32, rows)
			Scale(x.x, 5)
			for i := range targets {
				targets[i] = int32(r.IntN(vocab+1)) - 1
			}
			loss, lse, d := newGuarded[float32](rows), newGuarded[float32](rows), newGuarded[float32](rows*vocab)
			wantLoss, wantLSE, wantD := make([]float64, rows), make([]float64, rows), make([]float64, rows*vocab)
			CrossEntropy(loss.x, lse.x, x.x, targets, rows, vocab)
			CrossEntropy(wantLoss, wantLSE, widen(x.x), targets, rows, vocab)
			near(t, "loss", loss.x, wantLoss, 1e-5)
			near(t, "lse", lse.x, wantLSE, 1e-5)
			CrossEntropyGrad(d.x, x.x, lse.x, targets, rows, vocab, 0.25)
			CrossEntropyGrad(wantD, widen(x.x), wantLSE, targets, rows, vocab, 0.25)
			near(t, "dlogits", d.x, wantD, 1e-6)
			CrossEntropyGrad(x.x, x.x, lse.x, targets, rows, vocab, 0.25)
			for i := range d.x {
				if x.x[i] != d.x[i] {
					t.Fatalf("in place: element %d is %v, else %v", i, x.x[i], d.x[i])
				}
			}
			for _, g := range []guarded[float32]{loss, lse, d, x} {
				g.check(t, "CrossEntropy")
			}
		}
	})
}

// TestCrossEntropyNaN: a NaN among the logits must show in the loss.
func TestCrossEntropyNaN(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		for i := range 40 {
			x := make([]float32, 40)
			x[i] = float32(math.NaN())
			loss, lse := make([]float32, 1), make([]float32, 1)
			CrossEntropy(loss, lse, x, []int32{3}, 1, 40)
			if loss[0] == loss[0] {
				t.Fatalf("NaN at %d gives loss %v", i, loss[0])
			}
		}
	})
}

func TestAdamW(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(15, 16))
		for _, n := range []int{0, 1, 7, 16, 31, 100, 40001} {
			w, m, v := random[float32](r, n), newGuarded[float32](n), newGuarded[float32](n)
			clear(m.x)
			clear(v.x)
			ww, wm, wv := widen(w.x), widen(m.x), widen(v.x)
			for step := range 3 {
				g := random[float32](r, n)
				p := AdamWStep{LR: 0.01, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: step + 1}
				AdamW(w.x, m.x, v.x, g.x, p)
				AdamW(ww, wm, wv, widen(g.x), p)
			}
			near(t, "w", w.x, ww, 1e-5)
			near(t, "m", m.x, wm, 1e-6)
			near(t, "v", v.x, wv, 1e-6)
			for _, g := range []guarded[float32]{w, m, v} {
				g.check(t, "AdamW")
			}
		}
	})
	// One step by hand: m/(1-Beta1) = g, sqrt(v/(1-Beta2)) = |g|, so the step is LR.
	w, m, v := []float64{2}, []float64{0}, []float64{0}
	AdamW(w, m, v, []float64{-3}, AdamWStep{LR: 0.1, Beta1: 0.9, Beta2: 0.99, WeightDecay: 0.5, GradScale: 1, Step: 1})
	if want := 2*(1-0.05) + 0.1; math.Abs(w[0]-want) > 1e-12 {
		t.Errorf("first step to %v, want %v", w[0], want)
	}
}

// TestThreads checks that no result depends on the number of threads, and no
// row on the rows beside it.
func TestThreads(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		defer SetThreads(SetThreads(1))
		const rows, dim = 301, 517
		r := rand.New(rand.NewPCG(17, 18))
		x, gain, dy, gu := random[float32](r, rows*dim).x, random[float32](r, dim).x, random[float32](r, rows*dim).x, random[float32](r, 2*rows*dim).x
		targets := make([]int32, rows)
		compute := func(first, rows int) (all [][]float32) {
			n := rows * dim
			x, dy, gu := x[first*dim:], dy[first*dim:], gu[2*first*dim:]
			y, inv, dx, dgain := make([]float32, n), make([]float32, rows), make([]float32, n), make([]float32, dim)
			RMSNorm(y, inv, x, gain, rows, dim, 1e-5)
			RMSNormGrad(dx, dgain, dy, x, gain, inv, rows, dim)
			gate, dgu, loss, lse, d := make([]float32, n), make([]float32, 2*n), make([]float32, rows), make([]float32, rows), make([]float32, n)
			SiLUGate(gate, gu, rows, dim)
			SiLUGateGrad(dgu, dy, gu, rows, dim)
			CrossEntropy(loss, lse, x, targets[first:], rows, dim)
			CrossEntropyGrad(d, x, lse, targets[first:], rows, dim, 1)
			return [][]float32{y, inv, dx, gate, dgu, loss, lse, d, dgain, {float32(SumSquares(x[:n]))}}
		}
		want := compute(0, rows)
		for _, threads := range []int{2, 3, 8} {
			SetThreads(threads)
			for i, got := range compute(0, rows) {
				equal(t, fmt.Sprintf("%d threads, output %d", threads, i), got, want[i])
			}
		}
		for row := 0; row < rows; row += 37 {
			for i, got := range compute(row, 1)[:8] {
				equal(t, fmt.Sprintf("row %d alone, output %d", row, i), got, want[i][row*len(got):(row+1)*len(got)])
			}
		}
	})
}

func equal(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}
