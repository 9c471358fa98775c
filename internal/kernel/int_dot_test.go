package kernel

import (
	"math/rand/v2"
	"testing"
)

func TestDotCodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for i := range 120 {
		hi := 127
		if i%4 == 0 {
			hi = -128 // the largest sums there are
		}
		checkDotCodes(t, rng, rng.IntN(6), rng.IntN(11), pick(rng), hi)
	}
}

func FuzzDotCodes(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(5), uint16(70))
	f.Fuzz(func(t *testing.T, seed uint64, rows, outs uint8, n uint16) {
		checkDotCodes(t, rand.New(rand.NewPCG(seed, 0)), int(rows%9), int(outs%40), int(n%900), 127)
	})
}

// checkDotCodes multiplies codes from -128 to hi with the definition beside it.
func checkDotCodes(t *testing.T, rng *rand.Rand, rows, outs, n, hi int) {
	t.Helper()
	ldx, ldw, lds := n+rng.IntN(3), n+rng.IntN(3), outs+3+rng.IntN(3)
	x, w := random8(rng, rows*ldx, -128, hi), random8(rng, outs*ldw, -128, hi)
	want := make([]int32, rows*outs)
	for r := range rows {
		for o := range outs {
			for i := range n {
				want[r*outs+o] += int32(x[r*ldx+i]) * int32(w[o*ldw+i])
			}
		}
	}
	check := func(t *testing.T) {
		sums := newFenced(rows*lds, int32(-77))
		DotCodes(sums.s, lds, x, ldx, rows, w, ldw, outs, n)
		sums.check(t, "sums")
		for r := range rows {
			same(t, "sums", sums.s[r*lds:][:outs], want[r*outs:][:outs])
		}
	}
	portably(func() { check(t) })
	eachIntLevel(t, check)
}

func TestDotCodesOfMany(t *testing.T) {
	const n = 131_071
	x := make([]int8, n)
	for i := range x {
		x[i] = -128
	}
	eachIntLevel(t, func(t *testing.T) {
		sum := make([]int32, 4)
		DotCodes(sum, 4, x, n, 1, x, n, 1, n)
		same(t, "sum", sum[:1], []int32{n << 14})
	})
}
