package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// gradCase is a gradient and the operands of its two products.
type gradCase struct {
	rows, out, in, lddy int
	dy, rowScale        []float32
	w, x                []int8
}

func newGradCase(rng *rand.Rand, rows, out, in int) gradCase {
	c := gradCase{rows: rows, out: out, in: in, lddy: out + rng.IntN(3)}
	c.dy = fencedCopy(odd(rng, rows*c.lddy, rng.IntN(3)), 1e30).s
	c.rowScale = fencedCopy(gaussian[float32](rng, rows), 1e30).s
	c.w = fencedCopy(random8(rng, out*in, -1, 1), 9).s
	c.x = fencedCopy(random8(rng, rows*in, -128, 127), 9).s
	return c
}

func (c gradCase) mulInput(dx []float32, add bool) {
	MulGradInput(dx, c.dy, c.lddy, c.w, 0.7, c.rows, c.out, c.in, add)
}

func (c gradCase) mulWeight(dw []float32) {
	MulGradWeight(dw, c.dy, c.lddy, c.rowScale, c.x, c.rows, c.out, c.in)
}

// check compares both products at every level with the portable ones.
func (c gradCase) check(t *testing.T) {
	t.Helper()
	before := gaussian[float32](rand.New(rand.NewPCG(5, 5)), c.rows*c.in)
	written, added, wantDW := make([]float32, len(before)), slices.Clone(before), make([]float32, c.out*c.in)
	portably(func() {
		c.mulInput(written, false)
		c.mulInput(added, true)
		c.mulWeight(wantDW)
	})
	eachIntLevel(t, func(t *testing.T) {
		for add, want := range map[bool][]float32{false: written, true: added} {
			dx := fencedCopy(before, 3)
			c.mulInput(dx.s, add)
			same(t, "dx", dx.s, want)
			dx.check(t, "dx")
		}
		dw := newFenced(len(wantDW), float32(3))
		c.mulWeight(dw.s)
		same(t, "dw", dw.s, wantDW)
		dw.check(t, "dw")
	})
}

func TestMulGrad(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		newGradCase(rng, pick(rng), pick(rng)%140, pick(rng)).check(t)
	}
	for _, rows := range []int{511, 512, 513, 1024, 1531} {
		newGradCase(rng, rows, 29, 40).check(t)
	}
	newGradCase(rng, 14, 1500, 40).check(t)
}

// TestMulGradInputLimit has sums at the limit of an int32, and more outputs
// than one block.
func TestMulGradInputLimit(t *testing.T) {
	const rows, out, in = 13, 2*inputBlock + 5, 2
	dy, w := make([]float32, rows*out), make([]int8, out*in)
	for i := range dy {
		dy[i] = maxGrad
	}
	for o := range out {
		w[o*in], w[o*in+1] = 1, -1
	}
	check := func(t *testing.T) {
		dx := make([]float32, rows*in)
		MulGradInput(dx, dy, out, w, 1, rows, out, in, false)
		full, rest := float32(maxGrad*inputBlock), float32(maxGrad*5)
		sum := full + full + rest
		same(t, "dx", dx, slices.Repeat([]float32{sum, -sum}, rows))
	}
	portably(func() { check(t) })
	eachIntLevel(t, check)
}

// TestMulGradWeightLimit fills blocks of 512 rows to the limit of an int32.
func TestMulGradWeightLimit(t *testing.T) {
	const rows, out, in = 2*weightBlock + 100, 2, 3
	dy, rowScale, x := make([]float32, rows*out), make([]float32, rows), make([]int8, rows*in)
	for r := range rows {
		dy[r*out], dy[r*out+1], rowScale[r] = 2*maxGrad, -4*maxGrad, 0.5
		x[r*in], x[r*in+1], x[r*in+2] = 127, -128, -128
	}
	check := func(t *testing.T) {
		dw := make([]float32, out*in)
		MulGradWeight(dw, dy, out, rowScale, x, rows, out, in)
		for i, v := range []float32{127, -128, -128, -127, 128, 128} {
			block, rest := float32(maxGrad*weightBlock*v), float32(maxGrad*100*v)
			want := (block + block + rest) * []float32{1, 2}[i/in]
			if dw[i] != want {
				t.Fatalf("dw[%d] = %v, want %v", i, dw[i], want)
			}
		}
	}
	portably(func() { check(t) })
	eachIntLevel(t, check)
}

// TestMulGradDefinition checks the portable loops, which the others are
// compared with, against the definition.
func TestMulGradDefinition(t *testing.T) {
	c := newGradCase(rand.New(rand.NewPCG(9, 9)), 600, 5, 7)
	for i := range c.dy {
		c.dy[i] = float32(math.Mod(float64(c.dy[i]), 100)) // finite
		if c.dy[i] != c.dy[i] {
			c.dy[i] = 1
		}
	}
	dx, dw := make([]float32, c.rows*c.in), make([]float32, c.out*c.in)
	portably(func() {
		c.mulInput(dx, false)
		c.mulWeight(dw)
	})
	for r := range c.rows {
		codes, scale := codesByDefinition(c.dy[r*c.lddy : r*c.lddy+c.out])
		for i := range c.in {
			sum := 0
			for o, code := range codes {
				sum += code * int(c.w[o*c.in+i])
			}
			if want := float32(sum) * float32(scale*0.7); dx[r*c.in+i] != want {
				t.Fatalf("dx[%d,%d] = %v, want %v", r, i, dx[r*c.in+i], want)
			}
		}
	}
	for o := range c.out {
		column := make([]float32, c.rows)
		for r := range column {
			column[r] = c.dy[r*c.lddy+o] * c.rowScale[r]
		}
		codes, scale := codesByDefinition(column)
		for i := range c.in {
			sums := [2]int{}
			for r, code := range codes {
				sums[r/weightBlock] += code * int(c.x[r*c.in+i])
			}
			if want := (float32(sums[0]) + float32(sums[1])) * scale; dw[o*c.in+i] != want {
				t.Fatalf("dw[%d,%d] = %v, want %v", o, i, dw[o*c.in+i], want)
			}
		}
	}
}

// codesByDefinition rounds to 16 bits with one scale.
func codesByDefinition(v []float32) (codes []int, scale float32) {
	amax := max(slices.Max(v), -slices.Min(v))
	for _, v := range v {
		codes = append(codes, int(math.RoundToEven(float64(v*(32767/amax)))))
	}
	return codes, amax / 32767
}

// TestMulGradOddities: what is not finite shows in its row and no other, and
// what is too small to have a scale counts as zero.
func TestMulGradOddities(t *testing.T) {
	const n, in = 5, 3
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	dy, ones, codes := make([]float32, n*n), []float32{1, 1, 1, 1, 1}, make([]int8, n*in)
	dy[1*n+1], dy[2*n+2], dy[3*n+3], dy[4*n+4] = nan, inf, 1e-40, 2
	for i := range codes {
		codes[i] = 1
	}
	want := append(append(make([]float32, in), nan, nan, nan, nan, nan, nan), 0, 0, 0, 2, 2, 2)
	check := func(t *testing.T) {
		dx, dw := make([]float32, n*in), make([]float32, n*in)
		MulGradInput(dx, dy, n, codes, 1, n, n, in, false)
		MulGradWeight(dw, dy, n, ones, codes, n, n, in)
		same(t, "dx", dx, want)
		same(t, "dw", dw, want)
	}
	portably(func() { check(t) })
	eachIntLevel(t, check)
}

// TestGradientPrecision compares the integer gradients with products in
// float64 of the same gradient and the dequantized operands.
func TestGradientPrecision(t *testing.T) {
	const rows, out, in, limit = 700, 96, 80, 2e-4
	for name, draw := range map[string]func(*rand.Rand, int) []float32{"gaussian": gaussian[float32], "heavy": heavyTailed} {
		rng := rand.New(rand.NewPCG(4, 2))
		g, x, w := draw(rng, rows*out), gaussian[float32](rng, rows*in), random8(rng, out*in, -1, 1)
		const sw = 0.02
		xc, sx := make([]int8, rows*in), make([]float32, rows)
		QuantizeRows(xc, sx, x, rows, in, 127)

		dx := make([]float32, rows*in)
		MulGradInput(dx, g, out, w, sw, rows, out, in, false)
		err := relativeError(dx, func(r, i int) (sum float64) {
			for o := range out {
				sum += float64(g[r*out+o]) * float64(w[o*in+i]) * sw
			}
			return sum
		}, in)
		if err > limit {
			t.Errorf("%s: dx is off by %.2g, want at most %g", name, err, limit)
		}

		dw := make([]float32, out*in)
		MulGradWeight(dw, g, out, sx, xc, rows, out, in)
		err = relativeError(dw, func(o, i int) (sum float64) {
			for r := range rows {
				sum += float64(g[r*out+o]) * float64(xc[r*in+i]) * float64(sx[r])
			}
			return sum
		}, in)
		if err > limit {
			t.Errorf("%s: dw is off by %.2g, want at most %g", name, err, limit)
		}
	}
}

// relativeError returns |got-want| / |want| in the Frobenius norm.
func relativeError(got []float32, want func(r, c int) float64, cols int) float64 {
	var diff, norm float64
	for i, v := range got {
		w := want(i/cols, i%cols)
		diff += (float64(v) - w) * (float64(v) - w)
		norm += w * w
	}
	return math.Sqrt(diff / norm)
}

func FuzzMulGrad(f *testing.F) {
	f.Add(uint64(3), uint16(530), uint16(13), uint16(33))
	f.Add(uint64(2), uint16(1), uint16(300), uint16(270))
	f.Fuzz(func(t *testing.T, seed uint64, rows, out, in uint16) {
		rng := rand.New(rand.NewPCG(seed, 0))
		newGradCase(rng, int(rows%1100), int(out%80), int(in%300)).check(t)
	})
}
