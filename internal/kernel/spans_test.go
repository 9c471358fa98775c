package kernel

import (
	"math/rand/v2"
	"testing"
)

// TestSpans: what one goroutine does to a piece is what the parallel functions
// do to the whole, and it stays inside its piece.
func TestSpans(t *testing.T) {
	eachIntLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(21, 22))
		for _, n := range []int{1, 2, 31, 32, 33, 97, 4095, 4096, 4097, 9001} {
			x := odd(rng, n, 0)
			checkSums(t, x)
			checkCodeSpans(t, x)
			checkFloat16Span(t, x)
		}
	})
}

func checkSums(t *testing.T, x []float32) {
	t.Helper()
	sums := newFenced((len(x)+AbsMeanBlock-1)/AbsMeanBlock, -77.0)
	AbsSums(sums.s, x)
	sums.check(t, "sums")
	total := 0.0
	for _, s := range sums.s {
		total += s
	}
	same(t, "mean", []float32{float32(total / float64(len(x)))}, []float32{AbsMean(x)})
	same(t, "maximum", []float32{AbsMaxSpan(x)}, []float32{AbsMax(x)})
}

func checkCodeSpans(t *testing.T, x []float32) {
	t.Helper()
	const gamma = 0.7
	n, want := len(x), make([]int8, len(x))
	Ternarize(want, x, gamma)
	codes := newFenced(n, int8(77))
	QuantizeSpan(codes.s, x, 1/float32(gamma), -1, 1)
	codes.check(t, "codes")
	same(t, "codes", codes.s, want)

	wantFloats := make([]float32, n)
	DequantizeRows(wantFloats, want, []float32{gamma}, 1, n)
	floats := newFenced(n, float32(-77))
	DequantizeSpan(floats.s, want, gamma)
	floats.check(t, "floats")
	same(t, "floats", floats.s, wantFloats)

	wantScale, scale, packed := make([]float32, 1), make([]float32, 1), newFenced(n, byte(77))
	QuantizeRows(want, wantScale, x, 1, n, 127)
	QuantizeRowsBytes(packed.s, scale, x, 1, n)
	packed.check(t, "bytes")
	same(t, "bytes", AsCodes(packed.s), want)
	same(t, "scale", scale, wantScale)
}

func checkFloat16Span(t *testing.T, x []float32) {
	t.Helper()
	n := len(x)
	halves, want, floats := make([]uint16, n), make([]float32, n), newFenced(n, float32(-77))
	EncodeFloat16(halves, x)
	DecodeFloat16(want, halves)
	DecodeFloat16Span(floats.s, halves)
	floats.check(t, "floats")
	same(t, "floats", floats.s, want)
	for i, v := range x {
		same(t, "rounded", []float32{RoundFloat16(v)}, want[i:i+1])
	}

	codes, scales, packed := random8(rand.New(rand.NewPCG(1, 1)), n, -8, 7), []float32{0.3}, make([]byte, Bits4.Size(n))
	Bits4.Pack(packed, codes)
	Bits4.DequantizePacked(want, packed, 0, scales, n)
	EncodeFloat16(halves, want)
	got := newFenced(n, uint16(77))
	Bits4.DequantizePackedFloat16(got.s, packed, 0, scales, n)
	got.check(t, "halves")
	same(t, "halves", got.s, halves)
}
