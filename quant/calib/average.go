package calib

import (
	"fmt"
	"math"

	"trefoil/internal/kernel"
)

// A MovingAverage follows the range of batches exponentially: with each batch
// lo += Momentum (min - lo), and so hi (Jacob et al. 2018, arXiv:1712.05877,
// section 3.1, unnumbered). The first batch sets both. An outlier of one batch is
// forgotten, unlike in an [Observer].
type MovingAverage struct {
	Momentum float32 // above 0 and up to 1; 0 means 0.01

	lo, hi float32
	seen   bool
}

// Observe follows the batch x. It fails, and leaves the range as it is, if x
// is empty or not finite, or the momentum no share.
func (m *MovingAverage) Observe(x []float32) error {
	if len(x) == 0 {
		return fmt.Errorf("a batch without numbers has no range")
	}
	lo, hi := kernel.MinMax(x)
	if !(lo >= -math.MaxFloat32 && hi <= math.MaxFloat32) {
		return fmt.Errorf("a batch from %v to %v has no range: its numbers must be finite", lo, hi)
	}
	if !(m.Momentum >= 0 && m.Momentum <= 1) {
		return fmt.Errorf("a moving average with the momentum %v: use 0 to 1, 0.01 is usual", m.Momentum)
	}
	if !m.seen {
		m.lo, m.hi, m.seen = lo, hi, true
		return nil
	}
	momentum := m.Momentum
	if momentum == 0 {
		momentum = 0.01
	}
	m.lo += momentum * (lo - m.lo)
	m.hi += momentum * (hi - m.hi)
	return nil
}

// Range returns the range followed, extended to 0, for [quant.Config.Cover].
func (m *MovingAverage) Range() (lo, hi float32, err error) {
	if !m.seen {
		return 0, 0, fmt.Errorf("no batches were seen")
	}
	return min(m.lo, 0), max(m.hi, 0), nil
}
