package kernel

import (
	"errors"
	"runtime"
	"slices"
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

// panicOf returns the value that f panics with.
func panicOf(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// A panic of a body reaches the caller, wherever the body runs: index 0 is the
// caller's and index 1 a worker's, for each waits for the other to begin.
func TestParallelPanics(t *testing.T) {
	defer SetThreads(SetThreads(2))
	for range 50 {
		for _, failing := range [][]int{{0}, {1}, {0, 1}} {
			var began sync.WaitGroup
			var running atomic.Int32
			began.Add(2)
			failures := [2]error{errors.New("the caller's"), errors.New("the worker's")}
			other := 1 - failing[0]
			got := panicOf(func() {
				Parallel(2, func(i int) {
					began.Done()
					began.Wait()
					if slices.Contains(failing, i) {
						panic(failures[i])
					}
					running.Add(1)
					time.Sleep(100 * time.Microsecond)
					running.Add(-1)
				})
			})
			if got != failures[failing[0]] && (len(failing) == 1 || got != failures[other]) {
				t.Fatalf("bodies %v panic: got %v", failing, got)
			}
			if running.Load() != 0 || len(pool.open) != 0 {
				t.Fatalf("bodies %v panic: %d still run, %d jobs are open", failing, running.Load(), len(pool.open))
			}
		}
	}
}

// After a panic the body runs no more, neither for the indices that are left
// nor on a worker behind the caller's back; and the pool works as before.
func TestParallelStopsAtPanic(t *testing.T) {
	defer SetThreads(SetThreads(3))
	const n = 1 << 20
	for range 20 {
		var calls, running atomic.Int32
		got := panicOf(func() {
			Parallel(n, func(i int) {
				running.Add(1)
				defer running.Add(-1)
				if calls.Add(1) == 100 {
					var empty []int
					_ = empty[i]
				}
			})
		})
		if _, ok := got.(runtime.Error); !ok {
			t.Fatalf("got %v, want an index out of range", got)
		}
		if r, c := running.Load(), calls.Load(); r != 0 || c == n {
			t.Fatalf("%d bodies still run, %d were called", r, c)
		}
		var sum atomic.Int64
		Parallel(100, func(i int) { sum.Add(int64(i)) })
		if sum.Load() != 4950 {
			t.Fatalf("the call after a panic adds up to %d", sum.Load())
		}
	}
}

// A panic of a nested call goes through the calls around it, of which others
// may run at the same time.
func TestParallelNestedPanics(t *testing.T) {
	defer SetThreads(SetThreads(3))
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for range 50 {
				got := panicOf(func() {
					Parallel(5, func(i int) {
						Parallel(4, func(j int) {
							if caller%2 == 0 && i == 3 && j == 2 {
								panic(caller)
							}
						})
					})
				})
				if caller%2 == 0 && got != caller || caller%2 == 1 && got != nil {
					t.Errorf("caller %d got %v", caller, got)
				}
			}
		})
	}
	callers.Wait()
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
