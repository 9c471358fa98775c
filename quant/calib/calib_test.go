package calib

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// Against sorting, on distributions of very different range.
func TestPercentileAgainstSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for name, draw := range map[string]func() float64{
		"normal":    r.NormFloat64,
		"tiny":      func() float64 { return 1e-3 * r.NormFloat64() },
		"log-range": func() float64 { return math.Exp(6 * r.NormFloat64()) },
		"uniform":   func() float64 { return r.Float64() - 0.5 },
	} {
		x := make([]float32, 200_000)
		for i := range x {
			x[i] = float32(draw())
		}
		var o Observer
		o.Observe(x[:1000])
		o.Observe(x[1000:])
		for i := range x {
			x[i] = max(x[i], -x[i])
		}
		slices.Sort(x)
		for _, percent := range []float64{50, 99, 99.9, 99.99} {
			want := float64(x[int(math.Round(percent/100*float64(len(x))))-1])
			if got := float64(percentile(t, &o, percent)); math.Abs(got-want) > 0.006*want {
				t.Errorf("%s: percentile %v is %v, sorting gives %v", name, percent, got, want)
			}
		}
		if got, want := o.AbsMax(), x[len(x)-1]; got != want {
			t.Errorf("%s: absmax %v, want %v", name, got, want)
		}
		if got := percentile(t, &o, 100); got != o.AbsMax() {
			t.Errorf("%s: percentile 100 is %v, not absmax %v", name, got, o.AbsMax())
		}
		if err := o.Err(); err != nil {
			t.Error(err)
		}
	}
}

func percentile(t *testing.T, o *Observer, percent float64) float32 {
	t.Helper()
	p, err := o.Percentile(percent)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What is no percentage is an error, and what is not finite has no rank.
func TestPercentileOfStrangeNumbers(t *testing.T) {
	var o Observer
	x := make([]float32, 100)
	for i := range x {
		x[i] = float32(i + 1)
	}
	o.Observe(x)
	for _, bad := range []float64{math.NaN(), 0, -1, 100.1, 500, math.Inf(1)} {
		if p, err := o.Percentile(bad); err == nil || !strings.Contains(err.Error(), "0..100") {
			t.Errorf("percentile %v is %v, error %v", bad, p, err)
		}
	}
	want := percentile(t, &o, 90)
	o.Observe(slices.Repeat([]float32{float32(math.NaN()), float32(math.Inf(1))}, 50))
	if got := percentile(t, &o, 90); got != want {
		t.Errorf("percentile 90 is %v among numbers that are not finite, %v without", got, want)
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	x := make([]float32, 10_000)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	var a, b Observer
	a.Observe(x)
	slices.Reverse(x)
	for part := range slices.Chunk(x, 37) {
		b.Observe(part)
	}
	if percentile(t, &a, 99.9) != percentile(t, &b, 99.9) || a.AbsMax() != b.AbsMax() {
		t.Error("the order of the observations shows")
	}
}

// One outlier in a thousand decides absmax, not the percentile.
func TestOutlier(t *testing.T) {
	x := slices.Repeat([]float32{-1}, 999)
	var o Observer
	o.Observe(append(x, 1000))
	if p := percentile(t, &o, 99); p < 0.99 || p > 1.01 || o.AbsMax() != 1000 {
		t.Errorf("percentile %v, absmax %v", p, o.AbsMax())
	}
}

func TestBoundsArePositive(t *testing.T) {
	var o Observer
	o.Observe(make([]float32, 10))
	if o.AbsMax() != MinBound || percentile(t, &o, 99.9) != MinBound {
		t.Errorf("zeros give %v and %v", o.AbsMax(), percentile(t, &o, 99.9))
	}
	var extremes Observer
	extremes.Observe([]float32{math.MaxFloat32, -math.MaxFloat32, 1e-45})
	if got := percentile(t, &extremes, 100); got != math.MaxFloat32 {
		t.Errorf("got %v", got)
	}
}

func TestErr(t *testing.T) {
	var o Observer
	if o.Err() == nil {
		t.Error("an observer that saw nothing is content")
	}
	o.Observe([]float32{1, float32(math.NaN()), 2})
	if o.Err() == nil || o.AbsMax() != 2 {
		t.Errorf("after a NaN: %v, absmax %v", o.Err(), o.AbsMax())
	}
}

func TestSites(t *testing.T) {
	s := Sites{}
	s.Observe("a", []float32{1})
	s.Observe("b", []float32{-5})
	s.Observe("a", []float32{-3})
	if len(s) != 2 || s["a"].AbsMax() != 3 || s["b"].AbsMax() != 5 {
		t.Errorf("sites mix: %v %v", s["a"].AbsMax(), s["b"].AbsMax())
	}
}
