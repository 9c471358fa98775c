package quant

import "math"

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
func (s *scratch) histogram(v *view, limit float32) {
	h := &s.hist
	h.Negative, h.Positive = resize(h.Negative, HistogramBins), resize(h.Positive, HistogramBins)
	clear(h.Negative)
	clear(h.Positive)
	h.Width = float64(limit) / HistogramBins
	inv := HistogramBins / float64(limit)
	for i := range v.blocks() {
		for _, x := range v.block(s.x, i) {
			bin := int(math.Abs(float64(x)) * inv)
			if x < 0 {
				h.Negative[min(bin, HistogramBins-1)]++
			} else {
				h.Positive[min(bin, HistogramBins-1)]++
			}
		}
	}
}

// Range returns the range that the rule of c, one of mse, kl and entropy, gives
// to the values counted, which reach from lo <= 0 to hi >= 0.
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
// (128 for 8 bits) diverges least from the histogram of magnitudes: for each
// number of bins from levels to all, the bins beyond are counted in the last
// one (P), the bins are merged into levels and spread again over the bins that
// were not empty (Q), and KL(P||Q) is compared (Migacz 2017, GTC S7310). A
// candidate whose Q is 0 where P is not, is out.
func (h *Histogram) KL(levels int) float32 {
	all := make([]float64, len(h.Positive))
	used, total := 0, 0.0
	for i := range all {
		if all[i] = float64(h.Positive[i] + h.Negative[i]); all[i] > 0 {
			used = i + 1
		}
		total += all[i]
	}
	best, bound := math.Inf(1), used
	beyond, q := total, make([]float64, levels)
	for n := 1; n <= used; n++ {
		beyond -= all[n-1]
		if n < levels {
			continue
		}
		if d := divergence(all[:n], beyond, q); d < best {
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
		lo, hi := level*len(bins)/len(q), (level+1)*len(bins)/len(q)
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
	return d/sumP - math.Log(sumP/sumQ)
}
