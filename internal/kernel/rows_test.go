package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Rows are copied and added as by a simple loop, at every level and with any
// number of threads: those of one id in their order, and no others.
func TestRowsByID(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		vocab, dim, tokens := 1+r.IntN(20), 1+r.IntN(300), r.IntN(200)
		ids := make([]int32, tokens)
		for i := range ids {
			ids[i] = r.Int32N(int32(vocab))
		}
		table, x := make([]float32, vocab*dim), make([]float32, tokens*dim)
		for _, s := range [][]float32{table, x} {
			for i := range s {
				s[i] = float32(r.NormFloat64())
			}
		}
		sums, copied := slices.Clone(table), make([]float32, tokens*dim)
		for i, id := range ids {
			for d := range dim {
				copied[i*dim+d] = table[int(id)*dim+d]
				sums[int(id)*dim+d] += x[i*dim+d]
			}
		}
		eachLevel(t, func(t *testing.T, _ Level) {
			for _, threads := range []int{1, 3} {
				defer SetThreads(SetThreads(threads))
				got := make([]float32, tokens*dim)
				CopyRows(got, table, ids, dim)
				if !slices.Equal(got, copied) {
					t.Errorf("%d rows of %d: copies differ", tokens, dim)
				}
				got = slices.Clone(table)
				AddRows(got, x, ids, dim)
				if !slices.Equal(got, sums) {
					t.Errorf("%d rows of %d: sums differ", tokens, dim)
				}
			}
		})
	}
}
