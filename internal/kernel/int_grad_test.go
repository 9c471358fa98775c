package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func checkMulGradInput(t *testing.T, rng *rand.Rand, codes []int16, w []int8, rows, out, in int, add bool) {
	t.Helper()
	scales := gaussian[float32](rng, rows)
	before := gaussian[float32](rng, rows*in)
	want := append([]float32(nil), before...)
	portably(func() { MulGradInput(want, codes, scales, w, 0.7, rows, out, in, add) })
	codes, w = fencedCopy(codes, 9).s, fencedCopy(w, 9).s
	eachIntLevel(t, func(t *testing.T) {
		dx := fencedCopy(before, 3)
		MulGradInput(dx.s, codes, scales, w, 0.7, rows, out, in, add)
		same(t, "dx", dx.s, want)
		dx.check(t, "dx")
	})
}

func TestMulGradInput(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		rows, out, in := pick(rng)%100, pick(rng), pick(rng)
		checkMulGradInput(t, rng, random16(rng, rows*out), random8(rng, out*in, -1, 1), rows, out, in, i%2 == 0)
	}
	checkMulGradInput(t, rng, random16(rng, 14*1500), random8(rng, 1500*40, -1, 1), 14, 1500, 40, false)
}

// TestMulGradInputLimit has sums at the limit of an int32, and more outputs
// than one block.
func TestMulGradInputLimit(t *testing.T) {
	const out, in = inputBlock + 5, 2
	codes, w := make([]int16, out), make([]int8, out*in)
	for o := range out {
		codes[o], w[o*in], w[o*in+1] = maxGrad, 1, -1
	}
	eachIntLevel(t, func(t *testing.T) {
		dx := make([]float32, in)
		MulGradInput(dx, codes, []float32{1}, w, 1, 1, out, in, false)
		full, rest := float32(maxGrad*inputBlock), float32(maxGrad*5)
		same(t, "dx", dx, []float32{full + rest, -full - rest})
	})
}

func checkMulGradWeight(t *testing.T, rng *rand.Rand, codes []int16, x []int8, rows, out, in int) {
	t.Helper()
	scales := gaussian[float32](rng, out)
	want := gaussian[float32](rng, out*in)
	portably(func() { MulGradWeight(want, codes, scales, x, rows, out, in) })
	codes, x = fencedCopy(codes, 9).s, fencedCopy(x, 9).s
	eachIntLevel(t, func(t *testing.T) {
		dw := newFenced(out*in, float32(3))
		MulGradWeight(dw.s, codes, scales, x, rows, out, in)
		same(t, "dw", dw.s, want)
		dw.check(t, "dw")
	})
}

func TestMulGradWeight(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		rows, out, in := pick(rng), pick(rng)%140, pick(rng)
		checkMulGradWeight(t, rng, random16(rng, rows*out), random8(rng, rows*in, -128, 127), rows, out, in)
	}
	for _, rows := range []int{511, 512, 513, 1024, 1531} {
		checkMulGradWeight(t, rng, random16(rng, rows*29), random8(rng, rows*40, -128, 127), rows, 29, 40)
	}
}

// TestMulGradWeightLimit fills blocks of 512 rows to the limit of an int32.
func TestMulGradWeightLimit(t *testing.T) {
	const rows, out, in = 2*weightBlock + 100, 2, 3
	codes, x := make([]int16, rows*out), make([]int8, rows*in)
	for r := range rows {
		codes[r*out], codes[r*out+1] = maxGrad, -maxGrad
		x[r*in], x[r*in+1], x[r*in+2] = 127, -128, -128
	}
	eachIntLevel(t, func(t *testing.T) {
		dw := make([]float32, out*in)
		MulGradWeight(dw, codes, []float32{0.5, 2}, x, rows, out, in)
		for i, v := range []float32{127, -128, -128, -127, 128, 128} {
			block, rest := float32(maxGrad*weightBlock*v), float32(maxGrad*100*v)
			want := (block + block + rest) * []float32{0.5, 2}[i/in]
			if dw[i] != want {
				t.Fatalf("dw[%d] = %v, want %v", i, dw[i], want)
			}
		}
	})
}

// TestMulGradDefinition checks the portable loops, which the others are
// compared with, against the definition.
func TestMulGradDefinition(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	const rows, out, in = 600, 5, 7
	codes, w, x := random16(rng, rows*out), random8(rng, out*in, -1, 1), random8(rng, rows*in, -128, 127)
	rowScale, colScale := gaussian[float32](rng, rows), gaussian[float32](rng, out)
	dx, dw := make([]float32, rows*in), make([]float32, out*in)
	portably(func() {
		MulGradInput(dx, codes, rowScale, w, 0.3, rows, out, in, false)
		MulGradWeight(dw, codes, colScale, x, rows, out, in)
	})
	for r := range rows {
		for i := range in {
			sum := 0
			for o := range out {
				sum += int(codes[r*out+o]) * int(w[o*in+i])
			}
			if want := float32(sum) * float32(rowScale[r]*0.3); dx[r*in+i] != want {
				t.Fatalf("dx[%d,%d] = %v, want %v", r, i, dx[r*in+i], want)
			}
		}
	}
	for o := range out {
		for i := range in {
			sums := [2]int{}
			for r := range rows {
				sums[r/weightBlock] += int(codes[r*out+o]) * int(x[r*in+i])
			}
			if want := (float32(sums[0]) + float32(sums[1])) * colScale[o]; dw[o*in+i] != want {
				t.Fatalf("dw[%d,%d] = %v, want %v", o, i, dw[o*in+i], want)
			}
		}
	}
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

		gc, sg := make([]int16, rows*out), make([]float32, rows)
		dx := make([]float32, rows*in)
		QuantizeGradRows(gc, sg, g, out, rows, out)
		MulGradInput(dx, gc, sg, w, sw, rows, out, in, false)
		err := relativeError(dx, func(r, i int) (sum float64) {
			for o := range out {
				sum += float64(g[r*out+o]) * float64(w[o*in+i]) * sw
			}
			return sum
		}, in)
		if err > limit {
			t.Errorf("%s: dx is off by %.2g, want at most %g", name, err, limit)
		}

		sc, dw := make([]float32, out), make([]float32, out*in)
		QuantizeGradColumns(gc, sc, g, out, sx, rows, out)
		MulGradWeight(dw, gc, sc, xc, rows, out, in)
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
		r, o, i := int(rows%1100), int(out%80), int(in%300)
		codes := random16(rng, r*o)
		checkMulGradInput(t, rng, codes, random8(rng, o*i, -1, 1), r, o, i, seed&4 == 0)
		checkMulGradWeight(t, rng, codes, random8(rng, r*i, -128, 127), r, o, i)
	})
}
