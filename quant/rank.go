package quant

import (
	"math"

	"trefoil/internal/kernel"
)

// Order statistics without sorting. The bits of a positive float32 are in the
// order of the numbers, so the k-th smallest has its upper 16 bits from one
// histogram and its lower 16 bits from another: two passes, exact, in a fixed
// amount of memory.

// counts is a histogram of halves of keys: those of [kernel.CountMagnitudes].
type counts [kernel.MagnitudeBins]uint64

// order is what numbers are ranked by: their keys are in that order.
type order int

const (
	byMagnitude order = iota // |x|: the key has the bits of x without the sign, 0 at the end
	byValue                  // x
)

// magnitudeKey is the key of |x|, valueKey that of x.
func magnitudeKey(x float32) uint32 { return math.Float32bits(x) << 1 }

func valueKey(x float32) uint32 {
	bits := math.Float32bits(x)
	return bits ^ (uint32(int32(bits)>>31) | 1<<31)
}

// number returns the number that has the key.
func (o order) number(key uint32) float32 {
	switch {
	case o == byMagnitude:
		return math.Float32frombits(key >> 1)
	case key>>31 == 1:
		return math.Float32frombits(key &^ (1 << 31))
	}
	return math.Float32frombits(^key)
}

// rank returns the k-th smallest |x| of the group v, from 0; NaN if an
// element is not finite.
func (w *work) rank(s *scratch, v view, k int) (float32, error) {
	top, err := w.measure(s, &v, absMax, 0)
	if err != nil || !(top.hi <= math.MaxFloat32) {
		return top.hi, err
	}
	return w.kth(s, &v, k, byMagnitude)
}

// kth returns the k-th smallest element of v in that order, from 0, or its
// magnitude.
func (w *work) kth(s *scratch, v *view, k int, o order) (float32, error) {
	if v.size() > block {
		if err := w.countUpper(s, v, o); err != nil {
			return 0, err
		}
		upper, below := s.counts.find(k)
		if err := w.countLower(s, v, o, upper); err != nil {
			return 0, err
		}
		lower, _ := s.counts.find(k - below)
		return o.number(upper<<16 | lower), nil
	}
	x := v.block(s.x, 0)
	s.keys = resize(s.keys, len(x))
	for i, v := range x {
		if o == byMagnitude {
			s.keys[i] = magnitudeKey(v)
		} else {
			s.keys[i] = valueKey(v)
		}
	}
	return o.number(selectKth(s.keys, k)), nil
}

// countUpper counts the keys by their upper halves.
func (w *work) countUpper(s *scratch, v *view, o order) error {
	clear(s.counts[:])
	return w.eachBlock(s, v, func(x []float32) {
		if o == byMagnitude {
			kernel.CountMagnitudes((*[kernel.MagnitudeBins]uint64)(&s.counts), x)
			return
		}
		for _, x := range x {
			s.counts[valueKey(x)>>16]++
		}
	})
}

// countLower counts the keys with that upper half by their lower halves.
func (w *work) countLower(s *scratch, v *view, o order, upper uint32) error {
	clear(s.counts[:])
	return w.eachBlock(s, v, func(x []float32) {
		if o == byMagnitude {
			for _, x := range x {
				if key := magnitudeKey(x); key>>16 == upper {
					s.counts[key&0xffff]++
				}
			}
			return
		}
		for _, x := range x {
			if key := valueKey(x); key>>16 == upper {
				s.counts[key&0xffff]++
			}
		}
	})
}

// find returns the bin of the k-th count, and the sum of those before it.
func (c *counts) find(k int) (bin uint32, below int) {
	for i, n := range c {
		if below+int(n) > k {
			return uint32(i), below
		}
		below += int(n)
	}
	return uint32(len(c) - 1), below
}

// selectKth returns the k-th smallest of a and reorders a: Hoare's selection
// with the median of three as pivot.
func selectKth[T float32 | float64 | uint32](a []T, k int) T {
	for lo, hi := 0, len(a)-1; lo < hi; {
		mid := lo + (hi-lo)/2
		pivot := max(min(a[lo], a[mid]), min(max(a[lo], a[mid]), a[hi]))
		i, j := lo, hi
		for i <= j {
			for a[i] < pivot {
				i++
			}
			for a[j] > pivot {
				j--
			}
			if i <= j {
				a[i], a[j] = a[j], a[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return a[k]
		}
	}
	return a[k]
}
