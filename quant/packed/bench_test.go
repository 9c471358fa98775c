package packed

import (
	"math/rand/v2"
	"testing"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// A tensor of 64 MB, larger than a core's share of any cache. Benchmarks count
// the bytes of the float32 values, and run on one thread.
const (
	benchRows = 4096
	benchCols = 4096
	benchSize = benchRows * benchCols
)

var benchValues = func() []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, benchSize)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// measure runs f, which reads or writes benchSize float32 values.
func measure(b *testing.B, f func()) {
	defer kernel.SetThreads(kernel.SetThreads(1))
	f() // grow what is grown once
	b.SetBytes(4 * benchSize)
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
}

func quantizer(t testing.TB, c quant.Config) *quant.Scalar {
	t.Helper()
	q, err := quant.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// BenchmarkCopy is the yardstick: it reads and writes every byte.
func BenchmarkCopy(b *testing.B) {
	x, y := benchValues(), make([]float32, benchSize)
	measure(b, func() { copy(y, x) })
}

// BenchmarkQuantize goes from float32 to packed codes. Absmean reads its input
// twice, since no scale is known before the last weight is: so half of the read
// bandwidth is the limit. One pass, as for int8, may reach the whole. Measured
// figures are in experiments/quant/README.md; on an idle machine
//
//	go test -run '^$' -bench 'Quantize|Copy|ReadBandwidth' ./quant/packed
//
// gives one's own.
func BenchmarkQuantize(b *testing.B) {
	x := benchValues()
	for _, c := range []struct {
		name   string
		format Format
		config quant.Config
	}{
		{"ternary-2bit", Bits2, quant.Config{}},
		{"ternary-1.6bit", Trits, quant.Config{}},
		{"int8-token", Bits8, quant.Config{Bits: 8, Granularity: quant.PerToken}},
		{"int4-group128", Bits4, quant.Config{Bits: 4, Granularity: quant.PerGroup, Group: 128}},
	} {
		b.Run(c.name, func(b *testing.B) {
			q, m := quantizer(b, c.config), new(Matrix)
			measure(b, func() {
				if err := m.Quantize(c.format, q, x, benchRows, benchCols); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkDequantize goes from packed codes to float32. The limit is writing to
// memory.
func BenchmarkDequantize(b *testing.B) {
	x := benchValues()
	for _, c := range []struct {
		name   string
		format Format
		config quant.Config
	}{
		{"1bit", Bits1, quant.Config{Bits: 1}},
		{"1.6bit", Trits, quant.Config{}},
		{"2bit", Bits2, quant.Config{}},
		{"3bit", Bits3, quant.Config{Bits: 3}},
		{"4bit", Bits4, quant.Config{Bits: 4}},
		{"8bit", Bits8, quant.Config{Bits: 8}},
	} {
		b.Run(c.name, func(b *testing.B) {
			m, err := Quantize(c.format, quantizer(b, c.config), x, benchRows, benchCols)
			if err != nil {
				b.Fatal(err)
			}
			y := make([]float32, benchSize)
			measure(b, func() {
				if err := m.Dequantize(y); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
	b.Run("2bit-float16", func(b *testing.B) {
		m, err := Quantize(Bits2, quantizer(b, quant.Config{}), x, benchRows, benchCols)
		if err != nil {
			b.Fatal(err)
		}
		y := make([]uint16, benchSize)
		measure(b, func() {
			if err := m.DequantizeFloat16(y); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// BenchmarkReadBandwidth is the yardstick of products that read their weights
// once: the sums of magnitudes of a tensor of 64 MB, one addition a vector.
func BenchmarkReadBandwidth(b *testing.B) {
	x := benchValues()
	sums := make([]float64, benchSize/kernel.AbsMeanBlock)
	measure(b, func() { kernel.AbsSums(sums, x) })
}

// BenchmarkLinear multiplies one row of int8 codes with 32 to 64 MB of packed
// weights, and counts the bytes of the packed weights. The limit is the read
// bandwidth. Weights of 4 bits are held up by the unpacking, and ternary ones
// without VNNI by the products.
func BenchmarkLinear(b *testing.B) {
	const out, in = 65536, 4096
	rng := rand.New(rand.NewPCG(3, 4))
	codes := make([]int8, out*in)
	for i := range codes {
		codes[i] = int8(rng.IntN(3) - 1)
	}
	x, sx, y := make([]int8, in), []float32{0.5}, make([]float32, out)
	for i := range x {
		x[i] = int8(rng.IntN(256) - 128)
	}
	for _, c := range []struct {
		name   string
		format Format
		outs   int
		group  int
	}{
		{"ternary-2bit", Bits2, out, 0},
		{"4bit", Bits4, out / 4, 0},
		{"4bit-group128", Bits4, out / 4, 128},
		{"8bit", Bits8, out / 4, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			defer kernel.SetThreads(kernel.SetThreads(1))
			s := Scales{Values: []float32{0.1}}
			if c.group > 0 {
				s = Scales{Granularity: quant.PerGroup, Group: c.group, Values: make([]float32, c.outs*in/c.group)}
			}
			m, err := NewMatrix(c.format, c.outs, in, codes[:c.outs*in], s)
			if err != nil {
				b.Fatal(err)
			}
			l, err := NewLinear(m)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(m.Packed())))
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Multiply(y, out, x, sx, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
