package kernel

import "testing"

// TestRuns wants the runs to cover all tiles, none of them to be longer than
// runTiles, and those in the middle to be the shortest.
func TestRuns(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8, 64} {
		for _, tiles := range []int{1, 2, 5, 11, 64, 115, 171, 2000} {
			r := newRuns(tiles, threads)
			if r.bound(0) != 0 || r.bound(r.n) != tiles {
				t.Errorf("%d tiles, %d threads: from %d to %d", tiles, threads, r.bound(0), r.bound(r.n))
			}
			meet := min(r.n-1, int(r.meet*float64(r.n)))
			least := r.bound(meet+1) - r.bound(meet)
			for i := range r.n {
				if n := r.bound(i+1) - r.bound(i); n < 0 || n > runTiles+1 || n < least-1 {
					t.Errorf("%d tiles, %d threads: run %d of %d has %d tiles, run %d %d", tiles, threads, i, r.n, n, meet, least)
				}
			}
		}
	}
}
