package quant

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"trefoil/internal/kernel"
)

// withOutliers returns activations [rows, cols] with two columns fifty times
// as large as the rest.
func withOutliers(rows, cols int) []float32 {
	x := normal(rows*cols, 31)
	for r := range rows {
		x[r*cols+3] *= 50
		x[r*cols+cols-1] *= 50
	}
	return x
}

// productError is the mean squared error of x w^T when x and w are replaced.
func productError(want, x, w []float32, rows, out, in int) float64 {
	got := make([]float32, rows*out)
	kernel.GemmNT(got, x, w, rows, out, in, false)
	sum := 0.0
	for i := range got {
		d := float64(got[i] - want[i])
		sum += d * d
	}
	return sum / float64(len(got))
}

// Each remedy leaves the product as it is in floats, and makes that of
// quantized inputs much better than plain quantization.
func TestRemediesForOutliers(t *testing.T) {
	const rows, out, in = 32, 16, 64
	x, w := withOutliers(rows, in), normal(out*in, 32)
	want := make([]float32, rows*out)
	kernel.GemmNT(want, x, w, rows, out, in, false)
	tokens := Config{Bits: 4, Granularity: PerToken}
	plain := productError(want, mustQuantize(t, tokens, x, rows, in).Values(), w, rows, out, in)

	split, err := SplitColumns(x, rows, in, 20)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(split.Columns, []int{3, in - 1}) {
		t.Errorf("columns %v are split off, want 3 and %d", split.Columns, in-1)
	}
	y := slices.Clone(split.Rest)
	if err := split.Merge(y); err != nil || !slices.Equal(x, y) {
		t.Errorf("split and merged, the matrix is another (%v)", err)
	}
	y = mustQuantize(t, tokens, split.Rest, rows, in).Values()
	if err := split.Merge(y); err != nil {
		t.Fatal(err)
	}
	if e := productError(want, y, w, rows, out, in); e > plain/50 {
		t.Errorf("split: error %v, plain %v", e, plain)
	}

	inputs, errX := ColumnPeaks(x, rows, in)
	weights, errW := ColumnPeaks(w, out, in)
	s, err := SmoothScales(inputs, weights, 0.5)
	if err = errors.Join(errX, errW, err); err != nil {
		t.Fatal(err)
	}
	smoothX, smoothW := slices.Clone(x), slices.Clone(w)
	if err := Smooth(smoothX, smoothW, s); err != nil {
		t.Fatal(err)
	}
	remedy(t, "smooth", want, smoothX, smoothW, plain, tokens)

	rotatedX, rotatedW := slices.Clone(x), slices.Clone(w)
	if err := Hadamard(rotatedX, rows, in); err != nil {
		t.Fatal(err)
	}
	if err := Hadamard(rotatedW, out, in); err != nil {
		t.Fatal(err)
	}
	remedy(t, "rotated", want, rotatedX, rotatedW, plain, tokens)
}

func remedy(t *testing.T, name string, want, x, w []float32, plain float64, c Config) {
	t.Helper()
	const rows, out, in = 32, 16, 64
	if e := productError(want, x, w, rows, out, in); e > 1e-6*plain {
		t.Errorf("%s: the product of floats is off by %v", name, e)
	}
	if e := productError(want, mustQuantize(t, c, x, rows, in).Values(), w, rows, out, in); e > plain/2 {
		t.Errorf("%s: error %v, plain %v", name, e, plain)
	}
}

func TestHadamardIsItsOwnInverse(t *testing.T) {
	for _, cols := range []int{1, 2, 12, 64, 7} {
		x := normal(3*cols, 41)
		y := slices.Clone(x)
		for range 2 {
			if err := Hadamard(y, 3, cols); err != nil {
				t.Fatal(err)
			}
		}
		for i := range x {
			if math.Abs(float64(x[i]-y[i])) > 1e-5 {
				t.Fatalf("%d columns: element %d is %v, want %v", cols, i, y[i], x[i])
			}
		}
	}
}

func TestOutliersRefuse(t *testing.T) {
	x := make([]float32, 6)
	_, split := SplitColumns(x, 2, 2, 6)
	_, threshold := SplitColumns(x, 2, 3, 0)
	_, alpha := SmoothScales(x, x, 1.5)
	_, lengths := SmoothScales(x, x[:2], 0.5)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	_, infinite := SmoothScales([]float32{inf}, []float32{1}, 0.5)
	_, noPeak := ColumnPeaks([]float32{1, nan, 2, 3}, 2, 2)
	_, shape := ColumnPeaks(x, 2, 4)
	whole, _ := SplitColumns([]float32{1, 7}, 1, 2, 6)
	_, splitNaN := SplitColumns([]float32{1, nan}, 1, 2, 6)
	_, splitInf := SplitColumns([]float32{-inf, 1}, 1, 2, 6)
	for name, err := range map[string]error{
		"split": split, "threshold": threshold, "alpha": alpha, "lengths": lengths, "infinite": infinite,
		"no peak": noPeak, "shape of peaks": shape, "merged into nothing": whole.Merge(nil), "merged into more": whole.Merge(x), "split NaN": splitNaN, "split infinity": splitInf, "rotate NaN": Hadamard([]float32{nan, 1}, 1, 2),
		"factor 0": Smooth([]float32{1, 2}, nil, []float32{1, 0}), "factor NaN": Smooth([]float32{1, 2}, nil, []float32{1, nan}),
		"rotate": Hadamard(x, 4, 2), "no columns": Hadamard(x, 6, 0), "smooth": Smooth(x, nil, make([]float32, 4)), "no factors": Smooth(x, nil, nil),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The noise has the mean and variance that it says.
func TestNoiseMoments(t *testing.T) {
	const n, step = 1 << 18, 0.5
	w := normal(n, 51)
	errors := make([]float32, n)
	for i, v := range w {
		errors[i] = ternaryValue(v, step) - v
	}
	mean, variance := momentsOf(errors)
	for kind, want := range map[NoiseKind][2]float64{
		UniformNoise: {0, step * step / 12}, GaussianNoise: {0, step * step / 12}, LaplaceNoise: {0, step * step / 12}, MeasuredNoise: {mean, variance},
	} {
		y := make([]float32, n)
		disturb(t, Noise{Kind: kind, Strength: 1}, y, w, step, 1, 2)
		checkMoments(t, string(kind), y, want)
	}
	y := make([]float32, n)
	ApplyErrors(y, errors, 2, 1, 2)
	checkMoments(t, "errors", y, [2]float64{2 * mean, 4 * variance})
	// A Laplace variable has the kurtosis 6, a normal one 3, a uniform one 1.8.
	for kind, want := range map[NoiseKind]float64{UniformNoise: 1.8, GaussianNoise: 3, LaplaceNoise: 6} {
		y := make([]float32, n)
		disturb(t, Noise{Kind: kind, Strength: 1}, y, w, step, 1, 2)
		fourth := 0.0
		for _, v := range y {
			fourth += math.Pow(float64(v), 4) / n
		}
		if k := fourth / math.Pow(step*step/12, 2); math.Abs(k/want-1) > 0.1 {
			t.Errorf("%s: kurtosis %v, want %v", kind, k, want)
		}
	}
}

func disturb(t *testing.T, n Noise, y, w []float32, step float32, seed, draw uint64) {
	t.Helper()
	if err := Apply(n, y, w, step, seed, draw); err != nil {
		t.Fatal(err)
	}
}

// Noise that is not known, or has nothing to draw from, is an error.
func TestNoiseRefuses(t *testing.T) {
	for want, n := range map[string]Noise{
		`kind "normal" is not known`: {Kind: "normal", Strength: 1}, "strength NaN": {Kind: UniformNoise, Strength: math.NaN()},
		"strength -1": {Kind: MeasuredNoise, Strength: -1}, "share 1.5": {Kind: BlockNoise, Share: 1.5},
	} {
		if err := Apply(n, []float32{1}, []float32{1}, 1, 1, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", n, err, want)
		}
	}
	if err := Apply(Noise{Kind: MeasuredNoise, Strength: 1}, []float32{1, 2}, nil, 1, 1, 1); err == nil || !strings.Contains(err.Error(), "2 weights to disturb, and 0") {
		t.Errorf("no weights: %v", err)
	}
	for _, n := range []Noise{{}, {Kind: NoNoise}, {Kind: BlockNoise, Share: 1}} {
		if err := n.Validate(); err != nil {
			t.Errorf("%+v: %v", n, err)
		}
	}
}

func checkMoments(t *testing.T, name string, y []float32, want [2]float64) {
	t.Helper()
	mean, variance := momentsOf(y)
	if math.Abs(mean-want[0]) > 5*math.Sqrt(want[1]/float64(len(y))) || math.Abs(variance/want[1]-1) > 0.03 {
		t.Errorf("%s: mean %v and variance %v, want %v", name, mean, variance, want)
	}
}

func momentsOf(y []float32) (mean, variance float64) {
	n := float64(len(y))
	for _, v := range y {
		mean += float64(v) / n
	}
	for _, v := range y {
		variance += (float64(v) - mean) * (float64(v) - mean) / n
	}
	return mean, variance
}
