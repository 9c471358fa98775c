package quant

import "trefoil/internal/kernel"

// kept is a choice of the rule optimal: the k largest magnitudes, of that sum,
// those above the cut. Its squared error is the less, the more it gains.
type kept struct {
	sum float64
	k   int
	cut float32
}

func (c kept) gain() float64 { return c.sum * c.sum / float64(max(1, c.k)) }

// offer makes c the choice that gains more, of equal ones that of fewer.
func (c *kept) offer(other kept) {
	if g, best := other.gain(), c.gain(); g > best || g == best && other.k < c.k {
		*c = other
	}
}

// and returns the choice with n magnitudes more, of that sum, the least of
// which has a key of at least key.
func (c kept) and(n int, sum float64, key uint32) kept {
	return kept{c.sum + sum, c.k + n, byMagnitude.number(max(key, keyStep) - keyStep)}
}

// keyStep is the distance of the keys of two neighbouring magnitudes.
const keyStep = 2

// total counts the magnitudes in a bin, and adds them up.
type total struct {
	sum   float64
	count int
}

// bound limits what any choice gains whose least magnitude lies in a bin of
// keys from first on, before being the choice of all larger ones. The j
// largest of the bin's n magnitudes add up to at most j hi, and to at most the
// whole sum less (n-j) lo. Both are linear in j and the gain is convex where
// the sum is, so it is largest where they meet, or at an end of the bin.
func (t total) bound(before kept, first uint32) float64 {
	lo := float64(byMagnitude.number(first))
	hi := float64(byMagnitude.number(first | (1<<16 - keyStep)))
	j := min(max((t.sum-float64(t.count)*lo)/(hi-lo), 1), float64(t.count))
	sum := before.sum + j*hi
	return sum * sum / (float64(before.k) + j)
}

// optimalByKeys finds the choice that gains most without sorting: a histogram
// by the upper halves of the keys gives what the choices at the ends of its
// bins gain, and bounds the others. The few bins that may hold a better one
// are counted key by key, in a pass each.
func (w *work) optimalByKeys(s *scratch, v *view) (params, error) {
	if err := w.totalUpper(s, v); err != nil {
		return params{}, err
	}
	var best, all kept
	for bin := len(s.totals) - 1; bin >= 0; bin-- {
		if t := s.totals[bin]; t.count > 0 {
			all = all.and(t.count, t.sum, uint32(bin)<<16)
			best.offer(all)
		}
	}
	all = kept{}
	for bin := len(s.totals) - 1; bin >= 0; bin-- {
		t, first := s.totals[bin], uint32(bin)<<16
		if t.count == 0 {
			continue
		}
		if t.bound(all, first) >= best.gain() {
			if err := w.countLower(s, v, byMagnitude, uint32(bin)); err != nil {
				return params{}, err
			}
			best.offer(s.counts.best(all, first))
		}
		all = all.and(t.count, t.sum, first)
	}
	return params{scale: max(float32(best.sum/float64(max(1, best.k))), minScale), cut: best.cut}, nil
}

// totalUpper adds up the magnitudes by the upper halves of their keys.
func (w *work) totalUpper(s *scratch, v *view) error {
	s.totals = resize(s.totals, kernel.MagnitudeBins)
	clear(s.totals)
	return w.eachBlock(s, v, func(x []float32) {
		for _, x := range x {
			t := &s.totals[magnitudeKey(x)>>16]
			t.sum += float64(max(x, -x))
			t.count++
		}
	})
}

// best returns the choice that gains most among those that add magnitudes
// counted by the lower halves of their keys to the larger ones before.
func (c *counts) best(before kept, first uint32) kept {
	best := before
	for lower := len(c) - 1; lower >= 0; lower-- {
		if n := int(c[lower]); n > 0 {
			key := first | uint32(lower)
			before = before.and(n, float64(n)*float64(byMagnitude.number(key)), key)
			best.offer(before)
		}
	}
	return best
}
