// Package calib watches activations while a model runs over calibration text,
// and proposes static scales for them; and it learns how to round weights.
//
// An [Observer] keeps the extremes and a sketch of everything it sees, in
// memory that does not grow with the data. From it every range rule of
// [trefoil/quant] can be had afterwards: percentiles, the least squared error,
// KL divergence, deviations. What it has seen does not depend on the order in
// which it saw it. A [MovingAverage] follows the extremes of batches instead.
// [AdaRound] chooses for each weight whether to round up or down so that a
// layer's output on calibration data changes least.
package calib

import (
	"fmt"
	"math"
	"slices"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// MinBound is the least bound that is proposed: the clamp of the activation
// quantizer.
const MinBound = 1e-5

// An Observer collects numbers. The zero value has seen nothing. It must not
// be used by several goroutines at once.
type Observer struct {
	sketch sketch
	seen   uint64
	lo, hi float32 // least and largest of the finite numbers and 0
}

// pieceSize numbers are looked at twice while they are in the first cache.
const pieceSize = 4096

// Observe adds the elements of x. Infinities and NaNs are counted apart.
func (o *Observer) Observe(x []float32) {
	o.seen += uint64(len(x))
	for piece := range slices.Chunk(x, pieceSize) {
		o.sketch.add(piece)
		o.extend(piece)
	}
}

// extend lets the range reach the finite elements of x.
func (o *Observer) extend(x []float32) {
	if lo, hi := kernel.MinMax(x); lo >= -math.MaxFloat32 && hi <= math.MaxFloat32 {
		o.lo, o.hi = min(o.lo, lo), max(o.hi, hi)
		return
	}
	for _, v := range x {
		if v-v == 0 {
			o.lo, o.hi = min(o.lo, v), max(o.hi, v)
		}
	}
}

// Merge adds what another observer has seen, which may be one of another
// goroutine.
func (o *Observer) Merge(other *Observer) {
	o.sketch.merge(&other.sketch)
	o.seen += other.seen
	o.lo, o.hi = min(o.lo, other.lo), max(o.hi, other.hi)
}

// Err reports an observer that saw nothing, or something that is not finite.
func (o *Observer) Err() error {
	switch bad := o.sketch.nonFinite(); {
	case bad > 0:
		return fmt.Errorf("%d of %d numbers are NaN or infinite: whatever computed them has gone wrong, for activations the weights", bad, o.seen)
	case o.seen == 0:
		return fmt.Errorf("no numbers were seen")
	}
	return nil
}

// AbsMax returns the largest |x| seen, at least MinBound.
func (o *Observer) AbsMax() float32 { return max(-o.lo, o.hi, MinBound) }

// rankSlack keeps the rounding of a percentage from moving a rank.
const rankSlack = 1e-6

// Percentile returns the value that percent of a hundred of the finite |x| seen
// do not exceed, interpolated inside a bin; at least MinBound, at most AbsMax.
// It fails unless percent is above 0 and at most 100.
func (o *Observer) Percentile(percent float64) (float32, error) {
	if !(percent > 0 && percent <= 100) {
		return 0, fmt.Errorf("percentile: %v is outside 0..100: 99.9 keeps all but one number in a thousand", percent)
	}
	return o.percentile(percent), nil
}

func (o *Observer) percentile(percent float64) float32 {
	rank := max(1, math.Ceil(percent/100*float64(o.seen-o.sketch.nonFinite())-rankSlack))
	return max(min(float32(o.sketch.magnitude(rank)), o.AbsMax()), MinBound)
}

// Histogram returns the histogram of the numbers seen, in 2,048 bins of
// magnitude up to the power of two above AbsMax.
func (o *Observer) Histogram() *quant.Histogram { return o.sketch.histogram(o.AbsMax()) }

// Range returns the range lo <= 0 <= hi that the codes of c should cover: its
// scale rule applied to all that was seen. Deviations are those of the bins'
// middles, off by at most 0.1 %. It fails on what [Observer.Err] reports, and
// on a rule that gives no range.
func (o *Observer) Range(c quant.Config) (lo, hi float32, err error) {
	q, err := quant.New(c)
	if err != nil {
		return 0, 0, err
	}
	if err := o.Err(); err != nil {
		return 0, 0, err
	}
	c = q.Config()
	switch c.Scale {
	case quant.AbsMax:
		return -o.AbsMax(), o.AbsMax(), nil
	case quant.MinMax:
		return o.lo, o.hi, nil
	case quant.Percentile:
		lo, hi = o.ends(c)
	case quant.MSE, quant.KL, quant.Entropy:
		lo, hi = o.Histogram().Range(c, o.lo, o.hi)
	case quant.Sigma, quant.ACIQGaussian, quant.ACIQLaplace:
		lo, hi = o.around(c)
	default:
		return 0, 0, fmt.Errorf("scale: %s gives no range to calibrate: use percentile, mse or minmax", c.Scale)
	}
	return lo, hi, nil
}

// Static returns the scale and zero point of c for all that was seen, for use
// with [quant.Scalar.Encode] or [quant.Scalar.WithScales].
func (o *Observer) Static(c quant.Config) (scale float32, zero int8, err error) {
	lo, hi, err := o.Range(c)
	if err != nil {
		return 0, 0, err
	}
	return c.Cover(lo, hi)
}

// ends returns the range that leaves out the given share of the numbers.
func (o *Observer) ends(c quant.Config) (lo, hi float32) {
	if c.Scheme == quant.Symmetric {
		bound := o.percentile(c.Percentile)
		return -bound, bound
	}
	rank := max(1, math.Floor((1-c.Percentile/100)/2*float64(o.seen)+rankSlack)+1)
	lo = max(float32(o.sketch.outermost(negative, rank)), o.lo)
	hi = min(float32(o.sketch.outermost(0, rank)), o.hi)
	return lo, hi
}

// around returns mean +- a number of deviations, as far as there are values.
func (o *Observer) around(c quant.Config) (lo, hi float32) {
	mean := o.mean(func(v float64) float64 { return v })
	width := 0.0
	switch c.Scale {
	case quant.ACIQLaplace:
		width = quant.ACIQ(c.Scale, c.Bits) * o.mean(func(v float64) float64 { return math.Abs(v - mean) })
	default:
		width = math.Sqrt(o.mean(func(v float64) float64 { return (v - mean) * (v - mean) }))
		if c.Scale == quant.Sigma {
			width *= c.Sigmas
		} else {
			width *= quant.ACIQ(c.Scale, c.Bits)
		}
	}
	return max(min(0, float32(mean-width)), o.lo), min(max(0, float32(mean+width)), o.hi)
}

// mean returns the mean of f over the middles of the bins.
func (o *Observer) mean(f func(v float64) float64) float64 {
	sum := 0.0
	add := func(b bin) bool { sum += f(b.middle()) * float64(b.count); return true }
	o.sketch.each(0, add)
	o.sketch.each(negative, add)
	return sum / float64(o.seen)
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
