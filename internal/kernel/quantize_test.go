package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// oddities are values that quantizers must have an answer to.
var oddities = []float32{
	0, float32(math.Copysign(0, -1)), 0.5, -0.5, 1.5, 2.5, -2.5, 1e-5, 1e-30, 1e-38, 1e-45, 3e38, -3e38,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
}

// odd returns Gaussian numbers with about count oddities among them.
func odd(rng *rand.Rand, n, count int) []float32 {
	s := gaussian[float32](rng, n)
	for range min(count, n) {
		s[rng.IntN(n)] = oddities[rng.IntN(len(oddities))]
	}
	return s
}

// quantized are the outputs of a quantizer, fenced.
type quantized struct {
	codes8  fenced[int8]
	codes16 fenced[int16]
	floats  fenced[float32]
}

// checkQuantizer runs f at every level and wants the bits of the portable one.
// f gets outputs of the given lengths.
func checkQuantizer(t *testing.T, codes8, codes16, floats int, f func(c8 []int8, c16 []int16, x []float32)) {
	t.Helper()
	run := func() quantized {
		q := quantized{newFenced(codes8, int8(101)), newFenced(codes16, int16(-32768)), newFenced(floats, float32(-77))}
		f(q.codes8.s, q.codes16.s, q.floats.s)
		return q
	}
	var want quantized
	portably(func() { want = run() })
	eachIntLevel(t, func(t *testing.T) {
		got := run()
		same(t, "codes", got.codes8.s, want.codes8.s)
		same(t, "codes", got.codes16.s, want.codes16.s)
		same(t, "floats", got.floats.s, want.floats.s)
		got.codes8.check(t, "codes")
		got.codes16.check(t, "codes")
		got.floats.check(t, "floats")
	})
}

func TestQuantizers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		checkQuantizers(t, rng, pick(rng)%140, pick(rng))
	}
}

func FuzzQuantizers(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint16(33))
	f.Fuzz(func(t *testing.T, seed uint64, rows uint8, cols uint16) {
		checkQuantizers(t, rand.New(rand.NewPCG(seed, 0)), int(rows%40), int(cols%700))
	})
}

// checkQuantizers runs all quantizers on matrices of one shape, some of them
// with oddities or a row of zeros.
func checkQuantizers(t *testing.T, rng *rand.Rand, rows, cols int) {
	t.Helper()
	n, qmax := rows*cols, []int{1, 7, 127}[rng.IntN(3)]
	x := odd(rng, n, rng.IntN(3)*4)
	if rng.IntN(4) == 0 && n > 0 {
		clear(x[:cols])
	}
	checkQuantizer(t, n, 0, rows, func(c []int8, _ []int16, s []float32) { QuantizeRows(c, s, x, rows, cols, qmax) })

	scale := []float32{0.01, 0, 1e-42, float32(math.NaN()), float32(math.Inf(1))}[rng.IntN(5)]
	checkQuantizer(t, n, 0, 0, func(c []int8, _ []int16, _ []float32) { QuantizeRowsStatic(c, x, rows, cols, scale, qmax) })
	checkQuantizer(t, n, 0, 0, func(c []int8, _ []int16, _ []float32) { Ternarize(c, x, scale) })

	c8, scales := random8(rng, n, -128, 127), odd(rng, rows, 2)
	checkQuantizer(t, 0, 0, n, func(_ []int8, _ []int16, f []float32) { DequantizeRows(f, c8, scales, rows, cols) })

	inv := odd(rng, cols, 2)
	checkQuantizer(t, 0, n, rows, func(_ []int8, c []int16, s []float32) {
		for r := range rows {
			s[r] = quantizeGradRow(c[r*cols:(r+1)*cols], x[r*cols:(r+1)*cols])
		}
	})
	checkQuantizer(t, 0, n, cols, func(_ []int8, c []int16, s []float32) {
		clear(s) // maxima are not negative
		for r := range rows {
			row := x[r*cols : (r+1)*cols]
			quantizeColumns16(c[r*cols:(r+1)*cols], row, inv, scales[r])
			absMaxScaled(s, row, scales[r])
		}
	})
}

func TestAbsMean(t *testing.T) {
	eachIntLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		for _, n := range []int{0, 1, 31, 32, 33, 4095, 4096, 4097, 8192 + 77, 300_001} {
			w := heavyTailed(rng, n)
			if got, want := AbsMean(w), absMeanDefinition(w); got != want {
				t.Errorf("n = %d: %v, want %v", n, got, want)
			}
		}
	})
}

// absMeanDefinition is the fixed order of the sum, in as many words.
func absMeanDefinition(w []float32) float32 {
	total := 0.0
	for block := 0; block < len(w); block += 4096 {
		var lanes [32]float32
		for i := block; i < min(len(w), block+4096); i++ {
			lanes[i%32] += float32(math.Abs(float64(w[i])))
		}
		for _, half := range []int{16, 8, 4, 2, 1} {
			for j := range half {
				lanes[j] += lanes[j+half]
			}
		}
		total += float64(lanes[0])
	}
	return max(1e-5, float32(total/float64(max(1, len(w)))))
}

func TestAbsMeanOfOddities(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachIntLevel(t, func(t *testing.T) {
		w := make([]float32, 5000)
		same(t, "gamma", []float32{AbsMean(w)}, []float32{1e-5})
		w[77] = -inf
		same(t, "gamma", []float32{AbsMean(w)}, []float32{inf})
		w[4998] = nan
		same(t, "gamma", []float32{AbsMean(w)}, []float32{nan})
	})
}

// TestQuantizeRowsValues has codes worked out by hand.
func TestQuantizeRowsValues(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	x := []float32{
		127, -127, 0.5, 1.5, 2.5, -0.5, // scale 1: ties go to even
		0, 0, 0, 0, 0, 0, // the clamp
		1, nan, 3, -inf, 0, 2,
		1, 2, inf, 4, -5, 0,
	}
	eachIntLevel(t, func(t *testing.T) {
		codes, scales := make([]int8, len(x)), make([]float32, 4)
		QuantizeRows(codes, scales, x, 4, 6, 127)
		same(t, "scales", scales, []float32{1, float32(1e-5) / 127, nan, inf})
		same(t, "codes", codes, append([]int8{127, -127, 0, 2, 2, 0}, make([]int8, 18)...))
	})
}

func TestQuantizeGradValues(t *testing.T) {
	g := make([]float32, 33)
	for _, c := range []struct {
		first []float32
		scale float32
		codes []int16
	}{
		{[]float32{32767, -32767, 2.5}, 1, []int16{32767, -32767, 2}},
		{[]float32{1e-40, -1e-40}, 0, []int16{0, 0}}, // no finite inverse
		{[]float32{0, 0, -2}, float32(2) / 32767, []int16{0, 0, -32767}},
	} {
		clear(g)
		copy(g, c.first)
		want := append(c.codes, make([]int16, len(g)-len(c.codes))...)
		eachIntLevel(t, func(t *testing.T) {
			codes := make([]int16, len(g))
			same(t, "scale", []float32{quantizeGradRow(codes, g)}, []float32{c.scale})
			same(t, "codes", codes, want)
		})
	}
}

func TestTernarizeValues(t *testing.T) {
	codes := make([]int8, 7)
	Ternarize(codes, []float32{0.25, 0.26, -0.75, 9, -9, float32(math.NaN()), float32(math.Inf(-1))}, 0.5)
	same(t, "codes", codes, []int8{0, 1, -1, 1, -1, 0, -1})
}

func TestRMSNormQuantize(t *testing.T) {
	eachLevel(t, func(t *testing.T, _ Level) {
		rng := rand.New(rand.NewPCG(7, 8))
		for i := range 20 {
			checkRMSNormQuantize(t, rng, 1+pick(rng)%140, 1+pick(rng), i%3*2)
		}
	})
}

func FuzzRMSNormQuantize(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint16(33))
	f.Fuzz(func(t *testing.T, seed uint64, rows uint8, dim uint16) {
		for l := Portable; l <= min(Best(), AVX512); l++ {
			defer SetLevel(SetLevel(l))
			checkRMSNormQuantize(t, rand.New(rand.NewPCG(seed, 0)), int(rows%40), 1+int(dim%700), int(seed%5))
		}
	})
}

// checkRMSNormQuantize wants the codes of what RMSNorm gives.
func checkRMSNormQuantize(t *testing.T, rng *rand.Rand, rows, dim, oddities int) {
	t.Helper()
	const eps = 1e-5
	qmax := []int{7, 127}[rng.IntN(2)]
	x, gain := odd(rng, rows*dim, oddities), gaussian[float32](rng, dim)
	y, wantInv := make([]float32, rows*dim), make([]float32, rows)
	wantCodes, wantScales := make([]int8, rows*dim), make([]float32, rows)
	RMSNorm(y, wantInv, x, gain, rows, dim, eps)
	QuantizeRows(wantCodes, wantScales, y, rows, dim, qmax)
	codes, scales, inv := newFenced(rows*dim, int8(101)), newFenced(rows, float32(-77)), newFenced(rows, float32(-77))
	RMSNormQuantize(codes.s, scales.s, inv.s, x, gain, rows, dim, eps, qmax)
	same(t, "codes", codes.s, wantCodes)
	same(t, "scales", scales.s, wantScales)
	same(t, "inv", inv.s, wantInv)
	codes.check(t, "codes")
	scales.check(t, "scales")
	inv.check(t, "inv")
}
