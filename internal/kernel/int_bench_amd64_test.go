//go:build !purego

package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"trefoil/internal/kernel/peak"
)

// The instruction that does the products at each level.
var (
	bytePeaks = map[Level]peak.Instruction{AVX2: peak.VPMADDUBSW256, AVX512: peak.VPMADDUBSW512, VNNI: peak.VPDPBUSD512}
	wordPeaks = map[Level]peak.Instruction{AVX2: peak.VPMADDWD256, AVX512: peak.VPMADDWD512, VNNI: peak.VPDPWSSD512}
)

// fastest runs f for the benchmark's time and returns how long the fastest run
// took: what else the machine does then counts for little.
func fastest(b *testing.B, f func()) time.Duration {
	best := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best
}

// benchmarkProducts runs the product that prepare returns at every level, on
// one thread and on all, for each shape of rows, out and in. For the fastest
// run it reports products a second, in units of 10^9, and their share of what
// the instruction can do on registers.
func benchmarkProducts(b *testing.B, peaks map[Level]peak.Instruction, shapes [][3]int, prepare func(rows, out, in int) func()) {
	for l := AVX2; l <= Best(); l++ {
		for _, threads := range []int{1, runtime.GOMAXPROCS(0)} {
			for _, s := range shapes {
				b.Run(fmt.Sprintf("%v/%d/%dx%dx%d", l, threads, s[0], s[1], s[2]), func(b *testing.B) {
					defer SetLevel(SetLevel(l))
					defer SetThreads(SetThreads(threads))
					b.ReportAllocs()
					product := prepare(s[0], s[1], s[2])
					limit := peaks[l].Measure()
					rate := float64(s[0]*s[1]*s[2]) / fastest(b, product).Seconds()
					limit = max(limit, peaks[l].Measure()) * float64(threads)
					b.ReportMetric(rate/1e9, "Gprod/s")
					b.ReportMetric(100*rate/limit, "%peak")
				})
			}
		}
	}
}

var trainingShapes = [][3]int{{1024, 1024, 1024}, {4096, 128, 512}, {1024, 128, 128}, {768, 768, 3072}, {2048, 2752, 512}, {768, 384, 128}}

func BenchmarkMulTernary(b *testing.B) {
	shapes := append([][3]int{{1, 1024, 1024}, {1, 3072, 3072}, {4, 1024, 1024}, {8, 1024, 1024}}, trainingShapes...)
	benchmarkProducts(b, bytePeaks, shapes, func(rows, out, in int) func() {
		rng := rand.New(rand.NewPCG(1, 2))
		var w Ternary
		w.Pack(random8(rng, out*in, -1, 1), out, in)
		x, sx, y := random8(rng, rows*in, -128, 127), gaussian[float32](rng, rows), make([]float32, rows*out)
		return func() { MulTernary(y, out, x, sx, &w, 0.5, rows) }
	})
}

func BenchmarkMulGradInput(b *testing.B) {
	benchmarkProducts(b, wordPeaks, trainingShapes, func(rows, out, in int) func() {
		rng := rand.New(rand.NewPCG(1, 2))
		dy, w, dx := gaussian[float32](rng, rows*out), random8(rng, out*in, -1, 1), make([]float32, rows*in)
		return func() { MulGradInput(dx, dy, out, w, 0.5, rows, out, in, false) }
	})
}

func BenchmarkMulGradWeight(b *testing.B) {
	benchmarkProducts(b, wordPeaks, trainingShapes, func(rows, out, in int) func() {
		rng := rand.New(rand.NewPCG(1, 2))
		dy, sx, x := gaussian[float32](rng, rows*out), gaussian[float32](rng, rows), random8(rng, rows*in, -128, 127)
		dw := make([]float32, out*in)
		return func() { MulGradWeight(dw, dy, out, sx, x, rows, out, in) }
	})
}

// BenchmarkElementwise reports the bytes a second that each kernel reads and
// writes, in units of 10^9, beside those of a copy.
func BenchmarkElementwise(b *testing.B) {
	const rows, cols = 4096, 1024
	const n = rows * cols
	rng := rand.New(rand.NewPCG(1, 2))
	x, y, c8 := gaussian[float32](rng, n), make([]float32, n), random8(rng, n, -1, 1)
	rowScales := gaussian[float32](rng, rows)
	halves, trits := make([]uint16, n), make([]byte, (n+4)/5)
	var w Ternary
	for _, k := range []struct {
		name  string
		bytes int
		run   func()
	}{
		{"Copy", 8 * n, func() { chunks(n, grain, func(lo, hi int) { copy(y[lo:hi], x[lo:hi]) }) }},
		{"AbsMean", 4 * n, func() { AbsMean(x) }},
		{"Ternarize", 5 * n, func() { Ternarize(c8, x, 0.8) }},
		{"Pack", n + n/4, func() { w.Pack(c8, rows, cols) }},
		{"QuantizeRows", 5 * n, func() { QuantizeRows(c8, rowScales, x, rows, cols, 127) }},
		{"DequantizeRows", 5 * n, func() { DequantizeRows(y, c8, rowScales, rows, cols) }},
		{"EncodeFloat16", 6 * n, func() { EncodeFloat16(halves, x) }},
		{"DecodeFloat16", 6 * n, func() { DecodeFloat16(y, halves) }},
		{"PackTrits", n + n/5, func() { Ternarize(c8[:8], x[:8], 1); PackTrits(trits, c8) }},
		{"UnpackTrits", n + n/5, func() { _ = UnpackTrits(c8, trits) }},
	} {
		for l := AVX2; l <= min(Best(), AVX512); l++ {
			for _, threads := range []int{1, runtime.GOMAXPROCS(0)} {
				b.Run(fmt.Sprintf("%s/%v/%d", k.name, l, threads), func(b *testing.B) {
					defer SetLevel(SetLevel(l))
					defer SetThreads(SetThreads(threads))
					b.ReportMetric(float64(k.bytes)/fastest(b, k.run).Seconds()/1e9, "GB/s")
				})
			}
		}
	}
}
