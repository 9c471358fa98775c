package calib

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"trefoil/quant"
)

func laplace(n int) []float32 {
	r := rand.New(rand.NewPCG(21, 22))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.ExpFloat64() - 0.6*r.ExpFloat64())
	}
	return x
}

// The range of an observer that saw the data in pieces is that of a quantizer
// that has all of it, as exactly as the bins allow.
func TestRangeAgainstQuantizer(t *testing.T) {
	x := laplace(100_000)
	var first, o Observer
	for i, part := range slices.Collect(slices.Chunk(x, 999)) {
		if i%2 == 0 {
			first.Observe(part)
		} else {
			o.Observe(part)
		}
	}
	o.Merge(&first)
	for rule, tolerance := range map[quant.Scale]float64{
		quant.AbsMax: 0, quant.MinMax: 0, quant.Percentile: 1e-3, quant.MSE: 0.011, quant.Entropy: 0.08, // flat near its optimum, and searched in steps of 1 %
		quant.KL: 0.05, quant.Sigma: 1e-4, quant.ACIQGaussian: 1e-4, quant.ACIQLaplace: 1e-4,
	} {
		for _, scheme := range quant.Schemes() {
			c := quant.Config{Bits: 4, Scheme: scheme, Scale: rule, Percentile: 99}
			q, err := quant.New(c)
			if err != nil {
				continue // the rule has no affine grid
			}
			want, err := q.Quantize(x)
			if err != nil {
				t.Fatal(err)
			}
			scale, zero, err := o.Static(c)
			if err != nil {
				t.Fatal(err)
			}
			if d := math.Abs(float64(scale/want.Scales[0]) - 1); d > tolerance {
				t.Errorf("%s %s: scale %v, the quantizer has %v", scheme, rule, scale, want.Scales[0])
			}
			if scheme == quant.Affine && max(zero, want.Zeros[0])-min(zero, want.Zeros[0]) > 1 {
				t.Errorf("%s: zero point %d, the quantizer has %d", rule, zero, want.Zeros[0])
			}
		}
	}
}

func TestRangeRefuses(t *testing.T) {
	var o Observer
	if _, _, err := o.Range(quant.Config{Bits: 8}); err == nil {
		t.Error("nothing seen: no error")
	}
	o.Observe([]float32{1})
	if _, _, err := o.Range(quant.Config{}); err == nil {
		t.Error("absmean gives no range: no error")
	}
	o.Observe([]float32{float32(math.Inf(-1))})
	if _, _, err := o.Range(quant.Config{Bits: 8}); err == nil {
		t.Error("an infinity: no error")
	}
}

// numbers are those of ../testdata/goldens.py.
func numbers(n int, seed uint64) []float32 {
	out := make([]float32, n)
	next := func() int {
		seed = (seed*1103515245 + 12345) % (1 << 31)
		return int(seed >> 21)
	}
	for i := range out {
		a, b, c := next(), next(), next()
		out[i] = float32((c%2*2-1)*a*b) / (1 << 18)
	}
	return out
}

// Against PyTorch's MovingAverageMinMaxObserver with averaging constant 0.1.
func TestMovingAverage(t *testing.T) {
	b, err := os.ReadFile("../testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Range [2]float64 `json:"moving_average"`
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	m := MovingAverage{Momentum: 0.1}
	if _, _, err := m.Range(); err == nil {
		t.Error("no batches: no error")
	}
	for i := range 5 {
		if err := m.Observe(numbers(50, 20+uint64(i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range [][]float32{nil, {1, float32(math.NaN())}, {float32(math.Inf(1))}, {float32(math.Inf(-1)), 0}} {
		if m.Observe(bad) == nil {
			t.Errorf("%v: no error", bad)
		}
	}
	lo, hi, err := m.Range()
	if err != nil || math.Abs(float64(lo)-want.Range[0]) > 1e-6 || math.Abs(float64(hi)-want.Range[1]) > 1e-6 {
		t.Errorf("range %v to %v (%v), want %v", lo, hi, err, want.Range)
	}
	for _, bad := range []float32{float32(math.NaN()), -0.1, 7} {
		m := MovingAverage{Momentum: bad}
		if err := m.Observe([]float32{1}); err == nil || !strings.Contains(err.Error(), "momentum") {
			t.Errorf("momentum %v: error %v", bad, err)
		}
		if _, _, err := m.Range(); err == nil {
			t.Errorf("momentum %v has a range", bad)
		}
	}
	var ordinary MovingAverage // forgets slowly: a hundredth of the way a batch
	for _, batch := range [][]float32{{2}, {3}} {
		if err := ordinary.Observe(batch); err != nil {
			t.Fatal(err)
		}
	}
	if lo, hi, err := ordinary.Range(); err != nil || lo != 0 || hi != 2.01 {
		t.Errorf("range %v to %v (%v), want 0 to 2.01", lo, hi, err)
	}
}
