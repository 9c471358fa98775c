package calib

import (
	"testing"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// benchSize numbers are 64 MB, larger than a core's share of any cache.
const benchSize = 1 << 24

// onOneThread runs f, which reads benchSize float32 numbers.
func onOneThread(b *testing.B, f func()) {
	defer kernel.SetThreads(kernel.SetThreads(1))
	b.SetBytes(4 * benchSize)
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

// BenchmarkCopy is the yardstick: it reads and writes every byte.
func BenchmarkCopy(b *testing.B) {
	x, y := laplace(benchSize), make([]float32, benchSize)
	onOneThread(b, func() { copy(y, x) })
}

// BenchmarkCalibrate watches a tensor, and then asks for the histogram, four
// percentiles, and the static scales of two rules. Nearly all of its time goes
// into the sketch, whose counters do not fit the first cache.
func BenchmarkCalibrate(b *testing.B) {
	x := laplace(benchSize)
	b.Run("observe", func(b *testing.B) {
		var o Observer
		onOneThread(b, func() { o.Observe(x) })
	})
	b.Run("histogram-percentiles", func(b *testing.B) {
		onOneThread(b, func() {
			var o Observer
			o.Observe(x)
			if h := o.Histogram(); len(h.Positive) != quant.HistogramBins {
				b.Fatal(len(h.Positive))
			}
			for _, percent := range []float64{50, 99, 99.9, 99.99} {
				if p, err := o.Percentile(percent); err != nil || p <= MinBound {
					b.Fatal(percent, err)
				}
			}
			for _, rule := range []quant.Scale{quant.Percentile, quant.MSE} {
				if _, _, err := o.Static(quant.Config{Bits: 8, Scale: rule}); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("moving-average", func(b *testing.B) {
		var m MovingAverage
		onOneThread(b, func() {
			if err := m.Observe(x); err != nil {
				b.Fatal(err)
			}
		})
	})
}
