package packed

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

func gaussian(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// TestQuantize wants the codes and scales of package quant, from quantizers
// that are fused with packing and from others.
func TestQuantize(t *testing.T) {
	group := func(c quant.Config, n int) quant.Config {
		c.Granularity, c.Group = quant.PerGroup, n
		return c
	}
	channel := func(c quant.Config) quant.Config {
		c.Granularity = quant.PerChannel
		return c
	}
	configs := map[Format][]quant.Config{
		Bits1: {{Bits: 1}, channel(quant.Config{Bits: 1})},
		Trits: {{}, channel(quant.Config{}), group(quant.Config{}, 33), {Scale: quant.Median}, {Scale: quant.Optimal}, {Scale: quant.TWN, Granularity: quant.PerToken}, {ScaleType: quant.Float16}},
		Bits2: {{}, {Bits: 2}, channel(quant.Config{Bits: 2, Codes: quant.Narrow})},
		Bits3: {{Bits: 3}, group(quant.Config{Bits: 3}, 11), {Bits: 2, Scale: quant.SEQ}},
		Bits4: {group(quant.Config{Bits: 4}, 33), {Bits: 4, Rounding: quant.Floor}},
		Bits8: {{Bits: 8}, {Bits: 8, Granularity: quant.PerToken}, channel(quant.Config{Bits: 8, Codes: quant.Narrow}), {Bits: 5}, {}},
	}
	eachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		m := new(Matrix) // one storage for all
		for f, list := range configs {
			for _, c := range list {
				rows, cols := 1+rng.IntN(150), 33*(1+rng.IntN(30))
				x, q := gaussian(rng, rows*cols), quantizer(t, c)
				want, err := q.Quantize(x, rows, cols)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Quantize(f, q, x, rows, cols); err != nil {
					t.Fatal(err)
				}
				codes := make([]int8, len(x))
				if err := m.Codes(codes, 0); err != nil || !slices.Equal(codes, want.Codes) {
					t.Fatalf("%+v at %v: codes differ (%v)", c, f, err)
				}
				if scales, _ := m.Scales(); !slices.Equal(scales, want.Scales) || m.ScaleType() != want.ScaleType {
					t.Fatalf("%+v at %v: scales %v of type %s, want %v", c, f, scales, m.ScaleType(), want.Scales)
				}
			}
		}
	})
}

// A call that can be stopped gives the same, tells how far it is, and stops; so
// does dequantizing.
func TestQuantizeContext(t *testing.T) {
	const rows, cols = 3, 2_000_003 // pieces end within blocks of every format
	x := gaussian(rand.New(rand.NewPCG(15, 16)), rows*cols)
	for f, c := range map[Format]quant.Config{
		Bits1: {Bits: 1}, Trits: {}, Bits2: {Scale: quant.Optimal}, Bits3: {Bits: 3, Granularity: quant.PerToken}, Bits4: {Bits: 4}, Bits8: {Bits: 8, Granularity: quant.PerChannel},
	} {
		q := quantizer(t, c)
		want, err := q.Quantize(x, rows, cols)
		if err != nil {
			t.Fatal(err)
		}
		var m Matrix
		var seen []int
		report := func(done, total int) {
			if total != len(x) {
				t.Fatalf("%v: a total of %d", f, total)
			}
			seen = append(seen, done)
		}
		if err := m.QuantizeContext(context.Background(), f, q, x, rows, cols, report); err != nil {
			t.Fatal(err)
		}
		codes := make([]int8, len(x))
		scales, _ := m.Scales()
		if err := m.Codes(codes, 0); err != nil || !slices.Equal(codes, want.Codes) || !slices.Equal(scales, want.Scales) {
			t.Errorf("%v: another result than by quant (%v)", f, err)
		}
		if !slices.IsSorted(seen) || len(seen) < 2 || seen[len(seen)-1] != len(x) {
			t.Errorf("%v: progress %v of %d", f, seen, len(x))
		}
		y, seen2 := make([]float32, len(x)), seen
		seen = nil
		if err := m.DequantizeContext(context.Background(), y, report); err != nil || !slices.Equal(y, want.Values()) || !slices.Equal(seen, []int{dequantizePiece, len(x)}) {
			t.Errorf("%v: dequantizing: progress %v (%v)", f, seen, err)
		}
		ctx, stop := context.WithCancel(context.Background())
		calls := 0
		cancel := func(done, total int) { calls++; stop() }
		if err := m.QuantizeContext(ctx, f, q, x, rows, cols, cancel); !errors.Is(err, context.Canceled) || calls >= len(seen2) {
			t.Errorf("%v: cancelled: %v after %d calls of %d", f, err, calls, len(seen2))
		}
		if err := m.DequantizeContext(ctx, y, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: dequantizing, cancelled: %v", f, err)
		}
	}
}

// The scale of b1.58 is the one of training.
func TestGamma(t *testing.T) {
	x := gaussian(rand.New(rand.NewPCG(5, 6)), 300*777)
	for _, f := range []Format{Trits, Bits2} {
		m, err := Quantize(f, quantizer(t, quant.Config{}), x, 300, 777)
		if err != nil {
			t.Fatal(err)
		}
		if scales, _ := m.Scales(); scales[0] != kernel.AbsMean(x) {
			t.Errorf("%v: scale %v, want %v", f, scales[0], kernel.AbsMean(x))
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	x := []float32{1, 2, 3, float32(math.NaN())}
	inf := []float32{1, 2, 3, float32(math.Inf(-1))}
	for _, c := range []struct {
		f    Format
		c    quant.Config
		x    []float32
		cols int
		says string
	}{
		{Trits, quant.Config{}, x, 4, "element 3 of group 0 is NaN"},
		{Bits8, quant.Config{Bits: 8, Granularity: quant.PerToken}, x, 4, "is NaN"},
		{Bits8, quant.Config{Bits: 8, Granularity: quant.PerToken}, inf, 4, "is -Inf"},
		{Bits4, quant.Config{Bits: 4}, inf, 4, "is -Inf"},
		{Bits8, quant.Config{Bits: 8, Granularity: quant.PerToken}, []float32{1, math.MaxFloat32}, 2, "overflows float32"},
		{Bits4, quant.Config{Bits: 4}, []float32{1, -math.MaxFloat32}, 2, "overflows float32"},
		{Trits, quant.Config{}, x, 5, "4 elements for a matrix of shape [1 5]"},
		{Trits, quant.Config{Bits: 2}, x[:3], 3, "codes from -2 to 1 do not fit 1.6 bits"},
		{Bits1, quant.Config{}, []float32{0, 1}, 2, "is 0, which 1 bit cannot hold"},
		{Format(0), quant.Config{}, x[:3], 3, "format 0"},
		{Bits8, quant.Config{Bits: 8, Scheme: quant.Affine}, x[:3], 3, "zero points"},
	} {
		if _, err := Quantize(c.f, quantizer(t, c.c), c.x, 1, c.cols); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want it to say %q", err, c.says)
		}
	}
	columns, err := quantizer(t, quant.Config{Granularity: quant.PerChannel, Axis: 1}).Quantize(make([]float32, 6), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	unfinished := *columns
	unfinished.Layout = quant.Layout{}
	if _, err := FromTensor(Trits, &unfinished); err == nil || !strings.Contains(err.Error(), "set Layout by quant.Config.Layout") {
		t.Errorf("without a layout: %v", err)
	}
	if _, err := FromTensor(Trits, columns); err == nil || !strings.Contains(err.Error(), "inner axis") {
		t.Errorf("got %v", err)
	}
}
