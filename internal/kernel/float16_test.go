package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestFloat16AllValues(t *testing.T) {
	all := make([]uint16, 1<<16)
	for i := range all {
		all[i] = uint16(i)
	}
	eachIntLevel(t, func(t *testing.T) {
		values, want, back := make([]float32, len(all)), make([]float32, len(all)), make([]uint16, len(all))
		DecodeFloat16(values, all)
		portably(func() { DecodeFloat16(want, all) })
		for i := range want {
			if math.Float32bits(values[i]) != math.Float32bits(want[i]) {
				t.Fatalf("%#04x decodes to %x, want %x", i, math.Float32bits(values[i]), math.Float32bits(want[i]))
			}
		}
		EncodeFloat16(back, values)
		for i, h := range back {
			if quiet := all[i] | halfQuiet; h != all[i] && (values[i] == values[i] || h != quiet) {
				t.Fatalf("%#04x comes back as %#04x", i, h)
			}
		}
	})
}

func TestDecodeFloat16Values(t *testing.T) {
	got := make([]float32, 7)
	DecodeFloat16(got, []uint16{0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0xfc00, 0x3555})
	same(t, "value", got, []float32{1, -2, 65504, 1. / 16384, 1. / (1 << 24), float32(math.Inf(-1)), 0.33325195})
}

// TestEncodeFloat16 tries random bit patterns and the neighbours of every
// midpoint between two binary16 numbers.
func TestEncodeFloat16(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var src []float32
	for h := range uint16(0x7c00) {
		lo := math.Float32bits(float16Value(h))
		mid := (float64(float16Value(h)) + float64(float16Value(min(h+1, 0x7bff)))) / 2
		at := math.Float32bits(float32(mid))
		for _, bits := range []uint32{lo, at - 1, at, at + 1} {
			src = append(src, math.Float32frombits(bits), -math.Float32frombits(bits))
		}
	}
	src = append(src, 65519.996, 65520, -65520, 1e38)
	for range 100_000 {
		src = append(src, math.Float32frombits(rng.Uint32()))
	}
	want := make([]uint16, len(src))
	portably(func() { EncodeFloat16(want, src) })
	for i, v := range src {
		if got := nearestFloat16(v); v == v && want[i] != got {
			t.Fatalf("%v (%x) encodes to %#04x, want %#04x", v, math.Float32bits(v), want[i], got)
		}
	}
	eachIntLevel(t, func(t *testing.T) {
		got := newFenced(len(src), uint16(0xabcd))
		EncodeFloat16(got.s, src)
		same(t, "half", got.s, want)
		got.check(t, "half")
	})
}

// nearestFloat16 rounds by the spacing of the binary16 numbers around v.
func nearestFloat16(v float32) uint16 {
	sign := uint16(math.Float32bits(v) >> 16 & 0x8000)
	x := math.Abs(float64(v))
	_, exponent := math.Frexp(x)
	exponent = max(exponent-1, -14)
	x = math.RoundToEven(math.Ldexp(x, 10-exponent))
	if math.Ldexp(x, exponent-10) > 65504 {
		return sign | halfInf
	}
	if x < 1024 {
		return sign | uint16(x)
	}
	return sign + uint16(exponent+14)<<10 + uint16(x)
}
