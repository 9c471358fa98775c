package quant

import "math"

// Order statistics without sorting. The bits of a positive float32 are in the
// order of the numbers, so the k-th smallest has its upper 16 bits from one
// histogram and its lower 16 bits from another: two passes, exact, in a fixed
// amount of memory.

type counts [1 << 16]uint32

// rank returns the k-th smallest |x| of the group v, from 0; NaN if an
// element is not finite.
func (w *work) rank(s *scratch, v view, k int) (float32, error) {
	top, err := w.measure(s, &v, absMax, 0)
	if err != nil || !(top.hi <= math.MaxFloat32) {
		return top.hi, err
	}
	return kth(s, &v, k, magnitude), nil
}

// magnitude is the order of |x|; ordered that of x.
func magnitude(x float32) uint32 { return math.Float32bits(x) &^ (1 << 31) }

func ordered(x float32) uint32 {
	bits := math.Float32bits(x)
	if bits>>31 == 1 {
		return ^bits
	}
	return bits | 1<<31
}

func unordered(key uint32) float32 {
	if key>>31 == 1 {
		return math.Float32frombits(key &^ (1 << 31))
	}
	return math.Float32frombits(^key)
}

// kth returns the element of v whose key is the k-th smallest, from 0.
func kth(s *scratch, v *view, k int, key func(float32) uint32) float32 {
	var bits uint32
	if v.size() <= block {
		x := v.block(s.x, 0)
		s.keys = resize(s.keys, len(x))
		for i, v := range x {
			s.keys[i] = key(v)
		}
		bits = selectKth(s.keys, k)
	} else {
		upper, below := kthUpper(s, v, k, key)
		bits = upper<<16 | kthLower(s, v, k-below, key, upper)
	}
	if key(-1) == key(1) {
		return math.Float32frombits(bits)
	}
	return unordered(bits)
}

// kthUpper returns the upper half of the k-th key, and how many keys have a
// smaller one.
func kthUpper(s *scratch, v *view, k int, key func(float32) uint32) (upper uint32, below int) {
	s.counts = counts{}
	for i := range v.blocks() {
		for _, x := range v.block(s.x, i) {
			s.counts[key(x)>>16]++
		}
	}
	return s.counts.find(k)
}

// kthLower returns the lower half of the k-th key among those with that upper
// half.
func kthLower(s *scratch, v *view, k int, key func(float32) uint32, upper uint32) uint32 {
	s.counts = counts{}
	for i := range v.blocks() {
		for _, x := range v.block(s.x, i) {
			if b := key(x); b>>16 == upper {
				s.counts[b&0xffff]++
			}
		}
	}
	lower, _ := s.counts.find(k)
	return lower
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
