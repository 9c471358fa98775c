package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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
// products may cancel, so the bounds are absolute: for values below 16, where
// a rounding is off by at most 2^-21, and up to four roundings an element.
func TestElementwise(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, n := range lengths(r) {
			checkElementwise(t, r, n)
			checkReductions(t, r, n)
		}
	})
}

func checkElementwise(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	a, b, dst := random[float32](r, n), random[float32](r, n), newFenced[float32](n, guard)
	wa, wb, want := widen(a.s), widen(b.s), make([]float64, n)
	compare := func(what string) {
		t.Helper()
		near(t, fmt.Sprintf("%s of %d", what, n), dst.s, want, 4*0x1p-21)
		dst.check(t, what)
	}
	Add(dst.s, a.s, b.s)
	Add(want, wa, wb)
	compare("Add")
	Combine(dst.s, 1.3, dst.s, -0.7, a.s)
	Combine(want, float64(float32(1.3)), want, float64(float32(-0.7)), wa)
	compare("Combine")
	Scale(dst.s, 0.3)
	Scale(want, float64(float32(0.3)))
	compare("Scale")
}

func checkReductions(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	a, b := random[float32](r, n), random[float32](r, n)
	wa, wb := widen(a.s), widen(b.s)
	if got, want := SumSquares(a.s), SumSquares(wa); math.Abs(got-want) > 1e-12*want {
		t.Fatalf("SumSquares of %d: %v, want %v", n, got, want)
	}
	if got, want := float64(dot(a.s, b.s)), dot(wa, wb); math.Abs(got-want) > 1e-6*float64(n+1) {
		t.Fatalf("dot of %d: %v, want %v", n, got, want)
	}
	if got, want := Argmax(a.s), Argmax(wa); got != want {
		t.Fatalf("Argmax of %d: %d, want %d", n, got, want)
	}
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

// TestExp checks the bound of the exponential, and its ends.
func TestExp(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		const n = 1 << 18
		x, y := make([]float32, n+3), make([]float32, n+3)
		for i := range n {
			x[i] = -87.3 + 175.3*float32(i)/n
		}
		x[n], x[n+1], x[n+2] = float32(math.Inf(-1)), float32(math.NaN()), 500
		expSum(y, x, 0, 1, 1)
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
		if expSum(y[:1], []float32{0}, 0, 1, 1); y[0] != 1 {
			t.Errorf("exp(0) = %v", y[0])
		}
	})
}

// TestThreads checks that no result depends on the number of threads, and no
// row on the rows beside it.
func TestThreads(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		defer SetThreads(SetThreads(1))
		const rows, dim, half = 301, 517, 129
		r := rand.New(rand.NewPCG(17, 18))
		x, gain, dy, gu := gaussian[float32](r, rows*dim), gaussian[float32](r, dim), gaussian[float32](r, rows*dim), gaussian[float32](r, 2*rows*dim)
		around, cos, sin := gaussian[float32](r, rows*dim), make([]float32, 6*half), make([]float32, 6*half)
		RopeTable(cos, sin, 6, 2*half, 10000)
		targets := make([]int32, rows)
		compute := func(first, rows int) (all [][]float32) {
			n := rows * dim
			x, dy, gu, around := x[first*dim:][:n], dy[first*dim:][:n], gu[2*first*dim:][:2*n], around[first*dim:][:n]
			y, inv, dx, dgain := make([]float32, n), make([]float32, rows), make([]float32, n), make([]float32, dim)
			RMSNorm(y, inv, x, gain, rows, dim, 1e-5)
			RMSNormGrad(dx, dgain, dy, x, gain, inv, around, rows, dim)
			codes, scales := make([]int8, n), make([]float32, rows)
			RMSNormQuantize(codes, scales, inv, x, gain, rows, dim, 1e-5, 127)
			silu, dsilu, relu, drelu := make([]float32, n), make([]float32, 2*n), make([]float32, n), make([]float32, 2*n)
			SiLUGate(silu, gu, rows, dim)
			SiLUGateGrad(dsilu, dy, gu, rows, dim)
			ReLU2Gate(relu, gu, rows, dim)
			ReLU2GateGrad(drelu, dy, gu, rows, dim)
			loss, lse, d := make([]float32, rows), make([]float32, rows), make([]float32, n)
			CrossEntropy(loss, lse, x, targets[first:], rows, dim)
			CrossEntropyGrad(d, x, lse, targets[first:], rows, dim, 1)
			rotated := slices.Clone(x)
			Rope(rotated, cos, sin, rows, dim, 2, 2*half, 1, 5, false)
			dequantized := make([]float32, n)
			DequantizeRows(dequantized, codes, scales, rows, dim)
			w, m, v := slices.Clone(x), slices.Clone(around), make([]float32, n)
			AdamW(w, m, v, dy, AdamWStep{LR: 0.01, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.5, Step: 2})
			return [][]float32{y, inv, scales, dequantized, dx, silu, dsilu, relu, drelu, loss, lse, d, rotated, w, m, v, // by rows
				dgain, {float32(SumSquares(x))}}
		}
		want := compute(0, rows)
		for _, threads := range []int{2, 3, 8} {
			SetThreads(threads)
			for i, got := range compute(0, rows) {
				same(t, fmt.Sprintf("%d threads, output %d", threads, i), got, want[i])
			}
		}
		for row := 0; row < rows; row += 37 {
			for i, got := range compute(row, 1)[:16] {
				same(t, fmt.Sprintf("row %d alone, output %d", row, i), got, want[i][row*len(got):(row+1)*len(got)])
			}
		}
	})
}
