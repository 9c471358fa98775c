package kernel

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRowsByID(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		checkRowsByID(t, r, 1+r.IntN(20), 1+r.IntN(300), r.IntN(200))
	}
}

func FuzzRowsByID(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint16(130), uint8(20))
	f.Fuzz(func(t *testing.T, seed uint64, vocab uint8, dim uint16, tokens uint8) {
		checkRowsByID(t, rand.New(rand.NewPCG(seed, 0)), 1+int(vocab), 1+int(dim%600), int(tokens))
	})
}

// checkRowsByID wants rows copied and added as by a simple loop, at every level
// and with any number of threads: those of one id in their order, and no others.
func checkRowsByID(t *testing.T, r *rand.Rand, vocab, dim, tokens int) {
	t.Helper()
	ids := make([]int32, tokens)
	for i := range ids {
		ids[i] = r.Int32N(int32(vocab))
	}
	table, x := gaussian[float32](r, vocab*dim), gaussian[float32](r, tokens*dim)
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
			y, added := newFenced[float32](tokens*dim, guard), fencedCopy(table, guard)
			CopyRows(y.s, table, ids, dim)
			same(t, "copies", y.s, copied)
			y.check(t, "copies")
			AddRows(added.s, x, ids, dim)
			same(t, "sums", added.s, sums)
			added.check(t, "sums")
		}
	})
}
