package kernel

import (
	"slices"
	"testing"
)

// TestRuns wants the runs to cover all tiles, none of them to be longer than
// runTiles, and threads to be done at nearly the same time.
func TestRuns(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 4, 8, 16, 64} {
		for _, tiles := range []int{1, 2, 5, 11, 16, 64, 115, 171, 2000} {
			r := newRuns(tiles, threads)
			if r.bound(0) != 0 || r.bound(r.n) != tiles {
				t.Errorf("%d tiles, %d threads: from %d to %d", tiles, threads, r.bound(0), r.bound(r.n))
			}
			for i := range r.n {
				if n := r.bound(i+1) - r.bound(i); n < 0 || n > runTiles {
					t.Errorf("%d tiles, %d threads: run %d has %d tiles", tiles, threads, i, n)
				}
			}
			if got, least := r.longest(threads), (tiles+threads-1)/threads; got > least+1 {
				t.Errorf("%d tiles, %d threads: one of them gets %d tiles, at best it were %d", tiles, threads, got, least)
			}
		}
	}
}

// longest returns how many tiles the thread gets that is done last, if all tiles
// take the same time: thread 0 takes runs from the front, the others from the
// back.
func (r runs) longest(threads int) int {
	busy := make([]int, threads)
	for front, back := 0, r.n; front < back; {
		next := slices.Index(busy, slices.Min(busy))
		if next == 0 {
			busy[0] += r.bound(front+1) - r.bound(front)
			front++
		} else {
			back--
			busy[next] += r.bound(back+1) - r.bound(back)
		}
	}
	return slices.Max(busy)
}
