package kernel

import (
	"math/rand/v2"
	"testing"
)

func checkMulTernary(t *testing.T, rng *rand.Rand, x, codes []int8, rows, out, in int) {
	t.Helper()
	ldy := out + rng.IntN(3)
	sx := gaussian[float32](rng, rows)
	const sw = 0.37
	var w Ternary
	w.Pack(codes, out, in)
	want := make([]float32, rows*ldy)
	for i := range want {
		want[i] = -5
	}
	for r := range rows {
		for o := range out {
			var sum int32
			for i := range in {
				sum += int32(x[r*in+i]) * int32(codes[o*in+i])
			}
			want[r*ldy+o] = float32(sum) * float32(sx[r]*sw)
		}
	}
	x = fencedCopy(x, 99).s
	check := func(t *testing.T) {
		y := newFenced(rows*ldy, float32(-5))
		MulTernary(y.s, ldy, x, sx, &w, sw, rows)
		same(t, "y", y.s, want)
		y.check(t, "y")
	}
	portably(func() { check(t) })
	eachIntLevel(t, check)
}

func TestMulTernary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		rows, out, in := pick(rng)%100, pick(rng), pick(rng)
		checkMulTernary(t, rng, random8(rng, rows*in, -128, 127), random8(rng, out*in, -1, 1), rows, out, in)
	}
	for _, s := range [][3]int{{400, 290, 33}, {401, 31, 16}, {777, 40, 70}} { // enough rows to unpack panels
		checkMulTernary(t, rng, random8(rng, s[0]*s[2], -128, 127), random8(rng, s[1]*s[2], -1, 1), s[0], s[1], s[2])
	}
	for rows := range 26 {
		checkMulTernary(t, rng, random8(rng, rows*70, -128, 127), random8(rng, 40*70, -1, 1), rows, 40, 70)
	}
}

// TestMulTernaryExtremes would overflow the 16-bit lanes, or lose bits of a
// float32, if sums were kept there.
func TestMulTernaryExtremes(t *testing.T) {
	const in = 16384
	fill := func(n int, v int8) []int8 {
		s := make([]int8, n)
		for i := range s {
			s[i] = v
		}
		return s
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, x := range []int8{127, -128} {
		for _, w := range []int8{1, -1} {
			for _, rows := range []int{1, 2, 5, 12} {
				checkMulTernary(t, rng, fill(rows*in, x), fill(3*in, w), rows, 3, in)
			}
		}
	}
}

func TestTernaryPack(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var w Ternary // its storage is used again
	for range 60 {
		out, in := pick(rng), pick(rng)
		codes := random8(rng, out*in, -1, 1)
		var want Ternary
		portably(func() { want.Pack(codes, out, in) })
		row := make([]int8, want.blocks()*panelDepth)
		for o := range out {
			want.unpackRow(row, o)
			same(t, "codes", row[:in], codes[o*in:(o+1)*in])
		}
		codes = fencedCopy(codes, 77).s
		eachIntLevel(t, func(t *testing.T) {
			w.Pack(codes, out, in)
			if w.Out() != out || w.In() != in {
				t.Fatalf("shape %d, %d, want %d, %d", w.Out(), w.In(), out, in)
			}
			same(t, "panels", w.panels, want.panels)
		})
	}
}

func TestMulTernaryFloat64(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	const rows, out, in = 14, 35, 50
	x, codes := random8(rng, rows*in, -128, 127), random8(rng, out*in, -1, 1)
	sx := gaussian[float64](rng, rows)
	var w Ternary
	w.Pack(codes, out, in)
	got, want := make([]float64, rows*out), make([]float64, rows*out)
	MulTernary(got, out, x, sx, &w, 0.3, rows)
	portably(func() { MulTernary(want, out, x, sx, &w, 0.3, rows) })
	same(t, "y", got, want)
}

func FuzzMulTernary(f *testing.F) {
	f.Add(uint64(1), uint16(3), uint16(40), uint16(100))
	f.Add(uint64(2), uint16(13), uint16(33), uint16(17))
	f.Fuzz(func(t *testing.T, seed uint64, rows, out, in uint16) {
		rng := rand.New(rand.NewPCG(seed, 0))
		r, o, i := int(rows%64), int(out%600), int(in%600)
		checkMulTernary(t, rng, random8(rng, r*i, -128, 127), random8(rng, o*i, -1, 1), r, o, i)
	})
}
