package kernel

import "math"

// Histograms, for one goroutine. An increment waits for an earlier one of the
// same place to reach memory, which limits them to about one element in three
// cycles; what is written here keeps everything else, above all branches, out
// of the way.

// MagnitudeBins is the number of bins of [CountMagnitudes], and MagnitudeShift
// the number of bits of a float32 that they leave out: bin i holds what is not
// below math.Float32frombits(i<<MagnitudeShift). That is 256 bins to each power
// of two. From MagnitudeBins-256 on they hold infinities and NaNs.
const (
	MagnitudeShift = 23 - 8
	MagnitudeBins  = 1 << (31 - MagnitudeShift)
)

// CountMagnitudes adds the elements of x to the counts of their magnitudes,
// and returns the largest; NaN counts as above infinity.
func CountMagnitudes(counts *[MagnitudeBins]uint64, x []float32) float32 {
	var largest uint32
	for _, v := range x {
		bits := math.Float32bits(v) &^ (1 << 31)
		largest = max(largest, bits)
		counts[bits>>MagnitudeShift]++
	}
	return math.Float32frombits(largest)
}

// CountLinear adds the elements of x, none of them NaN, to a histogram with
// bins of equal width 1/inv: bin int(|x|*inv) of bins = len(counts)/2, the last
// for all beyond; in the first half of counts if the sign bit is clear, in the
// second if it is set.
func CountLinear(counts []uint64, x []float32, inv float64) {
	bins := uint64(len(counts) / 2)
	for _, v := range x {
		bits := math.Float32bits(v)
		magnitude := math.Float32frombits(bits &^ (1 << 31))
		bin := uint64(int64(float64(magnitude) * inv)) // where that overflows, it is above all bins
		counts[min(bin, bins-1)+bins*uint64(bits>>31)]++
	}
}

// MinMax returns the least and the largest element of x, which is not empty;
// both are NaN if any is. -0 is less than 0.
func MinMax(x []float32) (lo, hi float32) {
	least, largest := minMaxKeys(x)
	lo, hi = keyFloat(least), keyFloat(largest)
	if lo != lo || hi != hi {
		return float32(math.NaN()), float32(math.NaN())
	}
	return lo, hi
}

// orderKey is an int32 that is in the order of the float32: NaNs are beyond the
// infinities, on the side of their sign.
func orderKey(v float32) int32 {
	bits := int32(math.Float32bits(v))
	return bits ^ int32(uint32(bits>>31)>>1)
}

// keyFloat is the number with the key.
func keyFloat(key int32) float32 {
	return math.Float32frombits(uint32(key ^ int32(uint32(key>>31)>>1)))
}

// minMaxKeys returns the least and the largest key of x.
func minMaxKeys(x []float32) (lo, hi int32) {
	k, _, n := vectorPart(x)
	if n == 0 {
		return minMaxKeysPortable(x)
	}
	lo, hi = k.minMaxKeys(&x[0], n)
	a, b := minMaxKeysPortable(x[n:])
	return min(lo, a), max(hi, b)
}

func minMaxKeysPortable(x []float32) (lo, hi int32) {
	lo, hi = math.MaxInt32, math.MinInt32
	for _, v := range x {
		key := orderKey(v)
		lo, hi = min(lo, key), max(hi, key)
	}
	return lo, hi
}
