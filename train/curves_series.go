package train

import (
	"math"
	"slices"
)

// A point of a curve; y is NaN where there is a gap.
type point struct{ x, y float64 }

// pick returns the curve of one metric over the steps, without the records
// that do not have it. Values that are not finite become gaps.
func pick(records []Record, metric func(Record) *float64) []point {
	var points []point
	for _, r := range records {
		if v := metric(r); v != nil {
			points = append(points, point{float64(r.Step), finite(*v)})
		}
	}
	return points
}

// finite makes a gap of a value that is infinite.
func finite(y float64) float64 {
	if math.IsInf(y, 0) {
		return math.NaN()
	}
	return y
}

// smooth replaces each point by the mean of those up to reach before and after
// it. At the start, where the loss falls steeply, the reach shrinks to what
// there is on both sides, so that the curve does not bend; at the end it is cut
// off.
func smooth(points []point, reach int) []point {
	sums, counts := make([]float64, len(points)+1), make([]int, len(points)+1)
	for i, p := range points {
		sums[i+1], counts[i+1] = sums[i], counts[i]
		if !math.IsNaN(p.y) {
			sums[i+1] += p.y
			counts[i+1]++
		}
	}
	mean := slices.Clone(points)
	for i, p := range points {
		if math.IsNaN(p.y) {
			continue
		}
		near := min(reach, i)
		lo, hi := i-near, min(i+near+1, len(points))
		mean[i].y = (sums[hi] - sums[lo]) / float64(counts[hi]-counts[lo])
	}
	return mean
}

// thin leaves about most points: of each run of neighbours the lowest and the
// highest, so that what stands out stays.
func thin(points []point, most int) []point {
	if len(points) <= most {
		return points
	}
	var kept []point
	for run := range slices.Chunk(points, (2*len(points)+most-1)/most) {
		lo, hi := 0, 0
		for i, p := range run {
			if p.y < run[lo].y || math.IsNaN(p.y) {
				lo = i
			}
			if p.y > run[hi].y {
				hi = i
			}
		}
		first, last := min(lo, hi), max(lo, hi)
		kept = append(kept, run[first])
		if last != first {
			kept = append(kept, run[last])
		}
	}
	return kept
}

// lossRange returns the range of y that shows losses. The first losses of a
// run are many times the last ones and would flatten all that follows: the
// range reaches four times as far as nine tenths of the losses after the first
// fifth of the run, but at least to half above the lowest loss. Where there
// are but a few losses it holds them all.
func lossRange(curves ...[]point) (lo, hi float64) {
	all := slices.DeleteFunc(slices.Concat(curves...), func(p point) bool { return math.IsNaN(p.y) })
	lo, hi = extremes(all)
	end := 0.0
	for _, p := range all {
		end = max(end, p.x)
	}
	var late []float64
	for _, p := range all {
		if p.x >= end/5 {
			late = append(late, p.y)
		}
	}
	if len(late) >= 10 {
		slices.Sort(late)
		most := late[(len(late)-1)*9/10]
		hi = min(hi, max(lo+4*(most-lo), 1.5*lo))
	}
	return widened(lo, hi)
}

// extremes returns the least and the largest y, 0 and 1 without any.
func extremes(points []point) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, p := range points {
		if !math.IsNaN(p.y) {
			lo, hi = min(lo, p.y), max(hi, p.y)
		}
	}
	if lo > hi {
		return 0, 1
	}
	return lo, hi
}

// widened adds a margin to a range, which may be empty.
func widened(lo, hi float64) (float64, float64) {
	margin := 0.07 * (hi - lo)
	if margin == 0 {
		margin = max(0.05*math.Abs(lo), 1e-3)
	}
	return lo - margin, hi + margin
}

// untilQuantized returns the held-out losses of the fully quantized network up
// to and with the first evaluation at which the network is that itself.
func untilQuantized(records []Record) []point {
	var points []point
	for _, r := range records {
		switch p := (point{float64(r.Step), finite(r.heldOut())}); {
		case r.ValLossQuantized != nil:
			points = append(points, p)
		case r.ValLoss != nil && len(points) > 0:
			return append(points, p)
		}
	}
	return points
}

// A stretch is the part of the x axis that a phase takes.
type stretch struct {
	name   string
	lo, hi float64
}

// stretches returns the phases in the order of the steps; the last one reaches
// to the end of the axis. A run without phases has none.
func stretches(records []Record, end float64) []stretch {
	var all []stretch
	for _, r := range records {
		n, x := len(all), float64(r.Step)
		if n > 0 && all[n-1].name == r.Phase {
			continue
		}
		if n > 0 {
			all[n-1].hi = x
		}
		all = append(all, stretch{r.Phase, x, end})
	}
	if len(all) == 1 && all[0].name == "" {
		return nil
	}
	return all
}

// best returns the record with the lowest held-out loss of the fully quantized
// network, the earliest if there are several, and whether there is one.
func best(records []Record) (lowest Record, ok bool) {
	for _, r := range records {
		if loss := finite(r.heldOut()); !math.IsNaN(loss) && (!ok || loss < lowest.heldOut()) {
			lowest, ok = r, true
		}
	}
	return lowest, ok
}
