package quant

import (
	"math"

	"trefoil/internal/kernel"
)

// measure is a statistic that one pass over a group gives, block by block.
type measure int

const (
	absSum  measure = iota // sum of |x|, as in [kernel.AbsMean]
	absMax                 // hi: largest |x|
	minMax                 // lo and hi: least and largest of x and 0
	moments                // sum of x, squares of x
	above                  // sum and count of the |x| above the argument
	spread                 // sum of |x - argument|
)

// stats is the value of a measure. A NaN in the group shows in it.
type stats struct {
	sum, squares float64
	lo, hi       float32
	count        int
}

func (t *stats) add(p stats) {
	t.sum += p.sum
	t.squares += p.squares
	t.count += p.count
	t.lo, t.hi = min(t.lo, p.lo), max(t.hi, p.hi)
}

// measure returns a statistic of the group v. Its parts are added up in the
// order of the elements, whatever the number of threads.
func (w *work) measure(s *scratch, v *view, m measure, arg float32) (stats, error) {
	blocks := v.blocks()
	if blocks <= taskBlocks {
		return m.of(s, v, 0, arg), nil
	}
	w.view, w.want, w.arg, w.phase = *v, m, arg, measuring
	var total stats
	tasks := (blocks + taskBlocks - 1) / taskBlocks
	for w.base = 0; w.base < tasks; w.base += stripTasks {
		if err := w.stopped(); err != nil {
			return total, err
		}
		strip := min(stripTasks, tasks-w.base)
		kernel.Parallel(strip, w.body)
		for i := range strip {
			if m == absSum {
				for _, sum := range w.sums[i][:min(taskBlocks, blocks-(w.base+i)*taskBlocks)] {
					total.sum += sum
				}
				continue
			}
			total.add(w.parts[i])
		}
		w.looked((w.base + strip) * taskBlocks)
	}
	return total, nil
}

// of returns the statistic of a task's blocks of v, from block first on. The
// sums behind absSum are left in s.sums.
func (m measure) of(s *scratch, v *view, first int, arg float32) stats {
	var t stats
	for i := range min(taskBlocks, v.blocks()-first) {
		x := v.block(s.x, first+i)
		switch m {
		case absSum:
			kernel.AbsSums(s.sums[i:i+1], x)
			t.sum += s.sums[i]
		case absMax:
			t.hi = max(t.hi, kernel.AbsMaxSpan(x))
		case minMax:
			lo, hi := kernel.MinMax(x)
			t.lo, t.hi = min(t.lo, lo), max(t.hi, hi)
		case moments:
			sum, squares := 0.0, 0.0
			for _, v := range x {
				sum += float64(v)
				squares += float64(float64(v) * float64(v))
			}
			t.sum += sum
			t.squares += squares
		case above:
			t.addAbove(x, arg)
		case spread:
			for _, v := range x {
				t.sum += float64(max(v-arg, arg-v))
			}
		}
	}
	return t
}

// addAbove adds the magnitudes above a threshold of at least 0. Random weights
// leave a branch nothing to predict, so a mask of the sign of threshold - |v|,
// both as integers, decides.
func (t *stats) addAbove(x []float32, threshold float32) {
	limit := int32(math.Float32bits(threshold))
	for _, v := range x {
		magnitude := int32(math.Float32bits(v) &^ (1 << 31))
		keep := (limit - magnitude) >> 31
		t.sum += float64(math.Float32frombits(uint32(magnitude & keep)))
		t.count -= int(keep)
	}
}
