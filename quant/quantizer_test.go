package quant

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
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

// Fixed scales are those of Encode, for every tensor that the quantizer sees.
func TestWithScales(t *testing.T) {
	x := normal(24, 4)
	for _, c := range []Config{
		{}, {Bits: 8, Granularity: PerToken}, {Bits: 4, Scheme: Affine, Scale: MSE, Granularity: PerToken}, {Bits: 3, Rounding: Floor}, {Scale: TWN},
	} {
		q := mustNew(t, c)
		l := mustLayout(t, q.Config(), 2, 12)
		want := &Tensor{Scales: []float32{0.25, 0.75}[:l.Groups]}
		if c.Scheme == Affine {
			want.Zeros = []int8{-2, 3}[:l.Groups]
		}
		fixed, err := q.WithScales(want.Scales, want.Zeros)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Encode(want, x, 2, 12); err != nil {
			t.Fatal(err)
		}
		got := mustQuantizeBy(t, fixed, x, 2, 12)
		if !slices.Equal(got.Codes, want.Codes) || !slices.Equal(got.Scales, want.Scales) || !slices.Equal(got.Zeros, want.Zeros) {
			t.Errorf("%+v: codes %v by %v and %v, want %v", c, got.Codes, got.Scales, got.Zeros, want.Codes)
		}
		if scales, _ := fixed.Scales(); fixed.Config().Scale != Static || !slices.Equal(scales, want.Scales) {
			t.Errorf("%+v: the rule %s with the scales %v", c, fixed.Config().Scale, scales)
		}
	}
	for want, make := range map[string]func() (*Scalar, error){
		"no positive float32": func() (*Scalar, error) { return mustNew(t, Config{Bits: 4}).WithScales([]float32{1, 0}, nil) },
		"no positive float16": func() (*Scalar, error) {
			return mustNew(t, Config{Bits: 4, ScaleType: Float16}).WithScales([]float32{0.1}, nil)
		},
		"0 zero points": func() (*Scalar, error) {
			return mustNew(t, Config{Bits: 4, Scheme: Affine}).WithScales([]float32{1}, nil)
		},
		"0 scales":      func() (*Scalar, error) { return mustNew(t, Config{Bits: 4}).WithScales(nil, nil) },
		"levels of seq": func() (*Scalar, error) { return mustNew(t, Config{Bits: 4, Scale: SEQ}).WithScales([]float32{1}, nil) },
	} {
		if _, err := make(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	one, err := mustNew(t, Config{Bits: 4, Granularity: PerToken}).WithScales([]float32{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Quantize(x, 2, 12); err == nil || !strings.Contains(err.Error(), "1 scales and 0 zero points are given, shape [2 12] takes 2") {
		t.Errorf("one scale for two tokens: %v", err)
	}
}

func mustQuantizeBy(t *testing.T, q *Scalar, x []float32, shape ...int) *Tensor {
	t.Helper()
	out, err := q.Quantize(x, shape...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A tensor that was written as JSON and read back is the same.
func TestTensorAsJSON(t *testing.T) {
	for _, c := range []Config{
		{Granularity: PerBlock, Block: Block{2, 4}}, {Bits: 8, Scheme: Affine, Granularity: PerChannel, Axis: 1}, {Bits: 4, ScaleType: PowerOfTwo},
	} {
		want := mustQuantize(t, c, normal(24, 6), 3, 2, 4)
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got := new(Tensor)
		if err := json.Unmarshal(text, got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is read as %+v, want %+v (%v)", text, got, want, err)
		}
		if !slices.Equal(got.Values(), want.Values()) {
			t.Errorf("%s: other values", text)
		}
	}
}

// The rule optimal is the same whether a group is sorted or counted, with ties,
// zeros and numbers of all sizes; and pieces are what the whole is.
func TestLargeGroups(t *testing.T) {
	x := normal(3*taskSize+5, 11)
	for i := range x {
		switch i % 7 {
		case 0:
			x[i] = float32(math.Round(float64(4*x[i]))) / 4
		case 1:
			x[i] *= float32(math.Exp2(float64(i%40 - 30)))
		}
	}
	few := make([]float32, 2*taskSize)
	for i := range few {
		few[i] = []float32{0, 0.25, -1, 0.25 * (1 + 1.0/4096)}[i%4]
	}
	for name, x := range map[string][]float32{"mixed": x, "normal": normal(2*taskSize, 13), "few values": few, "zeros": make([]float32, taskSize+1), "equal": slices.Repeat([]float32{-3}, taskSize+1)} {
		sorted := make([]float32, len(x))
		for i, v := range x {
			sorted[i] = max(v, -v)
		}
		slices.Sort(sorted)
		want := bestThreshold(sorted)
		got := mustQuantize(t, Config{Scale: Optimal}, x)
		if ulps(got.Scales[0], want.scale) > 1 {
			t.Errorf("%s: scale %v, sorted %v", name, got.Scales[0], want.scale)
		}
		for i, v := range x {
			if code := sign(v > want.cut) - sign(v < -want.cut); got.Codes[i] != code {
				t.Fatalf("%s: element %d, %v, has the code %d, sorted %d", name, i, v, got.Codes[i], code)
			}
		}
	}
}

// Codes that are handed out in pieces are those of QuantizeInto, in order.
func TestQuantizePieces(t *testing.T) {
	const rows, cols = 3, stripTasks*taskSize + 1000
	x := normal(rows*cols, 12)
	for _, c := range []Config{
		{Scale: Optimal}, {Bits: 8, Granularity: PerToken}, {Bits: 4, Scheme: Affine, Granularity: PerGroup, Group: cols / 8}, {Bits: 3, Rounding: Stochastic, Granularity: PerChannel},
	} {
		var got Tensor
		var codes []int8
		err := mustNew(t, c).QuantizePieces(context.Background(), &got, Input{Float32: x, Shape: []int{rows, cols}}, func(first int, piece []int8) error {
			if first != len(codes) {
				t.Errorf("%+v: a piece from %d after %d codes", c, first, len(codes))
			}
			codes = append(codes, piece...)
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := mustQuantize(t, c, x, rows, cols)
		if !slices.Equal(codes, want.Codes) || !slices.Equal(got.Scales, want.Scales) || !slices.Equal(got.Zeros, want.Zeros) || got.Codes != nil {
			t.Errorf("%+v: the pieces are not the whole", c)
		}
	}
	full := errors.New("full")
	err := mustNew(t, Config{}).QuantizePieces(context.Background(), new(Tensor), Input{Float32: x}, func(int, []int8) error { return full }, nil)
	if !errors.Is(err, full) {
		t.Errorf("the error of take: %v", err)
	}
	inner := mustNew(t, Config{Granularity: PerChannel, Axis: 1})
	if err := inner.QuantizePieces(context.Background(), new(Tensor), Input{Float32: x[:6], Shape: []int{3, 2}}, nil, nil); err != nil {
		t.Errorf("without pieces: %v", err)
	}
	if err := inner.QuantizePieces(context.Background(), new(Tensor), Input{Float32: x[:6], Shape: []int{3, 2}}, func(int, []int8) error { return nil }, nil); err == nil || !strings.Contains(err.Error(), "do not follow each other") {
		t.Errorf("channels of an inner axis: %v", err)
	}
}

func TestQuantizeIntoAllocatesNothing(t *testing.T) {
	x := normal(2*taskSize, 5)
	for _, c := range []Config{
		{}, {Granularity: PerGroup, Group: 64}, {Bits: 8, Granularity: PerToken}, {Bits: 1}, {Scale: TWN}, {Scale: Median},
		{Bits: 4, Scheme: Affine, Granularity: PerChannel, Axis: 1}, {Bits: 4, ScaleType: Float16}, {Bits: 4, Scale: Percentile},
		{Bits: 4, Scale: MSE}, {Bits: 8, Scale: KL}, {Bits: 4, Scale: KL, Granularity: PerToken}, {Bits: 4, Scale: Entropy}, {Bits: 4, Scale: ACIQLaplace}, {Bits: 2, Scale: SEQ}, {Bits: 3, Rounding: Stochastic}, {Scale: Optimal}, {Scale: Optimal, Granularity: PerBlock, Block: [2]int{8, 8}},
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
