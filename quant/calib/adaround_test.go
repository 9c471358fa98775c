package calib

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// correlated returns a layer whose inputs are correlated, which is what
// AdaRound makes use of.
func correlated(out, in, rows int) Layer {
	r := rand.New(rand.NewPCG(11, 12))
	l := Layer{Weight: make([]float32, out*in), Inputs: make([]float32, rows*in), Out: out, In: in}
	for i := range l.Weight {
		l.Weight[i] = float32(r.NormFloat64())
	}
	for t := range rows {
		common := r.NormFloat64()
		for i := range in {
			l.Inputs[t*in+i] = float32(common + 0.5*r.NormFloat64())
		}
	}
	return l
}

// outputError is the mean squared change of the layer's output.
func outputError(l Layer, t *quant.Tensor) float64 {
	rows := len(l.Inputs) / l.In
	want, got := make([]float32, rows*l.Out), make([]float32, rows*l.Out)
	kernel.GemmNT(want, l.Inputs, l.Weight, rows, l.Out, l.In, false)
	kernel.GemmNT(got, l.Inputs, t.Values(), rows, l.Out, l.In, false)
	sum := 0.0
	for i := range got {
		d := float64(got[i] - want[i])
		sum += d * d
	}
	return sum / float64(len(got))
}

func TestAdaRoundBeatsNearest(t *testing.T) {
	l := correlated(16, 48, 128)
	for _, c := range []quant.Config{
		{}, {Bits: 2}, {Bits: 4, Granularity: quant.PerChannel}, {Bits: 4, Scheme: quant.Affine, Granularity: quant.PerGroup, Group: 16},
	} {
		q, err := quant.New(c)
		if err != nil {
			t.Fatal(err)
		}
		nearest, err := q.Quantize(l.Weight, l.Out, l.In)
		if err != nil {
			t.Fatal(err)
		}
		learned, err := AdaRound(context.Background(), l, c, 1000)
		if err != nil {
			t.Fatal(err)
		}
		before, after := outputError(l, nearest), outputError(l, learned)
		t.Logf("%v bits %s: output error %.4g with nearest, %.4g with AdaRound", c.Bits, c.Granularity, before, after)
		if after > 0.5*before {
			t.Errorf("%+v: output error %v, with rounding to nearest %v", c, after, before)
		}
		for i, code := range learned.Codes {
			if d := int(code) - int(nearest.Codes[i]); d < -1 || d > 1 {
				t.Fatalf("%+v: weight %d moved by %d codes", c, i, d)
			}
		}
	}
}

// Against every way to round the ten weights of an output up or down.
func TestAdaRoundIsNearTheBest(t *testing.T) {
	const out, in = 24, 10
	l := correlated(out, in, 64)
	c := quant.Config{Bits: 3, Granularity: quant.PerChannel}
	learned, err := AdaRound(context.Background(), l, c, 3000)
	if err != nil {
		t.Fatal(err)
	}
	q, err := quant.New(c)
	if err != nil {
		t.Fatal(err)
	}
	nearest, err := q.Quantize(l.Weight, out, in)
	if err != nil {
		t.Fatal(err)
	}
	sum := [3]float64{}
	for r := range out {
		row := Layer{Weight: l.Weight[r*in : (r+1)*in], Inputs: l.Inputs, Out: 1, In: in}
		best := math.Inf(1)
		try := &quant.Tensor{Shape: []int{1, in}, Codes: make([]int8, in), Scales: nearest.Scales[r : r+1], Grid: nearest.Grid}
		if try.Layout, err = c.Layout(1, in); err != nil {
			t.Fatal(err)
		}
		for ups := range 1 << in {
			for i, w := range row.Weight {
				code := int(math.Floor(float64(w/try.Scales[0]))) + ups>>i&1
				try.Codes[i] = int8(min(max(code, try.Grid.Min), try.Grid.Max))
			}
			best = min(best, outputError(row, try))
		}
		for i, codes := range [][]int8{learned.Codes, nearest.Codes} {
			copy(try.Codes, codes[r*in:(r+1)*in])
			e := outputError(row, try)
			if e < best*(1-1e-5) {
				t.Fatalf("output %d: error %v is below the least, %v", r, e, best)
			}
			sum[i] += e
		}
		sum[2] += best
	}
	t.Logf("error %.4g learned, %.4g to nearest, %.4g the best", sum[0], sum[1], sum[2])
	if sum[0] > 1.05*sum[2] || sum[1] < 3*sum[2] {
		t.Errorf("error %.4g learned, %.4g to nearest, %.4g the best", sum[0], sum[1], sum[2])
	}
}

// However large or small the inputs are, the choices are the same.
func TestAdaRoundOfHugeInputs(t *testing.T) {
	l := correlated(4, 12, 40)
	want, err := AdaRound(context.Background(), l, quant.Config{Bits: 3}, 300)
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for i, w := range l.Weight {
		if int(want.Codes[i]) != int(min(max(math.RoundToEven(float64(w/want.Scales[0])), -4), 3)) {
			moved++
		}
	}
	if moved == 0 {
		t.Fatal("nothing was learned")
	}
	for _, factor := range []float32{0x1p83, 0x1p126, 0x1p-90} { // 1e25, 1e37 and 1e-27
		other := l
		other.Inputs = slices.Clone(l.Inputs)
		for i := range other.Inputs {
			other.Inputs[i] *= factor
			if factor > 0x1p100 {
				other.Inputs[i] /= 8
			}
		}
		got, err := AdaRound(context.Background(), other, quant.Config{Bits: 3}, 300)
		if err != nil || !slices.Equal(got.Codes, want.Codes) {
			t.Errorf("inputs times %v: codes %v, want %v (%v)", factor, got.Codes, want.Codes, err)
		}
	}
}

// Where the errors of the outputs are no numbers, rounding to nearest stays.
func TestAdaRoundWithoutErrorsToCompare(t *testing.T) {
	l := correlated(2, 6, 10)
	nearest, err := l.nearest(quant.Config{Bits: 3})
	if err != nil {
		t.Fatal(err)
	}
	a := newAdaRounding(l, nearest)
	for i := range a.v {
		a.v[i] = 10 // all up
	}
	for i := range a.gram {
		a.gram[i] = float32(math.NaN())
	}
	if got := a.best(nearest); !slices.Equal(got.Codes, nearest.Codes) {
		t.Errorf("codes %v, want %v", got.Codes, nearest.Codes)
	}
}

func TestAdaRoundRefuses(t *testing.T) {
	l := correlated(2, 4, 3)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := AdaRound(cancelled, l, quant.Config{}, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	var lost [2]Layer // a weight, an input
	for i := range lost {
		lost[i] = correlated(2, 4, 3)
	}
	lost[0].Weight[1], lost[1].Inputs[1] = float32(math.NaN()), float32(math.Inf(1))
	short := l
	short.Inputs = l.Inputs[:5]
	for name, try := range map[string]func() error{
		"binary": func() error { _, err := AdaRound(context.Background(), l, quant.Config{Bits: 1}, 5); return err },
		"threshold": func() error {
			_, err := AdaRound(context.Background(), l, quant.Config{Scale: quant.TWN}, 5)
			return err
		},
		"optimal": func() error {
			_, err := AdaRound(context.Background(), l, quant.Config{Scale: quant.Optimal}, 5)
			return err
		},
		"ttq": func() error {
			_, err := AdaRound(context.Background(), l, quant.Config{Scale: quant.TTQ}, 5)
			return err
		},
		"NaN":          func() error { _, err := AdaRound(context.Background(), lost[0], quant.Config{}, 5); return err },
		"Inf":          func() error { _, err := AdaRound(context.Background(), lost[1], quant.Config{}, 5); return err },
		"bits":         func() error { _, err := AdaRound(context.Background(), l, quant.Config{Bits: -3}, 5); return err },
		"short inputs": func() error { _, err := AdaRound(context.Background(), short, quant.Config{}, 5); return err },
		"no steps":     func() error { _, err := AdaRound(context.Background(), l, quant.Config{}, 0); return err },
	} {
		if try() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
