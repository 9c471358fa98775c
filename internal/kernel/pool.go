package kernel

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
)

// spins is how often an idle goroutine looks for work before it sleeps: some
// 100 microseconds, for waking a sleeping one costs both sides ten or more.
// Kernels follow one another at less than that distance.
const spins = 2000

// pool is the package's one set of worker goroutines. The caller of Parallel
// works too, so n threads are n-1 workers. Workers start on first use, sleep
// when there is nothing to do, and live as long as the program.
//
// Open jobs stand in a list under a lock that is held for some ten
// nanoseconds at a time; indices are handed out with one atomic operation
// each. No call waits for a worker to be free: what no worker takes, the
// caller does. So calls may nest and may come from several goroutines.
//
// The caller takes indices from the front and workers take them from the back.
// Kernels go through the same rows one after another, so each core finds in its
// cache the rows that it wrote for the kernel before.
var pool struct {
	threads atomic.Int32
	posted  atomic.Uint32 // counts jobs; idle workers watch it

	mu      sync.Mutex
	wake    *sync.Cond // on mu: sleeping workers
	open    []*job     // jobs that want workers, oldest first
	workers int
	asleep  int
}

// A job is one call of Parallel or of chunks.
type job struct {
	body func(i int)
	left span
	busy atomic.Int32 // workers inside run

	// What chunks has instead of a body: each index is grain elements of n.
	ranges   func(lo, hi int)
	grain, n int

	// Guarded by pool.mu.
	seats   int // how many more workers may join
	waiting bool
	done    chan struct{} // one value when waiting is set and busy falls to 0
	failure *failure      // the first panic of the body
}

// A failure is a panic of a body.
type failure struct {
	value any
	stack []byte // of the goroutine that panicked
}

var jobs freeList[job]

func init() {
	pool.threads.Store(int32(runtime.GOMAXPROCS(0)))
	pool.wake = sync.NewCond(&pool.mu)
}

// Threads returns how many goroutines a kernel may use.
func Threads() int { return int(pool.threads.Load()) }

// SetThreads sets how many goroutines a kernel may use, at least 1, and
// returns the previous number. No result depends on it.
func SetThreads(n int) (previous int) {
	return int(pool.threads.Swap(int32(max(1, n))))
}

// Parallel calls body(i) for every i in [0, n), on up to Threads()
// goroutines, and returns when all calls have; n is below 2^32. Indices are
// handed out one by one, so make each of them worth some ten microseconds.
// Calls must write to places that do not overlap. A body may itself call
// Parallel.
//
// When a call panics, no more indices are handed out, and once the calls that
// have begun are over Parallel panics with the value of the first panic.
func Parallel(n int, body func(i int)) {
	helpers := min(Threads(), n) - 1
	if helpers <= 0 {
		for i := range n {
			body(i)
		}
		return
	}
	j := jobs.take()
	j.body = body
	j.do(n, helpers)
}

// chunks calls body on consecutive ranges [lo, hi) that cover [0, n), in
// parallel; each range has at least grain elements, but for the last. The
// ranges depend on the number of threads: a body must give each element the
// same value in any range.
func chunks(n, grain int, body func(lo, hi int)) {
	grain = max(grain, (n+4*Threads()-1)/(4*Threads()), 1)
	count := (n + grain - 1) / grain
	helpers := min(Threads(), count) - 1
	if helpers <= 0 {
		for lo := 0; lo < n; lo += grain {
			body(lo, min(n, lo+grain))
		}
		return
	}
	j := jobs.take()
	j.ranges, j.grain, j.n = body, grain, n
	j.do(count, helpers)
}

// do runs the body for the indices below n, with up to so many helpers, at
// least one, and puts the job back.
func (j *job) do(n, helpers int) {
	if j.done == nil {
		j.done = make(chan struct{}, 1)
	}
	j.seats = helpers
	j.left.reset(n)
	j.post(helpers)
	j.run((*span).first)
	j.close()
	failed := j.failure
	j.body, j.ranges, j.failure = nil, nil, nil
	jobs.put(j)
	if failed != nil {
		failed.panic()
	}
}

// post opens the job to workers and wakes as many as it can use.
func (j *job) post(helpers int) {
	pool.mu.Lock()
	for ; pool.workers < helpers; pool.workers++ {
		go work()
	}
	pool.open = append(pool.open, j)
	pool.posted.Add(1)
	for range min(helpers, pool.asleep) {
		pool.wake.Signal()
	}
	pool.mu.Unlock()
}

// run calls the body for indices that take hands out, until none is left.
func (j *job) run(take func(*span) (i int, ok bool)) {
	defer j.recover()
	for i, ok := take(&j.left); ok; i, ok = take(&j.left) {
		if j.ranges == nil {
			j.body(i)
		} else {
			j.ranges(i*j.grain, min(j.n, (i+1)*j.grain))
		}
	}
}

// recover ends a panic of the body, and the job: nobody gets an index any more.
func (j *job) recover() {
	value := recover()
	if value == nil {
		return
	}
	j.left.reset(0)
	pool.mu.Lock()
	if j.failure == nil {
		j.failure = &failure{value, debug.Stack()}
	}
	pool.mu.Unlock()
}

// panic panics with the value. The stack goes before it, as a panic of its own:
// whoever recovers gets the value, and a program that dies prints both.
func (f *failure) panic() {
	defer panic(f.value)
	panic(fmt.Sprintf("in a body of kernel.Parallel:\n%s", f.stack))
}

// A span is the range of indices that nobody has taken yet: the first in the
// lower 32 bits, the one after the last in the upper.
type span struct{ bounds atomic.Uint64 }

func (s *span) reset(n int) { s.bounds.Store(uint64(n) << 32) }

func (s *span) empty() bool {
	b := s.bounds.Load()
	return uint32(b) >= uint32(b>>32)
}

// first takes the first index, if there is one.
func (s *span) first() (i int, ok bool) {
	for {
		b := s.bounds.Load()
		if uint32(b) >= uint32(b>>32) {
			return 0, false
		}
		if s.bounds.CompareAndSwap(b, b+1) {
			return int(uint32(b)), true
		}
	}
}

// last takes the last index, if there is one.
func (s *span) last() (i int, ok bool) {
	for {
		b := s.bounds.Load()
		if uint32(b) >= uint32(b>>32) {
			return 0, false
		}
		if s.bounds.CompareAndSwap(b, b-1<<32) {
			return int(b>>32) - 1, true
		}
	}
}

// close takes the job off the list and waits for the workers still in it.
func (j *job) close() {
	pool.mu.Lock()
	j.unlist()
	pool.mu.Unlock()
	for spin := 0; j.busy.Load() > 0; spin++ {
		if spin < spins {
			pause(spin)
			continue
		}
		pool.mu.Lock()
		j.waiting = j.busy.Load() > 0
		pool.mu.Unlock()
		if j.waiting {
			<-j.done
			j.waiting = false
		}
	}
}

func (j *job) unlist() {
	if i := slices.Index(pool.open, j); i >= 0 {
		pool.open = slices.Delete(pool.open, i, i+1)
	}
}

// work is the life of a worker.
func work() {
	for {
		j := take()
		j.run((*span).last)
		j.leave()
	}
}

// leave is the worker's last touch of the job: when busy has fallen to 0 the
// caller may hand the job to another call.
func (j *job) leave() {
	pool.mu.Lock()
	if j.busy.Add(-1) == 0 && j.waiting {
		j.done <- struct{}{}
	}
	pool.mu.Unlock()
}

// take returns a job to work on: it watches for one a little while, then
// sleeps until one is posted.
func take() *job {
	for {
		seen := pool.posted.Load()
		if j := join(false); j != nil {
			return j
		}
		for spin := 0; spin < spins && pool.posted.Load() == seen; spin++ {
			pause(spin)
		}
		if pool.posted.Load() != seen {
			continue
		}
		if j := join(true); j != nil {
			return j
		}
	}
}

// join takes a seat in the newest open job, the innermost of nested ones. If
// there is none it returns nil, after a sleep if that is wanted.
func join(sleep bool) *job {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if len(pool.open) == 0 && sleep {
		pool.asleep++
		pool.wake.Wait()
		pool.asleep--
	}
	if len(pool.open) == 0 {
		return nil
	}
	j := pool.open[len(pool.open)-1]
	j.busy.Add(1)
	if j.seats--; j.seats == 0 || j.left.empty() {
		j.unlist()
	}
	return j
}

// pause lets some 50 nanoseconds pass, and now and then another goroutine: to
// ask for one takes a lock that all threads of the program share.
func pause(spin int) {
	if spin%200 == 199 {
		runtime.Gosched()
	}
	for range 100 {
	}
}
