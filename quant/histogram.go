package quant

import (
	"math"

	"trefoil/internal/kernel"
)

// HistogramBins is the number of bins that the rules mse, kl and entropy
// divide [0, max|W|] into, as TensorRT does.
const HistogramBins = 2048

// A Histogram counts magnitudes: bin i those in [i*Width, (i+1)*Width), the
// largest magnitude in the last. Both slices are equally long.
type Histogram struct {
	Width              float64
	Negative, Positive []uint64
}

// histogram makes s.hist the histogram of v, whose largest magnitude is
// limit, above 0.
func (w *work) histogram(s *scratch, v *view, limit float32) error {
	s.bins = resize(s.bins, 2*HistogramBins)
	clear(s.bins)
	s.hist = Histogram{Width: float64(limit) / HistogramBins, Positive: s.bins[:HistogramBins], Negative: s.bins[HistogramBins:]}
	return w.eachBlock(s, v, func(x []float32) { kernel.CountLinear(s.bins, x, HistogramBins/float64(limit)) })
}

// Range returns the range that the rule of c, one of mse, kl and entropy, gives
// to the values counted, which reach from lo <= 0 to hi >= 0. The configuration
// must be valid.
func (h *Histogram) Range(c Config, lo, hi float32) (float32, float32) {
	c = c.resolved()
	if c.Scale == KL {
		bound := min(h.KL(c.Grid().Max+1), max(-lo, hi))
		return -bound, bound
	}
	var s scratch
	return h.points(&s.value, &s.weight).search(c.Scale, c.Scheme, c.Grid(), lo, hi)
}

// KL returns the bound whose quantization to that many levels of magnitude
// (128 for 8 bits) diverges least from the histogram of magnitudes, as
// TensorRT calibrates (Migacz 2017, GTC S7310): for each number n of bins from
// levels to all, the bins beyond are counted in the n-th (P), the bins are
// merged into levels, bin i into level i*levels/n, and spread again over those
// that were not empty (Q), and KL(P||Q) is compared. A candidate whose Q is 0
// where P is not, is out. The first bin counts as much as the second: zeros,
// which every grid holds exactly, must not decide (as in NVIDIA's Model
// Optimizer, which this equals).
func (h *Histogram) KL(levels int) float32 {
	bound, _ := h.kl(levels, nil)
	return bound
}

// kl is KL in a buffer, which it returns for the next call.
func (h *Histogram) kl(levels int, buf []float64) (bound float32, used []float64) {
	buf = resize(buf, len(h.Positive)+levels)
	return h.leastDivergence(buf[:len(h.Positive)], buf[len(h.Positive):]), buf
}

// leastDivergence is KL for len(q) levels; it overwrites all, which is as long
// as the histogram, and q.
func (h *Histogram) leastDivergence(all, q []float64) float32 {
	used, levels := 0, len(q)
	for i := range all {
		if all[i] = float64(h.Positive[i] + h.Negative[i]); all[i] > 0 {
			used = i + 1
		}
	}
	if len(all) > 1 {
		all[0] = all[1]
	}
	beyond := 0.0
	for _, n := range all {
		beyond += n
	}
	best, bound := math.Inf(1), used
	for n := 1; n <= used; n++ {
		beyond -= all[n-1]
		if n < levels {
			continue
		}
		if d := divergence(all[:n], beyond, q); d <= best {
			best, bound = d, n
		}
	}
	return float32(float64(bound) * h.Width)
}

// divergence is KL(P||Q) for P = bins with the count beyond in the last, and
// Q = bins merged into len(q) levels and spread again; infinite if Q is 0
// where P is not.
func divergence(bins []float64, beyond float64, q []float64) float64 {
	sumP, sumQ, d := beyond, 0.0, 0.0
	last := len(bins) - 1
	if bins[last] == 0 && beyond > 0 {
		return math.Inf(1)
	}
	for level := range q {
		lo, hi := firstBin(level, len(bins), len(q)), firstBin(level+1, len(bins), len(q))
		sum, filled := 0.0, 0
		for _, c := range bins[lo:hi] {
			sum += c
			if c > 0 {
				filled++
			}
		}
		q[level] = sum / float64(max(1, filled))
		sumP, sumQ = sumP+sum, sumQ+sum
		for i, c := range bins[lo:hi] {
			if lo+i == last {
				c += beyond
			}
			if c > 0 {
				d += c * math.Log(c/q[level])
			}
		}
	}
	if sumP == 0 {
		return math.Inf(1)
	}
	return d/sumP - math.Log(sumP/sumQ)
}

// firstBin is the first of n bins in the level: that of the least i with
// i*levels/n >= level.
func firstBin(level, n, levels int) int { return (level*n + levels - 1) / levels }
