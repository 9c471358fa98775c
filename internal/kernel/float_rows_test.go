package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// rowShapes are rows and columns for kernels that work by rows.
func rowShapes(r *rand.Rand) [][2]int {
	s := [][2]int{{0, 4}, {1, 1}, {3, 7}, {2, 16}, {150, 33}, {129, 128}, {17, 257}}
	for range 20 {
		s = append(s, [2]int{r.IntN(12), 1 + r.IntN(130)})
	}
	return s
}

// eachRowShape runs check at every level, for all shapes.
func eachRowShape(t *testing.T, check func(t *testing.T, r *rand.Rand, rows, cols int)) {
	eachLevel(t, func(t *testing.T, _ Level) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, s := range rowShapes(r) {
			check(t, r, s[0], s[1])
		}
	})
}

func TestGates(t *testing.T)        { eachRowShape(t, checkGates) }
func TestRMSNorm(t *testing.T)      { eachRowShape(t, checkRMSNorm) }
func TestRope(t *testing.T)         { eachRowShape(t, checkRope) }
func TestCrossEntropy(t *testing.T) { eachRowShape(t, checkCrossEntropy) }

// TestAdamW also has more elements than one goroutine takes.
func TestAdamW(t *testing.T) {
	eachRowShape(t, func(t *testing.T, r *rand.Rand, rows, cols int) { checkAdamW(t, r, rows*cols) })
	eachLevel(t, func(t *testing.T, _ Level) { checkAdamW(t, rand.New(rand.NewPCG(15, 16)), 40001) })
}

// FuzzRows tries shapes of everything that works by rows or elements.
func FuzzRows(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint16(33))
	f.Add(uint64(2), uint8(0), uint16(1))
	f.Fuzz(func(t *testing.T, seed uint64, rows uint8, cols uint16) {
		n, m := int(rows%40), 1+int(cols%700)
		for l := Portable; l <= min(Best(), AVX512); l++ {
			defer SetLevel(SetLevel(l))
			r := rand.New(rand.NewPCG(seed, 0))
			checkGates(t, r, n, m)
			checkRMSNorm(t, r, n, m)
			checkRope(t, r, n, m)
			checkCrossEntropy(t, r, n, m)
			checkAdamW(t, r, n*m)
			checkElementwise(t, r, n*m)
			checkReductions(t, r, n*m)
		}
	})
}

func checkGates(t *testing.T, r *rand.Rand, rows, ff int) {
	t.Helper()
	for _, g := range []struct {
		name   string
		f32    func(y, gu []float32, rows, ff int)
		f64    func(y, gu []float64, rows, ff int)
		grad32 func(dgu, dy, gu []float32, rows, ff int)
		grad64 func(dgu, dy, gu []float64, rows, ff int)
	}{
		{"SiLU", SiLUGate[float32], SiLUGate[float64], SiLUGateGrad[float32], SiLUGateGrad[float64]},
		{"ReLU2", ReLU2Gate[float32], ReLU2Gate[float64], ReLU2GateGrad[float32], ReLU2GateGrad[float64]},
	} {
		gu, dy := random[float32](r, rows*2*ff), random[float32](r, rows*ff)
		y, dgu := newFenced[float32](rows*ff, guard), newFenced[float32](rows*2*ff, guard)
		wantY, wantD := make([]float64, rows*ff), make([]float64, rows*2*ff)
		g.f32(y.s, gu.s, rows, ff)
		g.f64(wantY, widen(gu.s), rows, ff)
		near(t, g.name, y.s, wantY, 2e-5)
		g.grad32(dgu.s, dy.s, gu.s, rows, ff)
		g.grad64(wantD, widen(dy.s), widen(gu.s), rows, ff)
		near(t, g.name+" gradient", dgu.s, wantD, 2e-5)
		y.check(t, g.name)
		dgu.check(t, g.name+" gradient")
	}
}

// Far from zero the gate is linear or shut.
func TestSiLUGateFarFromZero(t *testing.T) {
	eachLevel(t, func(t *testing.T, _ Level) {
		y, gu := make([]float32, 2), []float32{-200, 300, 1, 2}
		SiLUGate(y, gu, 1, 2)
		if y[0] != 0 || y[1] != 600 {
			t.Errorf("SiLUGate(%v) = %v", gu, y)
		}
	})
}

func checkRMSNorm(t *testing.T, r *rand.Rand, rows, dim int) {
	t.Helper()
	n := rows * dim
	x, gain, dy, around := random[float32](r, n), random[float32](r, dim), random[float32](r, n), random[float32](r, n)
	y, inv := newFenced[float32](n, guard), newFenced[float32](rows, guard)
	dx, dgain := newFenced[float32](n, guard), newFenced[float32](dim, guard)
	wantY, wantInv, wantDX, wantGain := make([]float64, n), make([]float64, rows), make([]float64, n), make([]float64, dim)

	RMSNorm(y.s, inv.s, x.s, gain.s, rows, dim, 1e-3)
	RMSNorm(wantY, wantInv, widen(x.s), widen(gain.s), rows, dim, float64(float32(1e-3)))
	what := fmt.Sprintf("RMSNorm %d x %d", rows, dim)
	near(t, what, y.s, wantY, 2e-5)
	near(t, what+" inv", inv.s, wantInv, 1e-4)
	// The gradient's bound scales with inv^3, large for one small element.
	largest := 1.0
	for _, v := range wantInv {
		largest = max(largest, v*v)
	}
	for _, around := range [][]float32{nil, around.s} {
		RMSNormGrad(dx.s, dgain.s, dy.s, x.s, gain.s, inv.s, around, rows, dim)
		RMSNormGrad(wantDX, wantGain, widen(dy.s), widen(x.s), widen(gain.s), wantInv, nil, rows, dim)
		for i, v := range around {
			wantDX[i] += float64(v)
		}
		near(t, what+" dx", dx.s, wantDX, 1e-5*largest)
		near(t, what+" dgain", dgain.s, wantGain, 1e-4)
	}
	for _, g := range []fenced[float32]{y, inv, dx, dgain} {
		g.check(t, what)
	}
}

// checkRope turns heads of 2*half columns, between columns that must stay.
func checkRope(t *testing.T, r *rand.Rand, rows, half int) {
	t.Helper()
	const heads, tokens, start, rest = 3, 5, 4, 3
	headDim := 2 * half
	ld := heads*headDim + rest
	cos, sin := make([]float32, (start+tokens)*half), make([]float32, (start+tokens)*half)
	RopeTable(cos, sin, start+tokens, headDim, 10000)
	x := random[float32](r, rows*ld)
	before, want := widen(x.s), widen(x.s)
	Rope(x.s, cos, sin, rows, ld, heads, headDim, tokens, start, false)
	Rope(want, widen(cos), widen(sin), rows, ld, heads, headDim, tokens, start, false)
	near(t, "Rope", x.s, want, 1e-6)
	for row := range rows {
		near(t, "columns beside Rope's", x.s[(row+1)*ld-rest:(row+1)*ld], before[(row+1)*ld-rest:(row+1)*ld], 0)
	}
	x.check(t, "Rope")
	Rope(x.s, cos, sin, rows, ld, heads, headDim, tokens, start, true)
	near(t, "Rope and back", x.s, before, 2e-6)
}

func TestRopeTable(t *testing.T) {
	// Position 2, pair 1 of 2 with base 100: an angle of 2 * 100^(-1/2).
	cos, sin := make([]float64, 6), make([]float64, 6)
	RopeTable(cos, sin, 3, 4, 100)
	if math.Abs(cos[5]-math.Cos(0.2)) > 1e-15 || math.Abs(sin[5]-math.Sin(0.2)) > 1e-15 {
		t.Errorf("RopeTable: cos %v, sin %v, want those of 0.2", cos[5], sin[5])
	}
}

func checkCrossEntropy(t *testing.T, r *rand.Rand, rows, vocab int) {
	t.Helper()
	x, targets := random[float32](r, rows*vocab), make([]int32, rows)
	Scale(x.s, 5)
	for i := range targets {
		targets[i] = int32(r.IntN(vocab+1)) - 1
	}
	loss, lse, d := newFenced[float32](rows, guard), newFenced[float32](rows, guard), newFenced[float32](rows*vocab, guard)
	wantLoss, wantLSE, wantD := make([]float64, rows), make([]float64, rows), make([]float64, rows*vocab)
	CrossEntropy(loss.s, lse.s, x.s, targets, rows, vocab)
	CrossEntropy(wantLoss, wantLSE, widen(x.s), targets, rows, vocab)
	near(t, "loss", loss.s, wantLoss, 1e-5)
	near(t, "lse", lse.s, wantLSE, 1e-5)
	CrossEntropyGrad(d.s, x.s, lse.s, targets, rows, vocab, 0.25)
	CrossEntropyGrad(wantD, widen(x.s), wantLSE, targets, rows, vocab, 0.25)
	near(t, "dlogits", d.s, wantD, 1e-6)
	CrossEntropyGrad(x.s, x.s, lse.s, targets, rows, vocab, 0.25)
	same(t, "dlogits in place", x.s, d.s)
	for _, g := range []fenced[float32]{loss, lse, d, x} {
		g.check(t, "CrossEntropy")
	}
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

func checkAdamW(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	w, m, v := random[float32](r, n), newFenced[float32](n, guard), newFenced[float32](n, guard)
	clear(m.s)
	clear(v.s)
	ww, wm, wv := widen(w.s), widen(m.s), widen(v.s)
	for step := range 3 {
		g := random[float32](r, n)
		p := AdamWStep{LR: 0.01, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: step + 1}
		AdamW(w.s, m.s, v.s, g.s, p)
		AdamW(ww, wm, wv, widen(g.s), p)
	}
	near(t, "w", w.s, ww, 1e-5)
	near(t, "m", m.s, wm, 1e-6)
	near(t, "v", v.s, wv, 1e-6)
	for _, g := range []fenced[float32]{w, m, v} {
		g.check(t, "AdamW")
	}
}

// One step by hand: m/(1-Beta1) = g, sqrt(v/(1-Beta2)) = |g|, so the step is LR.
func TestAdamWFirstStep(t *testing.T) {
	w, m, v := []float64{2}, []float64{0}, []float64{0}
	AdamW(w, m, v, []float64{-3}, AdamWStep{LR: 0.1, Beta1: 0.9, Beta2: 0.99, WeightDecay: 0.5, GradScale: 1, Step: 1})
	if want := 2*(1-0.05) + 0.1; math.Abs(w[0]-want) > 1e-12 {
		t.Errorf("first step to %v, want %v", w[0], want)
	}
}
