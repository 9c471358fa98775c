package kernel

import (
	"encoding/binary"
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

// FuzzFloat16 takes bytes for float32 numbers to encode, and for binary16
// numbers to decode.
func FuzzFloat16(f *testing.F) {
	f.Add([]byte("\x00\x00\x80\x3f\xff\xff\x7f\x47\x01\x00\x80\x7f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		src, halves := floatsOf(data), make([]uint16, len(data)/2)
		for i := range halves {
			halves[i] = binary.LittleEndian.Uint16(data[2*i:])
		}
		wantHalves, wantBits := make([]uint16, len(src)), make([]uint32, len(halves))
		for i, v := range src {
			if wantHalves[i] = nearestFloat16(v); v != v {
				wantHalves[i] = float16Bits(v)
			}
		}
		for i, h := range halves {
			wantBits[i] = math.Float32bits(float16Value(h))
		}
		check := func(t *testing.T) {
			encoded, decoded := newFenced(len(src), uint16(0xabcd)), newFenced(len(halves), float32(-77))
			EncodeFloat16(encoded.s, src)
			DecodeFloat16(decoded.s, halves)
			same(t, "half", encoded.s, wantHalves)
			for i, v := range decoded.s {
				same(t, "bits", []uint32{math.Float32bits(v)}, wantBits[i:i+1])
			}
			encoded.check(t, "half")
			decoded.check(t, "float")
		}
		portably(func() { check(t) })
		eachIntLevel(t, check)
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
