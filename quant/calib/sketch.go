package calib

import (
	"math"

	"trefoil/quant"
)

// A bin holds the numbers that share a float32's sign, exponent and the first
// 10 bits of its fraction; a page holds the bins of one sign and exponent.
const (
	pageBits  = 10
	pageBins  = 1 << pageBits
	pageShift = 23
	binShift  = pageShift - pageBits
	pages     = 1 << 9
	negative  = pages / 2    // the first page of negative numbers
	infinite  = negative - 1 // the page of Inf and NaN
)

// sketch counts numbers in bins as fine as the upper bits of a float32: 1024
// to each power of two, so that a quantile is off by at most 0.1 % whatever
// the range, without a first pass to find it. Pages of powers of two that do
// not occur take no memory.
type sketch struct {
	pages [pages]*[pageBins]uint64
}

func (s *sketch) add(x []float32) {
	for len(x) >= 4 { // four at a time, so that their loads overlap
		a, b, c, d := math.Float32bits(x[0]), math.Float32bits(x[1]), math.Float32bits(x[2]), math.Float32bits(x[3])
		pa, pb, pc, pd := s.pages[a>>pageShift], s.pages[b>>pageShift], s.pages[c>>pageShift], s.pages[d>>pageShift]
		if pa == nil || pb == nil || pc == nil || pd == nil {
			s.open(a, b, c, d)
			continue
		}
		pa[a>>binShift%pageBins]++
		pb[b>>binShift%pageBins]++
		pc[c>>binShift%pageBins]++
		pd[d>>binShift%pageBins]++
		x = x[4:]
	}
	for _, v := range x {
		bits := math.Float32bits(v)
		s.open(bits)
		s.pages[bits>>pageShift][bits>>binShift%pageBins]++
	}
}

// open makes the pages of these numbers.
func (s *sketch) open(numbers ...uint32) {
	for _, bits := range numbers {
		if p := &s.pages[bits>>pageShift]; *p == nil {
			*p = new([pageBins]uint64)
		}
	}
}

// nonFinite counts infinities and NaNs.
func (s *sketch) nonFinite() (n uint64) {
	for _, p := range []int{infinite, negative + infinite} {
		if page := s.pages[p]; page != nil {
			for _, c := range page {
				n += c
			}
		}
	}
	return n
}

// bin is a bin that is not empty: count numbers from lo to hi, lo being the
// end nearer to 0.
type bin struct {
	lo, hi float64
	count  uint64
}

func (b bin) middle() float64 { return (b.lo + b.hi) / 2 }

// each calls body with the bins of one sign, from 0 outwards, until it returns
// false.
func (s *sketch) each(first int, body func(b bin) bool) {
	for p, page := range s.pages[first : first+infinite] {
		if page == nil {
			continue
		}
		for i, n := range page {
			if n == 0 {
				continue
			}
			b := bin{edge(p, i), edge(p, i+1), n}
			if first == negative {
				b.lo, b.hi = -b.lo, -b.hi
			}
			if !body(b) {
				return
			}
		}
	}
}

// edge is the least magnitude of bin i of a page.
func edge(page, i int) float64 {
	bits := uint32(page)<<pageShift + uint32(i)<<binShift
	if bits >= infinite<<pageShift {
		return math.MaxFloat32
	}
	return float64(math.Float32frombits(bits))
}

// merge adds the counts of another sketch.
func (s *sketch) merge(other *sketch) {
	for p, page := range other.pages {
		if page == nil {
			continue
		}
		if s.pages[p] == nil {
			s.pages[p] = new([pageBins]uint64)
		}
		for i, n := range page {
			s.pages[p][i] += n
		}
	}
}

// magnitude returns the |x| of that rank, from 1, interpolated inside its bin.
func (s *sketch) magnitude(rank float64) float64 {
	below := 0.0
	for p := range infinite {
		plus, minus := s.pages[p], s.pages[negative+p]
		if plus == nil && minus == nil {
			continue
		}
		for i := range pageBins {
			n := 0.0
			if plus != nil {
				n += float64(plus[i])
			}
			if minus != nil {
				n += float64(minus[i])
			}
			if n > 0 && below+n >= rank {
				lo, hi := edge(p, i), edge(p, i+1)
				return lo + (hi-lo)*(rank-below)/n
			}
			below += n
		}
	}
	return math.MaxFloat32
}

// outermost returns the bound that rank numbers of one sign, counted from the
// outside, reach or exceed; 0 if there are not so many.
func (s *sketch) outermost(first int, rank float64) float64 {
	total := 0.0
	s.each(first, func(b bin) bool { total += float64(b.count); return true })
	rank = total - rank + 1 // from 0 outwards
	if rank < 1 {
		return 0
	}
	bound, below := 0.0, 0.0
	s.each(first, func(b bin) bool {
		if n := float64(b.count); below+n < rank {
			below += n
			return true
		}
		bound = b.lo + (b.hi-b.lo)*(rank-below)/float64(b.count)
		return false
	})
	return bound
}

// histogram spreads the bins over 2,048 of equal width, from 0 to the power of
// two above absMax. It loses nothing: no bin of the sketch straddles one of
// the histogram, as both end at powers of two divided evenly.
func (s *sketch) histogram(absMax float32) *quant.Histogram {
	_, exponent := math.Frexp(float64(absMax))
	width := math.Ldexp(1, exponent) / quant.HistogramBins
	h := &quant.Histogram{
		Width:    width,
		Negative: make([]uint64, quant.HistogramBins), Positive: make([]uint64, quant.HistogramBins),
	}
	s.each(0, func(b bin) bool { h.Positive[int(b.lo/width)] += b.count; return true })
	s.each(negative, func(b bin) bool { h.Negative[int(-b.lo/width)] += b.count; return true })
	return h
}
