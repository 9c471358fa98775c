package kernel

import "math"

// runTiles tiles, at most, use the same panels one after another while these
// are in the second-level cache.
const runTiles = 8

// eachRun calls body for the tiles [0, n) of a product in runs of neighbours, in
// parallel. Where the caller, which comes from the front, meets the workers,
// which come from the back, runs are a quarter of their average: so all threads
// are done at nearly the same time.
func eachRun(n int, body func(first, last int)) {
	runs := newRuns(n, Threads())
	Parallel(runs.n, func(i int) {
		if first, last := runs.bound(i), runs.bound(i+1); first < last {
			body(first, last)
		}
	})
}

// runs divide tiles: the length of the run at x, from 0 to 1 of the way, grows
// with the square of the distance from meet.
type runs struct {
	tiles, n int
	meet     float64
}

const leastRun = 0.25 // of the average length

func newRuns(tiles, threads int) runs {
	r := runs{tiles: tiles, meet: 1 / float64(threads)}
	far := max(r.meet, 1-r.meet)
	most := leastRun + 3*(1-leastRun)*far*far/r.cubes()
	r.n = min(tiles, max(int(math.Ceil(most*float64(tiles)/runTiles)), 8*threads))
	return r
}

func (r runs) cubes() float64 { return cube(r.meet) + cube(1-r.meet) }

func cube(x float64) float64 { return x * x * x }

// bound is the first tile of run i.
func (r runs) bound(i int) int {
	if r.n == r.tiles { // too few for runs of several
		return i
	}
	x := float64(i) / float64(r.n)
	part := leastRun*x + (1-leastRun)*(cube(x-r.meet)+cube(r.meet))/r.cubes()
	return int(math.Round(part * float64(r.tiles)))
}
