// Package calib watches activations while a model runs over calibration
// text, and proposes static scales for them.
//
// An [Observer] keeps the largest magnitude and a histogram of magnitudes.
// Its bins are as fine as the upper bits of a float32: 256 to each power of
// two, so that a quantile is off by at most 0.4 % whatever the range, without
// a first pass to find it. What an observer has seen does not depend on the
// order in which it saw it.
package calib

import (
	"fmt"
	"math"
)

// A bin holds the magnitudes that share a float32's exponent and the first 8
// bits of its fraction.
const (
	binShift = 23 - 8
	bins     = 0x7f80_0000 >> binShift // up to infinity, exclusive
)

// MinBound is the least bound that is proposed: the clamp of the activation
// quantizer.
const MinBound = 1e-5

// An Observer collects magnitudes. The zero value has seen nothing. It must
// not be used by several goroutines at once.
type Observer struct {
	counts    []uint64 // [bins], once there is something to count
	seen      uint64
	nonFinite uint64
	absMax    float32
}

// Observe adds the elements of x. Infinities and NaNs are counted apart.
func (o *Observer) Observe(x []float32) {
	if o.counts == nil {
		o.counts = make([]uint64, bins)
	}
	for _, v := range x {
		bits := math.Float32bits(v) &^ (1 << 31)
		bin := bits >> binShift
		if bin >= bins {
			o.nonFinite++
			continue
		}
		o.counts[bin]++
		o.seen++
		o.absMax = max(o.absMax, math.Float32frombits(bits))
	}
}

// Err reports an observer that saw nothing, or something that is not finite.
func (o *Observer) Err() error {
	switch {
	case o.nonFinite > 0:
		return fmt.Errorf("%d of %d activations are not finite: the weights are of no use", o.nonFinite, o.nonFinite+o.seen)
	case o.seen == 0:
		return fmt.Errorf("no activations were seen")
	}
	return nil
}

// AbsMax returns the largest |x| seen, at least MinBound.
func (o *Observer) AbsMax() float32 { return max(o.absMax, MinBound) }

// Percentile returns the value that percent of a hundred of the |x| seen do
// not exceed, interpolated inside a bin; at least MinBound, at most AbsMax.
func (o *Observer) Percentile(percent float64) float32 {
	rank := max(1, math.Round(percent/100*float64(o.seen)))
	below := 0.0
	for bin, n := range o.counts {
		if n > 0 && below+float64(n) >= rank {
			low, high := edge(bin), edge(bin+1)
			v := low + (high-low)*(rank-below)/float64(n)
			return max(min(float32(v), o.absMax), MinBound)
		}
		below += float64(n)
	}
	return o.AbsMax()
}

// edge is the least magnitude of a bin.
func edge(bin int) float64 {
	if bin >= bins {
		return math.MaxFloat32
	}
	return float64(math.Float32frombits(uint32(bin) << binShift))
}

// Sites holds an observer for each place in a model, by name.
type Sites map[string]*Observer

// Observe adds the elements of x to the observer of a site.
func (s Sites) Observe(site string, x []float32) {
	o := s[site]
	if o == nil {
		o = new(Observer)
		s[site] = o
	}
	o.Observe(x)
}
