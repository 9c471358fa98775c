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
			p := point{float64(r.Step), *v}
			if math.IsInf(p.y, 0) {
				p.y = math.NaN()
			}
			points = append(points, p)
		}
	}
	return points
}

// smooth replaces each point by the mean of those up to reach before and after
// it. Near the ends the reach shrinks to what there is on both sides, so that
// the curve neither lags nor bends.
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
		near := min(reach, i, len(points)-1-i)
		lo, hi := i-near, i+near+1
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

// rangeOf returns the range of y that shows the curves. The first losses of a
// run are many times the last ones and would flatten all that follows: what is
// far above the nine tenths of the points that are lower lies outside.
func rangeOf(curves ...[]point) (lo, hi float64) {
	var values []float64
	for _, points := range curves {
		for _, p := range points {
			if !math.IsNaN(p.y) {
				values = append(values, p.y)
			}
		}
	}
	if len(values) == 0 {
		return 0, 1
	}
	slices.Sort(values)
	lo, hi = values[0], values[len(values)-1]
	if most := values[(len(values)-1)*9/10]; most > lo {
		hi = min(hi, lo+2.5*(most-lo))
	}
	margin := 0.05 * (hi - lo)
	if margin == 0 {
		margin = max(0.05*math.Abs(lo), 1e-3)
	}
	return lo - margin, hi + margin
}

// A stretch is the part of the x axis that a phase takes.
type stretch struct {
	name   string
	lo, hi float64
}

// stretches returns the phases in the order of the steps. A run without phases
// has none.
func stretches(records []Record) []stretch {
	var all []stretch
	for _, r := range records {
		x := float64(r.Step)
		if n := len(all); n == 0 || all[n-1].name != r.Phase {
			if n > 0 {
				all[n-1].hi = x
			}
			all = append(all, stretch{r.Phase, x, x})
		}
		all[len(all)-1].hi = x
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
		if loss := r.heldOut(); !math.IsNaN(loss) && (!ok || loss < lowest.heldOut()) {
			lowest, ok = r, true
		}
	}
	return lowest, ok
}
