package quant

import (
	"math/rand/v2"
	"slices"
	"testing"

	"trefoil/internal/kernel"
)

func normal(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

func mustNew(t testing.TB, c Config) *Scalar {
	t.Helper()
	q, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func mustQuantize(t testing.TB, c Config, x []float32, shape ...int) *Tensor {
	t.Helper()
	out, err := mustNew(t, c).Quantize(x, shape...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The zero value is b1.58, bit for bit what training and export compute, for
// small tensors and for those that several goroutines share.
func TestZeroValueIsB158(t *testing.T) {
	for _, n := range []int{1, 31, 4097, taskSize, taskSize + 1, 3*stripTasks*taskSize/2 + 77} {
		w := normal(n, uint64(n))
		want := make([]int8, n)
		gamma := Ternarize(want, w, AbsMean)
		got := mustQuantize(t, Config{}, w)
		if got.Scales[0] != gamma || !slices.Equal(got.Codes, want) {
			t.Errorf("%d weights: scale %v, want %v; codes equal: %v", n, got.Scales[0], gamma, slices.Equal(got.Codes, want))
		}
	}
}

// The activations of b1.58 are absmax codes of 8 bits with a scale a token.
func TestTokensAreThoseOfTheKernel(t *testing.T) {
	for _, bits := range []int{2, 4, 8} {
		const rows, cols = 37, 96
		x := normal(rows*cols, 3)
		codes, scales := make([]int8, len(x)), make([]float32, rows)
		kernel.QuantizeRows(codes, scales, x, rows, cols, MaxCode(bits))
		got := mustQuantize(t, Config{Bits: float64(bits), Granularity: PerToken}, x, rows, cols)
		if !slices.Equal(got.Codes, codes) || !slices.Equal(got.Scales, scales) {
			t.Errorf("%d bits differ from kernel.QuantizeRows", bits)
		}
	}
}

func TestQuantizeIntoAllocatesNothing(t *testing.T) {
	x := normal(2*taskSize, 5)
	for _, c := range []Config{
		{}, {Granularity: PerGroup, Group: 64}, {Bits: 8, Granularity: PerToken}, {Bits: 1}, {Scale: TWN}, {Scale: Median},
		{Bits: 4, Scheme: Affine, Granularity: PerChannel, Axis: 1}, {Bits: 4, ScaleType: Float16}, {Bits: 4, Scale: Percentile},
		{Bits: 4, Scale: MSE}, {Bits: 8, Scale: KL}, {Bits: 4, Scale: KL, Granularity: PerToken}, {Bits: 4, Scale: Entropy}, {Bits: 4, Scale: ACIQLaplace}, {Bits: 2, Scale: SEQ, Rounding: Stochastic}, {Scale: Optimal, Granularity: PerBlock, Block: [2]int{8, 8}},
	} {
		q, dst := mustNew(t, c), new(Tensor)
		values := make([]float32, len(x))
		call := func() {
			if err := q.QuantizeInto(dst, x, 128, len(x)/128); err != nil {
				t.Fatal(err)
			}
			if err := dst.Dequantize(values); err != nil {
				t.Fatal(err)
			}
		}
		call()
		if n := testing.AllocsPerRun(5, call); n >= 1 {
			t.Errorf("%+v: %v allocations", c, n)
		}
	}
}
