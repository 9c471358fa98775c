package convert

import (
	"math/rand/v2"
	"slices"
	"testing"

	"trefoil/quant"
)

// Codes times a scale, made learnable, round to the same codes and the same
// scale: to the last bit in matrices of the usual sizes, next to it in small
// ones, whose sums are too coarse.
func TestLearnable(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{1, 7, 256, 5000, 1 << 18} {
		for range 20 {
			gamma := float32(0.001 + 0.1*r.Float64())
			codes, w := make([]int8, size), make([]float32, size)
			for i := range codes {
				codes[i] = int8(r.IntN(3) - 1)
				w[i] = float32(codes[i]) * gamma
			}
			out, ok := learnable(w)
			if !ok {
				t.Fatal("codes times a scale are not ternary")
			}
			got := make([]int8, size)
			scale := quant.Ternarize(got, out, quant.AbsMean)
			if !slices.Equal(got, codes) {
				t.Fatalf("%d elements: the codes changed", size)
			}
			if !slices.ContainsFunc(codes, func(c int8) bool { return c != 0 }) {
				continue // no codes, no scale
			}
			d := float64(scale/gamma - 1)
			if scale != gamma && size > 1<<16 || max(d, -d) > 2e-7 {
				t.Errorf("%d elements: scale %v, want %v", size, scale, gamma)
			}
		}
	}
}

func TestLearnableLeavesOthers(t *testing.T) {
	w := []float32{0.5, -0.25, 0}
	if out, ok := learnable(w); ok || !slices.Equal(out, w) {
		t.Errorf("%v, %v", out, ok)
	}
}
