package quant

import (
	"fmt"
	"math"

	"trefoil/internal/kernel"
)

// Metrics compare numbers x with what quantization made of them, y.
type Metrics struct {
	MSE    float64 `json:"mse"`     // mean (x-y)^2
	SQNR   float64 `json:"sqnr_db"` // 10 log10(sum x^2 / sum (x-y)^2), within +-400 dB
	Cosine float64 `json:"cosine"`  // of the angle between x and y; 1 if both are zero
	// KL is sum p log(p/q) in nats (Kullback and Leibler 1951), p being the
	// histogram of x and q that of y, in 256 equal bins from -m to m, the
	// largest magnitude in either; each bin counts one more than it holds.
	KL       float64 `json:"kl"`
	MaxError float64 `json:"max_error"` // largest |x-y|
	Zeros    float64 `json:"zeros"`     // share of the y that are 0
	// Entropy is -sum p log2 p of the codes, in bits (Shannon 1948, section 6).
	Entropy float64 `json:"entropy"`
	// EffectiveBits is (SQNR - 1.76) / 6.02: the bits of the ideal uniform
	// quantizer of a full-scale sine wave that is as good (IEEE 1241-2010,
	// section 9.4). It may be negative.
	EffectiveBits float64 `json:"effective_bits"`
}

// klBins is the number of bins of the histograms that Metrics.KL compares.
const klBins = 256

// maxSQNR bounds the SQNR of what is exact, or has no signal.
const maxSQNR = 400

// Compare measures t against the numbers x that it was made of. It fails on
// another number of them, on an incomplete t, and on what is not finite.
func Compare(x []float32, t *Tensor) (Metrics, error) {
	m, err := compare(x, t, Config{})
	if err != nil {
		return Metrics{}, err
	}
	return m[0], nil
}

// CompareChannels is Compare for each index of an axis; a negative axis
// counts from the last.
func CompareChannels(x []float32, t *Tensor, axis int) ([]Metrics, error) {
	return compare(x, t, Config{Granularity: PerChannel, Axis: axis})
}

func compare(x []float32, t *Tensor, by Config) ([]Metrics, error) {
	if len(x) != len(t.Codes) {
		return nil, fmt.Errorf("comparing %d numbers with %d codes: give the numbers that were quantized", len(x), len(t.Codes))
	}
	l, err := by.Layout(t.Shape...)
	if err != nil {
		return nil, fmt.Errorf("comparing: %w", err)
	}
	if l.Groups*l.Size() != len(x) {
		return nil, fmt.Errorf("comparing: the shape %v does not have %d elements: set the tensor's Shape", t.Shape, len(x))
	}
	y := make([]float32, len(t.Codes))
	if err := t.Dequantize(y); err != nil {
		return nil, fmt.Errorf("comparing: %w", err)
	}
	if i := kernel.FirstNonFinite(x); i >= 0 {
		return nil, fmt.Errorf("comparing: number %d is %v: only finite numbers can be compared", i, x[i])
	}
	if i := kernel.FirstNonFinite(y); i >= 0 {
		return nil, fmt.Errorf("comparing: code %d stands for %v: its scale is not finite, or too large", i, y[i])
	}
	metrics := make([]Metrics, l.Groups)
	kernel.Parallel(l.Groups, func(g int) { metrics[g] = newComparison(l, g, x, y, t).metrics() })
	return metrics, nil
}

// comparison is what is counted about one group.
type comparison struct {
	n                        int
	signal, noise, power, xy float64
	worst                    float64
	zeros                    int
	codes                    [256]float64
	p, q                     [klBins]float64
}

func newComparison(l Layout, g int, x, y []float32, t *Tensor) *comparison {
	c := &comparison{n: l.Size()}
	limit := 0.0
	runs := func(body func(lo, hi int)) {
		for r := range l.Runs {
			lo := l.Start(g) + r*l.Stride
			body(lo, lo+l.Run)
		}
	}
	runs(func(lo, hi int) {
		limit = max(limit, float64(kernel.AbsMaxSpan(x[lo:hi])), float64(kernel.AbsMaxSpan(y[lo:hi])))
		c.add(x[lo:hi], y[lo:hi], t.Codes[lo:hi])
	})
	runs(func(lo, hi int) {
		for i := lo; i < hi; i++ {
			c.p[klBin(x[i], limit)]++
			c.q[klBin(y[i], limit)]++
		}
	})
	return c
}

func (c *comparison) add(x, y []float32, codes []int8) {
	for i := range x {
		a, b := float64(x[i]), float64(y[i])
		d := a - b
		c.signal += float64(a * a)
		c.power += float64(b * b)
		c.xy += float64(a * b)
		c.noise += float64(d * d)
		c.worst = max(c.worst, math.Abs(d))
		if b == 0 {
			c.zeros++
		}
		c.codes[int(codes[i])-math.MinInt8]++
	}
}

// klBin returns the bin of v among equal ones from -limit to limit.
func klBin(v float32, limit float64) int {
	if limit == 0 {
		return 0
	}
	return min(int((float64(v)/limit+1)/2*klBins), klBins-1)
}

func (c *comparison) metrics() Metrics {
	n := float64(c.n)
	m := Metrics{
		MSE: c.noise / n, MaxError: c.worst, Zeros: float64(c.zeros) / n,
		SQNR: sqnr(c.signal, c.noise), Cosine: 1, Entropy: entropyOf(c.codes[:]) / math.Ln2,
	}
	if c.signal > 0 || c.power > 0 {
		m.Cosine = 0
	}
	if c.signal > 0 && c.power > 0 {
		m.Cosine = c.xy / math.Sqrt(c.signal) / math.Sqrt(c.power)
	}
	m.EffectiveBits = (m.SQNR - 1.76) / 6.02
	for i, p := range c.p { // each bin counts one more, so that none is empty
		p, q := (p+1)/(n+klBins), (c.q[i]+1)/(n+klBins)
		m.KL += p * math.Log(p/q)
	}
	return m
}

func sqnr(signal, noise float64) float64 {
	switch {
	case noise == 0:
		return maxSQNR
	case signal == 0:
		return -maxSQNR
	}
	return min(max(10*math.Log10(signal/noise), -maxSQNR), maxSQNR)
}
