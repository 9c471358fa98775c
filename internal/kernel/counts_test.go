package kernel

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCountMagnitudes(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	x := append(odd(rng, 5000, 0), 0, 1e-45, -math.MaxFloat32, 1, -1.00390625, 1.00390624)
	var counts [MagnitudeBins]uint64
	if got := CountMagnitudes(&counts, x); got != math.MaxFloat32 {
		t.Errorf("largest magnitude %v", got)
	}
	for i, n := range counts {
		if n == 0 {
			continue
		}
		lo, hi := math.Float32frombits(uint32(i)<<MagnitudeShift), math.Float32frombits(uint32(i+1)<<MagnitudeShift)
		var want uint64
		for _, v := range x {
			if a := max(v, -v); a >= lo && a < hi {
				want++
			}
		}
		if n != want {
			t.Errorf("bin %d from %v to %v: %d, want %d", i, lo, hi, n, want)
		}
	}
	inf, nan := float32(math.Inf(-1)), float32(math.NaN())
	if got := CountMagnitudes(&counts, []float32{1, inf}); got != -inf || counts[MagnitudeBins-256] != 1 {
		t.Errorf("an infinity: largest %v, counted %d times", got, counts[MagnitudeBins-256])
	}
	if got := CountMagnitudes(&counts, []float32{inf, nan, 1}); got == got {
		t.Errorf("a NaN: largest %v", got)
	}
}

func TestCountLinear(t *testing.T) {
	counts := make([]uint64, 8)
	CountLinear(counts, []float32{0, 0.4, 0.5, -0.5, 0.99, 1, -1.5, 7, -1e30, -0.1}, 2)
	for i, want := range []uint64{2, 2, 1, 1, 1, 1, 0, 2} {
		if counts[i] != want {
			t.Errorf("bin %d: %d, want %d", i, counts[i], want)
		}
	}
}

func TestMinMax(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	nan, inf, zero := float32(math.NaN()), float32(math.Inf(1)), float32(0)
	eachLevel(t, func(t *testing.T, l Level) {
		for n := 1; n < 200; n++ {
			x := gaussian[float32](rng, n)
			lo, hi := MinMax(x)
			if lo != slices.Min(x) || hi != slices.Max(x) {
				t.Fatalf("%d numbers: %v to %v, want %v to %v", n, lo, hi, slices.Min(x), slices.Max(x))
			}
			for _, bad := range []float32{nan, -nan} {
				x[rng.IntN(n)] = bad
				if lo, hi := MinMax(x); lo == lo || hi == hi {
					t.Fatalf("%d numbers with a NaN: %v to %v", n, lo, hi)
				}
			}
		}
		x := append(make([]float32, 40), -zero, inf, -inf, 1e-45)
		if lo, hi := MinMax(x); lo != -inf || hi != inf {
			t.Errorf("with infinities: %v to %v", lo, hi)
		}
		x = slices.Repeat([]float32{-1e-45, -3e38, -1}, 30)
		if lo, hi := MinMax(x); lo != -3e38 || hi != -1e-45 {
			t.Errorf("negative numbers: %v to %v", lo, hi)
		}
	})
}

// FuzzMinMax takes bytes for numbers, of all kinds.
func FuzzMinMax(f *testing.F) {
	f.Add([]byte("\x00\x00\x80\x3f\x00\x00\x00\x80\x00\x00\x80\x7f"))
	f.Fuzz(func(t *testing.T, data []byte) {
		x := fencedCopy(floatsOf(data), float32(math.NaN())).s // one read too many shows
		if len(x) == 0 {
			return
		}
		for l := Portable; l <= min(Best(), AVX512); l++ {
			defer SetLevel(SetLevel(l))
			lo, hi := MinMax(x)
			least, largest := slices.Min(x), slices.Max(x)
			same(t, "limits", []float32{lo, hi}, []float32{least, largest})
			if lo == 0 || hi == 0 {
				same(t, "1/limits", []float32{1 / lo, 1 / hi}, []float32{1 / least, 1 / largest}) // the sign of 0
			}
		}
	})
}

// floatsOf returns the bytes as numbers, the rest dropped.
func floatsOf(data []byte) []float32 {
	x := make([]float32, len(data)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return x
}

var sink float32

func BenchmarkCounts(b *testing.B) {
	x := gaussian[float32](rand.New(rand.NewPCG(1, 2)), 4<<20)
	var magnitudes [MagnitudeBins]uint64
	linear := make([]uint64, 2*2048)
	for name, f := range map[string]func(){
		"Magnitudes": func() { CountMagnitudes(&magnitudes, x) },
		"Linear":     func() { CountLinear(linear, x, 2048/6.0) },
		"MinMax":     func() { sink, _ = MinMax(x) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(4 * len(x)))
			for b.Loop() {
				f()
			}
		})
	}
}
