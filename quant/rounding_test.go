package quant

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"trefoil/internal/kernel"
)

// The mean of many draws is the value, within four standard errors, and the
// draws are those of the seed, whatever the number of threads.
func TestStochasticRoundingIsUnbiased(t *testing.T) {
	const n = 200_000
	for _, v := range []float64{-2.75, -0.5, 0.1, 0.5, 3.9} {
		sum := 0.0
		for i := range n {
			sum += Stochastic.round(v, 7, 3, i)
		}
		fraction := v - math.Floor(v)
		if d, limit := sum/n-v, 4*math.Sqrt(fraction*(1-fraction)/n); math.Abs(d) > limit {
			t.Errorf("the mean of %v is off by %v, more than %v", v, d, limit)
		}
	}
	x := normal(3*taskSize, 2)
	c := Config{Bits: 4, Rounding: Stochastic, Seed: 5}
	first := mustQuantize(t, c, x)
	func() {
		defer kernel.SetThreads(kernel.SetThreads(1))
		if again := mustQuantize(t, c, x); !slices.Equal(first.Codes, again.Codes) {
			t.Error("the draws depend on the threads")
		}
	}()
	c.Seed = 6
	if other := mustQuantize(t, c, x); slices.Equal(first.Codes, other.Codes) {
		t.Error("another seed draws the same")
	}
	if slices.Equal(first.Codes[:1000], first.Codes[taskSize:taskSize+1000]) {
		t.Error("the draws repeat")
	}
}

// Over many draws, or seeds, the mean of the values is the input, element by
// element, on every kind of grid that rounds.
func TestStochasticQuantizersAreUnbiased(t *testing.T) {
	const n, seeds = 48, 3000
	x := normal(n, 71)
	for _, c := range []Config{
		{Bits: 3}, {Bits: 4, Scheme: Affine, Granularity: PerGroup, Group: 16}, {Scale: AbsMax}, {Bits: 3, Granularity: PerToken, Seed: 1},
	} {
		c.Rounding = Stochastic
		bySeed := c.Seed == 1
		sum, got := make([]float64, n), new(Tensor)
		for draw := range seeds {
			if got.Draw = uint64(draw); bySeed {
				c.Seed, got.Draw = uint64(draw), 0
			}
			if err := mustNew(t, c).QuantizeInto(got, x, 3, 16); err != nil {
				t.Fatal(err)
			}
			for i, v := range got.Values() {
				sum[i] += float64(v)
			}
		}
		inside := 0
		eachRun(got.Layout, func(g, lo, hi int) {
			scale, zero := float64(got.Scales[g]), 0.0
			if len(got.Zeros) > 0 {
				zero = float64(got.Zeros[g])
			}
			for i := lo; i < hi; i++ {
				v := float64(x[i])
				if v < (float64(got.Grid.Min)-zero)*scale || v > (float64(got.Grid.Max)-zero)*scale {
					continue // clipped
				}
				inside++
				// The standard deviation of a draw is at most half a step.
				limit := 5 * scale * float64(got.Grid.Step) / 2 / math.Sqrt(seeds)
				if d := sum[i]/seeds - v; math.Abs(d) > limit {
					t.Errorf("%+v: the mean of element %d is off by %v, more than %v", c, i, d, limit)
				}
			}
		})
		if inside < n/2 {
			t.Errorf("%+v: only %d elements are inside the range", c, inside)
		}
	}
}

// 16-bit numbers are quantized as the float32 numbers that they are, for small
// groups and for large ones.
func TestHalfPrecisionInput(t *testing.T) {
	const rows, cols = 6, 30_000
	ctx, shape := context.Background(), []int{rows, cols}
	x := normal(rows*cols, 12)
	half, brain := make([]uint16, len(x)), make([]uint16, len(x))
	kernel.EncodeFloat16(half, x)
	fromHalf, fromBrain := make([]float32, len(x)), make([]float32, len(x))
	kernel.DecodeFloat16(fromHalf, half)
	for i, v := range x {
		brain[i] = uint16(math.Float32bits(v) >> 16)
		fromBrain[i] = math.Float32frombits(uint32(brain[i]) << 16)
	}
	for _, c := range []Config{{}, {Bits: 8, Granularity: PerToken}, {Bits: 4, Scale: Percentile}, {Granularity: PerChannel, Axis: 1}, {Scale: Optimal}} {
		q, got := mustNew(t, c), new(Tensor)
		if err := q.QuantizeInput(ctx, got, Input{Float16: half, Shape: shape}, nil); err != nil {
			t.Fatal(err)
		}
		if want := mustQuantize(t, c, fromHalf, rows, cols); !slices.Equal(got.Codes, want.Codes) || !slices.Equal(got.Scales, want.Scales) {
			t.Errorf("%+v: float16 input differs", c)
		}
		if err := q.QuantizeInput(ctx, got, Input{BFloat16: brain, Shape: shape}, nil); err != nil {
			t.Fatal(err)
		}
		if want := mustQuantize(t, c, fromBrain, rows, cols); !slices.Equal(got.Codes, want.Codes) || !slices.Equal(got.Scales, want.Scales) {
			t.Errorf("%+v: bfloat16 input differs", c)
		}
		const last = rows*cols - 1
		for _, bad := range [][2]uint16{{0x7c00, 0x7f80}, {0xfe00, 0xffc0}} { // Inf and NaN in either
			half, brain := slices.Clone(half), slices.Clone(brain)
			half[last], brain[last] = bad[0], bad[1]
			for name, err := range map[string]error{"float16": q.QuantizeInput(ctx, got, Input{Float16: half, Shape: shape}, nil), "bfloat16": q.QuantizeInput(ctx, got, Input{BFloat16: brain, Shape: shape}, nil)} {
				if err == nil || !strings.Contains(err.Error(), "only finite numbers") {
					t.Errorf("%+v: %s %#x: %v", c, name, bad, err)
				}
			}
		}
	}
}

func TestScaleTypes(t *testing.T) {
	for scale, want := range map[float32]float32{1: 1, 1.0001: 2, 0.3: 0.5, 0.25: 0.25, 3e-8: 1.0 / (1 << 24)} {
		if got := ceilPowerOfTwo(scale); got != want {
			t.Errorf("%v rounds up to %v, want %v", scale, got, want)
		}
	}
	// A scale beyond float16 is an error; one below stays above zero.
	if _, err := mustNew(t, Config{ScaleType: Float16}).Quantize([]float32{1e6}); err == nil {
		t.Error("a scale of 1e6 passes as float16")
	}
	small := mustQuantize(t, Config{Bits: 8, ScaleType: Float16}, make([]float32, 4))
	if small.Scales[0] != 1.0/(1<<24) {
		t.Errorf("the scale of zeros is %v as float16", small.Scales[0])
	}
}
