package quant

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"trefoil/internal/kernel"
)

func TestTernarizeByAbsMean(t *testing.T) {
	// mean|w| = 0.5; w/gamma = 0.8, -3, 0.5, 0.98, -1: half goes to even.
	w := []float32{0.4, -1.5, 0.25, 0.49, -0.5, 0, -0.24, 0.62}
	codes := make([]int8, len(w))
	if gamma := Ternarize(codes, w, AbsMean); gamma != 0.5 {
		t.Errorf("gamma %v, want 0.5", gamma)
	}
	if want := []int8{1, -1, 0, 1, -1, 0, 0, 1}; !slices.Equal(codes, want) {
		t.Errorf("codes %v, want %v", codes, want)
	}
}

func TestMedian(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := 1; n < 60; n++ {
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(math.Round(r.NormFloat64()*8)) / 8 // with ties
		}
		sorted := make([]float32, n)
		for i, v := range w {
			sorted[i] = max(v, -v)
		}
		slices.Sort(sorted)
		if got, want := Median.Gamma(w), max(sorted[(n-1)/2], 1e-5); got != want {
			t.Fatalf("median of %d: %v, want %v", n, got, want)
		}
	}
}

func TestScaleOfStrangeWeights(t *testing.T) {
	nan := float32(math.NaN())
	for _, rule := range []Scale{AbsMean, Median} {
		if g := rule.Gamma(make([]float32, 9)); g != 1e-5 {
			t.Errorf("%s of zeros: %v, want 1e-5", rule, g)
		}
		if g := rule.Gamma([]float32{1, nan, 2}); g == g {
			t.Errorf("%s with a NaN: %v, want NaN", rule, g)
		}
		codes := []int8{5, 5, 5}
		Ternarize(codes, []float32{1, nan, 2}, rule)
		for _, c := range codes {
			if c < -1 || c > 1 {
				t.Errorf("%s with a NaN gives the code %d", rule, c)
			}
		}
	}
}

func TestMaxCode(t *testing.T) {
	for bits, want := range map[int]int{2: 1, 3: 3, 4: 7, 8: 127} {
		if got := MaxCode(bits); got != want {
			t.Errorf("MaxCode(%d) = %d, want %d", bits, got, want)
		}
	}
}

// What a program got wrong is said, not left to a slice's bounds.
func TestMisuseHasAMessage(t *testing.T) {
	for want, misuse := range map[string]func(){
		"MaxCode of 0 bits": func() { MaxCode(0) }, "MaxCode of 9 bits": func() { MaxCode(9) },
		"room for 2 codes of 3 weights": func() { Ternarize(make([]int8, 2), make([]float32, 3), AbsMean) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("panic %q, want %q", got, want)
				}
			}()
			misuse()
		}()
	}
}

// The noise depends on seed, draw and position, not on the number of threads.
func TestNoiseIsReproducible(t *testing.T) {
	const n = 3*noiseChunk + 17
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(i%3) / 10
	}
	apply := func(noise Noise, seed, draw uint64, threads int) []float32 {
		defer kernel.SetThreads(kernel.SetThreads(threads))
		y := make([]float32, n)
		for i := range y {
			y[i] = 1
		}
		disturb(t, noise, y, w, 0.5, seed, draw)
		return y
	}
	for _, noise := range []Noise{{Kind: UniformNoise, Strength: 1}, {Kind: GaussianNoise, Strength: 1}, {Kind: LaplaceNoise, Strength: 1}, {Kind: MeasuredNoise, Strength: 1}, {Kind: BlockNoise, Block: 7, Share: 0.5}} {
		first := apply(noise, 1, 2, 1)
		if !slices.Equal(first, apply(noise, 1, 2, 3)) {
			t.Errorf("%s noise depends on the threads", noise.Kind)
		}
		for _, other := range [][]float32{apply(noise, 2, 2, 1), apply(noise, 1, 3, 1)} {
			if slices.Equal(first, other) {
				t.Errorf("%s noise is the same for another seed or draw", noise.Kind)
			}
		}
		if slices.Equal(first[:noiseChunk/2], first[noiseChunk:noiseChunk+noiseChunk/2]) {
			t.Errorf("%s noise repeats itself from chunk to chunk", noise.Kind)
		}
	}
	one := Noise{Kind: BlockNoise, Share: 0.5}
	for i, y := range apply(one, 1, 2, 1) {
		if y != w[i] && y != 1 {
			t.Fatalf("blocks of no length give %v, want %v or 1", y, w[i])
		}
	}
	one.Block = 1
	if without := (Noise{Kind: BlockNoise, Share: 0.5}); !slices.Equal(apply(without, 1, 2, 1), apply(one, 1, 2, 1)) {
		t.Error("blocks of no length are not those of one weight")
	}
	if y := apply(Noise{}, 1, 1, 1); slices.Max(y) != 1 || slices.Min(y) != 1 {
		t.Error("the zero value adds noise")
	}
}

func TestUnknownEstimator(t *testing.T) {
	if err := Estimator("soft").Validate(); err == nil {
		t.Error("an unknown estimator passes")
	}
	if got := Tanh.Derivative(0.5, -1, 1); math.Abs(got-2/(2*math.Tanh(1))) > 1e-15 {
		t.Errorf("the tanh estimator at its threshold: %v", got)
	}
	// Between two thresholds of a fine grid it is symmetric about a level.
	if a, b := Tanh.Derivative(2.9, -128, 127), Tanh.Derivative(3.1, -128, 127); math.Abs(a-b) > 1e-12 {
		t.Errorf("the tanh estimator beside the level 3: %v and %v", a, b)
	}
}
