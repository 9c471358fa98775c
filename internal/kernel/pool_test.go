package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestParallelCallsEachIndexOnce(t *testing.T) {
	defer SetThreads(SetThreads(1))
	for _, threads := range []int{1, 2, 7} {
		SetThreads(threads)
		for _, n := range []int{0, 1, 2, 3, 100, 1001} {
			calls := make([]atomic.Int32, n)
			Parallel(n, func(i int) { calls[i].Add(1) })
			for i := range calls {
				if c := calls[i].Load(); c != 1 {
					t.Fatalf("%d threads: index %d of %d called %d times", threads, i, n, c)
				}
			}
		}
	}
}

func TestChunksCover(t *testing.T) {
	defer SetThreads(SetThreads(3))
	for _, n := range []int{0, 1, 9, 10, 11, 1000, 12345} {
		var sum atomic.Int64
		chunks(n, 10, func(lo, hi int) {
			if hi-lo < 10 && hi != n {
				t.Errorf("range [%d, %d) of %d is shorter than the grain", lo, hi, n)
			}
			for i := lo; i < hi; i++ {
				sum.Add(int64(i) + 1)
			}
		})
		if want := int64(n) * int64(n+1) / 2; sum.Load() != want {
			t.Errorf("ranges of %d miss elements or have them twice", n)
		}
	}
}

// TestParallelNested runs calls inside calls from several goroutines at once:
// all must end though they need more workers than there are.
func TestParallelNested(t *testing.T) {
	defer SetThreads(SetThreads(3))
	var sum atomic.Int64
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 50 {
				Parallel(5, func(int) {
					Parallel(4, func(int) {
						Parallel(3, func(int) { sum.Add(1) })
					})
				})
			}
		})
	}
	callers.Wait()
	if got := sum.Load(); got != 4*50*5*4*3 {
		t.Errorf("%d calls, want %d", got, 4*50*5*4*3)
	}
}

// TestParallelUsesWorkers: a body that waits for another one to start ends
// only if two goroutines run them, though the workers may be asleep at first.
func TestParallelUsesWorkers(t *testing.T) {
	defer SetThreads(SetThreads(4))
	for range 20 {
		time.Sleep(time.Millisecond)
		var started sync.WaitGroup
		started.Add(4)
		Parallel(4, func(int) {
			started.Done()
			started.Wait()
		})
	}
}

func TestPoolDoesNotGrow(t *testing.T) {
	defer SetThreads(SetThreads(4))
	work := func() { Parallel(8, func(int) {}) }
	work()
	before := runtime.NumGoroutine()
	if allocations := testing.AllocsPerRun(100, work); allocations > 0.5 {
		t.Errorf("%v allocations a call", allocations)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, before %d", after, before)
	}
}

// BenchmarkParallel measures the cost of handing out tasks that do nothing:
// one call after another, and with workers that have gone to sleep.
func BenchmarkParallel(b *testing.B) {
	b.Run("awake", func(b *testing.B) {
		for b.Loop() {
			Parallel(8, func(int) {})
		}
	})
	b.Run("asleep", func(b *testing.B) {
		var spent time.Duration
		for b.Loop() {
			time.Sleep(500 * time.Microsecond)
			start := time.Now()
			Parallel(8, func(int) {})
			spent += time.Since(start)
		}
		b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/call")
	})
}
