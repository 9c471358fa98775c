package quant

import "math"

// searchSteps is the number of ranges that a search tries: i/100 of the
// values' range, from the whole down.
const searchSteps = 100

// points are the values that a search looks at: the elements of a small
// group, the middles of a histogram's bins of a large one.
type points struct {
	value  []float32
	weight []float64 // how many values; nil means one each
}

// points returns what stands for the group v, whose values reach from lo to
// hi.
func (w *work) points(s *scratch, v *view, lo, hi float32) (points, error) {
	if v.size() <= HistogramBins {
		return points{value: v.block(s.x, 0)}, nil
	}
	err := w.histogram(s, v, max(-lo, hi))
	return s.hist.points(&s.value, &s.weight), err
}

// points returns the middles of the bins that are not empty.
func (h *Histogram) points(value *[]float32, weight *[]float64) points {
	p := points{(*value)[:0], (*weight)[:0]}
	for i := range h.Positive {
		middle := float32((float64(i) + 0.5) * h.Width)
		if n := h.Positive[i]; n > 0 {
			p.value, p.weight = append(p.value, middle), append(p.weight, float64(n))
		}
		if n := h.Negative[i]; n > 0 {
			p.value, p.weight = append(p.value, -middle), append(p.weight, float64(n))
		}
	}
	*value, *weight = p.value, p.weight
	return p
}

// search returns the range of the least squared error (mse) or of the largest
// entropy of the codes: the widest, if several are equal.
func (p points) search(rule Scale, scheme Scheme, grid Grid, lo, hi float32) (float32, float32) {
	best, found := math.Inf(1), float32(1)
	for i := searchSteps; i >= 1; i-- {
		f := float32(i) / searchSteps
		cover := symmetric(f*max(-lo, hi), grid)
		if scheme == Affine {
			cover = affine(f*lo, f*hi, grid)
		}
		loss := 0.0
		if rule == MSE {
			loss = p.squaredError(cover, grid)
		} else {
			loss = -p.entropy(cover, grid)
		}
		if loss < best {
			best, found = loss, f
		}
	}
	if scheme == Affine {
		return found * lo, found * hi
	}
	a := found * max(-lo, hi)
	return -a, a
}

func (p points) squaredError(c params, grid Grid) float64 {
	sum := 0.0
	for i, v := range p.value {
		d := float64(v) - (nearestCode(v, c, grid)-float64(c.zero))*float64(c.scale)
		if p.weight != nil {
			sum += float64(d * d * p.weight[i])
		} else {
			sum += float64(d * d)
		}
	}
	return sum
}

// entropy returns the entropy of the codes in nats.
func (p points) entropy(c params, grid Grid) float64 {
	var count [256]float64
	for i, v := range p.value {
		n := 1.0
		if p.weight != nil {
			n = p.weight[i]
		}
		count[int(nearestCode(v, c, grid))-grid.Min] += n
	}
	return entropyOf(count[:])
}

func nearestCode(v float32, c params, grid Grid) float64 {
	code := math.RoundToEven(float64(v*c.inv)) + float64(c.zero)
	return min(max(code, float64(grid.Min)), float64(grid.Max))
}

// entropyOf returns the entropy of counts in nats.
func entropyOf(counts []float64) float64 {
	total := 0.0
	for _, n := range counts {
		total += n
	}
	h := 0.0
	for _, n := range counts {
		if n > 0 {
			h -= n / total * math.Log(n/total)
		}
	}
	return h
}
