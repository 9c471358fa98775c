package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// blended is the specification of Blend for one element.
func blended(x float32, code int8, scale, lambda float32) float32 {
	q := float32(float32(code) * scale)
	if lambda == 1 {
		return q
	}
	step := float32(lambda * float32(q-x))
	return x + step
}

// sameBits tells -0 from 0, but no NaN from another.
func sameBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s[%d] = %v, want %v", name, i, got[i], want[i])
		}
	}
}

// Blend and BlendRows have the bits of the plain loop at every level, also in
// place, and write nothing beside y.
func TestBlend(t *testing.T) {
	check := func(t *testing.T) {
		rng := rand.New(rand.NewPCG(21, 22))
		for _, cols := range sizes {
			for _, rows := range []int{0, 1, 3, 37, 131} {
				checkBlend(t, rng, rows, cols)
			}
		}
		checkBlend(t, rng, 3, grain+5) // more than a task
	}
	portably(func() { check(t) })
	eachIntLevel(t, check)
}

func checkBlend(t *testing.T, rng *rand.Rand, rows, cols int) {
	t.Helper()
	n := rows * cols
	x, codes, scales := odd(rng, n, rng.IntN(2)*6), random8(rng, n, -128, 127), odd(rng, rows+1, rng.IntN(2))
	lambda := []float32{0, 1e-3, 0.37, 0.5, 0.999, 1}[rng.IntN(6)]
	wantRows, want := make([]float32, n), make([]float32, n)
	for i := range n {
		wantRows[i] = blended(x[i], codes[i], scales[i/cols], lambda)
		want[i] = blended(x[i], codes[i], scales[rows], lambda)
	}
	what := fmt.Sprintf("%d x %d, lambda %v: y", rows, cols, lambda)
	y := newFenced(n, float32(-77))
	BlendRows(y.s, x, codes, scales, rows, cols, lambda)
	sameBits(t, what, y.s, wantRows)
	y.check(t, what)

	y = fencedCopy(x, -77)
	Blend(y.s, y.s, codes, scales[rows], lambda)
	sameBits(t, what, y.s, want)
	y.check(t, what)
}

func BenchmarkBlend(b *testing.B) {
	const rows, cols = 2048, 256
	rng := rand.New(rand.NewPCG(23, 24))
	x, y, scales := gaussian[float32](rng, rows*cols), make([]float32, rows*cols), gaussian[float32](rng, rows)
	codes := random8(rng, rows*cols, -127, 127)
	b.SetBytes(9 * rows * cols)
	for b.Loop() {
		BlendRows(y, x, codes, scales, rows, cols, 0.4)
	}
}
