package kernel

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// spins is how often an idle goroutine looks for work before it sleeps: some
// 30 microseconds, about as long as waking a sleeping one takes. Kernels follow
// one another at about that distance.
const spins = 400

// pool is the package's one set of worker goroutines. The caller of Parallel
// works too, so n threads are n-1 workers. Workers start on first use, sleep
// when there is nothing to do, and live as long as the program.
//
// Open jobs stand in a list under a lock that is held for some ten
// nanoseconds at a time; indices are handed out with one atomic add each. No
// call waits for a worker to be free: what no worker takes, the caller does.
// So calls may nest and may come from several goroutines.
var pool struct {
	threads atomic.Int32
	posted  atomic.Uint32 // counts jobs; idle workers watch it

	mu      sync.Mutex
	wake    *sync.Cond // on mu: sleeping workers
	open    []*job     // jobs that want workers, oldest first
	workers int
	asleep  int
}

// A job is one call of Parallel.
type job struct {
	body func(i int)
	n    int64
	next atomic.Int64
	busy atomic.Int32 // workers inside run

	// Guarded by pool.mu.
	seats   int // how many more workers may join
	waiting bool
	done    chan struct{} // one value when waiting is set and busy falls to 0
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
// goroutines, and returns when all calls have. Indices are handed out one by
// one, so make each of them worth some ten microseconds. Calls must write to
// places that do not overlap. A body may itself call Parallel.
func Parallel(n int, body func(i int)) {
	helpers := min(Threads(), n) - 1
	if helpers <= 0 {
		for i := range n {
			body(i)
		}
		return
	}
	j := jobs.take()
	if j.done == nil {
		j.done = make(chan struct{}, 1)
	}
	j.body, j.n, j.seats = body, int64(n), helpers
	j.next.Store(0)
	j.post(helpers)
	j.run()
	j.close()
	j.body = nil
	jobs.put(j)
}

// chunks calls body on consecutive ranges [lo, hi) that cover [0, n), in
// parallel; each range has at least grain elements, but for the last. The
// ranges depend on the number of threads: a body must give each element the
// same value in any range.
func chunks(n, grain int, body func(lo, hi int)) {
	grain = max(grain, (n+4*Threads()-1)/(4*Threads()), 1)
	if n <= grain {
		if n > 0 {
			body(0, n)
		}
		return
	}
	Parallel((n+grain-1)/grain, func(i int) {
		body(i*grain, min(n, (i+1)*grain))
	})
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

func (j *job) run() {
	for {
		i := j.next.Add(1) - 1
		if i >= j.n {
			return
		}
		j.body(int(i))
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
		j.run()
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
	if j.seats--; j.seats == 0 || j.next.Load() >= j.n {
		j.unlist()
	}
	return j
}

// pause lets a moment pass, and now and then another goroutine.
func pause(spin int) {
	if spin%16 == 15 {
		runtime.Gosched()
	}
}
