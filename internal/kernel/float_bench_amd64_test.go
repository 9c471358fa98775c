//go:build !purego

package kernel

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"trefoil/internal/kernel/peak"
)

var floatPeaks = map[Level]peak.Instruction{AVX2: peak.VFMADD231PS256, AVX512: peak.VFMADD231PS512}

// benchmarkFloat runs f at each level that has assembly, on one thread and on
// all. For the fastest run it reports GFLOP/s, given the multiply-adds of one
// run, and their share of what FMA can do on registers.
func benchmarkFloat(b *testing.B, name string, multiplyAdds float64, f func()) {
	for l := AVX2; l <= min(Best(), AVX512); l++ {
		for _, threads := range []int{1, runtime.GOMAXPROCS(0)} {
			b.Run(fmt.Sprintf("%s/%v/%d", name, l, threads), func(b *testing.B) {
				defer SetLevel(SetLevel(l))
				defer SetThreads(SetThreads(threads))
				b.ReportAllocs()
				rate := multiplyAdds / fastest(b, f).Seconds()
				b.ReportMetric(2*rate/1e9, "GFLOP/s")
				b.ReportMetric(100*rate/(floatPeaks[l].Measure()*float64(threads)), "%peak")
			})
		}
	}
}

func BenchmarkGemm(b *testing.B) {
	for _, s := range [][3]int{
		{1024, 1024, 1024}, {256, 256, 256}, {64, 64, 32}, {768, 512, 128},
		{768, 65, 128}, {768, 8192, 128}, {2048, 4096, 512}, {2048, 512, 4096}, {4096, 512, 2048}, {1, 8192, 256}, {1, 512, 256},
	} {
		m, n, k := s[0], s[1], s[2]
		x, y, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
		for _, g := range gemms {
			benchmarkFloat(b, fmt.Sprintf("%s/%dx%dx%d", g.name, m, n, k), float64(m*n*k), func() { g.f32(c, x, y, m, n, k, false) })
		}
	}
}

// BenchmarkAttention counts half of all pairs of tokens, with two products
// forward and five backward.
func BenchmarkAttention(b *testing.B) {
	for _, s := range []AttentionShape{
		{12, 4, 4, 32, 64, 64}, {16, 4, 4, 64, 128, 128}, {8, 8, 8, 64, 256, 256}, {4, 12, 12, 64, 256, 256}, {1, 8, 2, 64, 1, 256},
	} {
		a := newAttentionCase[float32](rand.New(rand.NewPCG(1, 2)), s)
		name := fmt.Sprintf("B%dH%dT%dof%dD%d", s.Batch, s.Heads, s.Queries, s.Keys, s.HeadDim)
		pairs := float64(s.Batch*s.Heads*s.Queries) * float64(2*s.Keys-s.Queries+1) / 2 * float64(s.HeadDim)
		benchmarkFloat(b, "forward/"+name, 2*pairs, a.forward)
		if s.Queries == s.Keys {
			benchmarkFloat(b, "backward/"+name, 5*pairs, a.backward)
		}
	}
}
