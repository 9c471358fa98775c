package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var allPackings = []Packing{Bits1, Trits, Bits2, Bits3, Bits4, Bits8}

// randomCodes returns n codes that p can hold.
func randomCodes(rng *rand.Rand, n int, p Packing) []int8 {
	lo, hi := p.Range()
	codes := random8(rng, n, int(lo), int(hi))
	for i, c := range codes {
		if p == Bits1 && c == 0 {
			codes[i] = 1
		}
	}
	return codes
}

// codeAt reads code i as the table of Packing has it, without the package's
// code.
func codeAt(packed []byte, i int, p Packing) int8 {
	field := func(block []byte, i, bits int) int { return int(block[i%32]) >> (i / 32 * bits) & (1<<bits - 1) }
	signed := func(u, bits int) int8 { return int8(u<<(8-bits)) >> (8 - bits) }
	switch p {
	case Bits1:
		return int8(1 - 2*field(packed[i/256*32:], i%256, 1))
	case Trits:
		return int8(int(packed[i/5])/[]int{81, 27, 9, 3, 1}[i%5]%3 - 1)
	case Bits2:
		return signed(field(packed[i/128*32:], i%128, 2), 2)
	case Bits3:
		block := packed[i/256*96:]
		return signed(field(block[i%256/128*32:], i%128, 2)|field(block[64:], i%256, 1)<<2, 3)
	case Bits4:
		return signed(field(packed[i/64*32:], i%64, 4), 4)
	}
	return int8(packed[i])
}

func TestPackings(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, p := range allPackings {
		for _, n := range []int{0, 1, 2, 5, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 509, 1024, 5003} {
			checkPacking(t, rng, p, n)
		}
	}
}

func FuzzPackings(f *testing.F) {
	f.Add(uint64(1), uint16(700))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		for _, p := range allPackings {
			checkPacking(t, rand.New(rand.NewPCG(seed, 0)), p, int(n%3000))
		}
	})
}

// checkPacking packs n codes, and unpacks them from several places on.
func checkPacking(t *testing.T, rng *rand.Rand, p Packing, n int) {
	t.Helper()
	codes := randomCodes(rng, n, p)
	packed := newFenced(p.Size(n), byte(77))
	p.Pack(packed.s, codes)
	packed.check(t, "packed")
	for i, c := range codes {
		if got := codeAt(packed.s, i, p); got != c {
			t.Fatalf("packing %d: code %d of %d is %d in its field, want %d", p, i, n, got, c)
		}
	}
	for _, first := range []int{0, n / 2, rng.IntN(n + 1), rng.IntN(n + 1)} {
		for _, length := range []int{n - first, rng.IntN(n - first + 1)} {
			got := newFenced(length, int8(99))
			p.Unpack(got.s, packed.s, first)
			got.check(t, "codes")
			same(t, "codes", got.s, codes[first:first+length])
		}
	}
}

func TestQuantizePacked(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for i, p := range slices.Repeat(allPackings[1:], 4) {
		n := []int{1, 131, 2 * packChunk, packTask*packChunk + 77, 80_021}[rng.IntN(5)]
		checkQuantizePacked(t, rng, p, n, []int{1, 7, 32, 521, n, n + 3}[i%6], i)
	}
}

func FuzzQuantizePacked(f *testing.F) {
	f.Add(uint64(1), uint8(2), uint16(700), uint16(33))
	f.Fuzz(func(t *testing.T, seed uint64, packing uint8, n, group uint16) {
		p := allPackings[1:][packing%5]
		checkQuantizePacked(t, rand.New(rand.NewPCG(seed, 0)), p, 1+int(n%6000), 1+int(group%6000), int(seed%9))
	})
}

// checkQuantizePacked compares with the definition, element by element.
func checkQuantizePacked(t *testing.T, rng *rand.Rand, p Packing, n, group, oddities int) {
	t.Helper()
	x, bounds := odd(rng, n, oddities), odd(rng, (n+group-1)/group, 1)
	lo, hi := p.Range()
	want := make([]int8, n)
	for i, v := range x {
		want[i] = int8(roundClamp(v*(float32(hi)/bounds[i/group]), float32(lo), float32(hi)))
	}
	first := rng.IntN(n)
	length := rng.IntN(n - first + 1)
	check := func(t *testing.T) {
		packed := newFenced(p.Size(n), byte(77))
		p.QuantizePacked(packed.s, x, bounds, group, float32(lo), float32(hi))
		packed.check(t, "packed")
		got := make([]int8, n)
		p.Unpack(got, packed.s, 0)
		same(t, "codes", got, want)

		floats := newFenced(length, float32(-77))
		p.DequantizePacked(floats.s, packed.s, first, bounds, group)
		floats.check(t, "floats")
		for i, v := range floats.s {
			want := float32(want[first+i]) * bounds[(first+i)/group]
			same(t, "float", []float32{v}, []float32{want})
		}
	}
	portably(func() { check(t) })
	eachIntLevel(t, check)
}

func TestBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, n := range []int{1, 40, 4097, 100_003} {
		for _, group := range []int{1, 32, 5000, n} {
			checkBounds(t, heavyTailed(rng, n), group)
		}
	}
	eachIntLevel(t, func(t *testing.T) {
		x := make([]float32, 70_000)
		same(t, "maximum of zeros", []float32{AbsMax(x), AbsMax(nil)}, []float32{1e-5, 1e-5})
		x[69_999] = float32(math.NaN())
		same(t, "maximum with a NaN", []float32{AbsMax(x)}, x[69_999:])
	})
}

func FuzzBounds(f *testing.F) {
	f.Add(uint64(1), uint16(700), uint16(33))
	f.Fuzz(func(t *testing.T, seed uint64, n, group uint16) {
		x := odd(rand.New(rand.NewPCG(seed, 0)), 1+int(n%9000), int(seed%5))
		checkBounds(t, x, 1+int(group)%len(x))
	})
}

// checkBounds compares means and maxima, of groups and of all, with their
// definitions.
func checkBounds(t *testing.T, x []float32, group int) {
	t.Helper()
	largest := func(x []float32) float32 { return max(1e-5, slices.Max(x), -slices.Min(x)) }
	var means, maxima []float32
	for g := range slices.Chunk(x, group) {
		means = append(means, absMeanDefinition(g))
		maxima = append(maxima, largest(g))
	}
	mean, maximum := absMeanDefinition(x), largest(x)
	check := func(t *testing.T) {
		bounds := newFenced(len(means), float32(-77))
		GroupAbsMean(bounds.s, x, group)
		same(t, "means", bounds.s, means)
		GroupAbsMax(bounds.s, x, group)
		same(t, "maxima", bounds.s, maxima)
		bounds.check(t, "bounds")
		same(t, "mean and maximum", []float32{AbsMean(x), AbsMax(x)}, []float32{mean, maximum})
	}
	portably(func() { check(t) })
	eachIntLevel(t, check)
}

func TestTernaryUnpack(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	var w Ternary // its storage is used again
	for _, p := range slices.Repeat(allPackings, 3) {
		checkTernaryUnpack(t, rng, &w, p, max(1, pick(rng)), max(1, pick(rng)))
	}
}

func FuzzTernaryUnpack(f *testing.F) {
	f.Add(uint64(1), uint8(2), uint8(33), uint16(70))
	f.Fuzz(func(t *testing.T, seed uint64, packing, out uint8, in uint16) {
		p := allPackings[int(packing)%len(allPackings)]
		checkTernaryUnpack(t, rand.New(rand.NewPCG(seed, 0)), new(Ternary), p, 1+int(out%100), 1+int(in%300))
	})
}

// checkTernaryUnpack wants the same matrix in w whether its codes come packed
// or not, and to be told of a code that is not ternary.
func checkTernaryUnpack(t *testing.T, rng *rand.Rand, w *Ternary, p Packing, out, in int) {
	t.Helper()
	codes := random8(rng, out*in, -1, 1)
	if p == Bits1 {
		codes = randomCodes(rng, out*in, p)
	}
	src := make([]byte, p.Size(len(codes)))
	p.Pack(src, codes)
	var want Ternary
	portably(func() { want.Pack(codes, out, in) })
	var beyond []byte
	if lo, _ := p.Range(); lo < -1 {
		codes[rng.IntN(len(codes))] = lo
		beyond = make([]byte, len(src))
		p.Pack(beyond, codes)
	}
	check := func(t *testing.T) {
		if beyond != nil && w.Unpack(p, beyond, out, in) {
			t.Fatalf("packing %d: a code out of range was not noticed", p)
		}
		if !w.Unpack(p, src, out, in) || w.Out() != out || w.In() != in {
			t.Fatalf("packing %d: a matrix [%d %d] is [%d %d]", p, out, in, w.Out(), w.In())
		}
		same(t, "panels", w.panels, want.panels)
	}
	portably(func() { check(t) })
	eachIntLevel(t, check)
}

// BenchmarkPacking counts a code as the 4 bytes of the float32 behind it.
func BenchmarkPacking(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	packed := make([]byte, packChunk)
	for _, p := range allPackings {
		codes := randomCodes(rng, packChunk, p)
		for name, f := range map[string]func(){
			"Pack":   func() { p.Pack(packed, codes) },
			"Unpack": func() { p.Unpack(codes, packed, 0) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, p), func(b *testing.B) {
				b.SetBytes(4 * packChunk)
				for b.Loop() {
					f()
				}
			})
		}
	}
}
