package train

import (
	"fmt"
	"math"
	"testing"
	"time"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/schedule"
)

// BenchmarkStep is one training step, forward, backward and update, of models
// of several sizes; tokens/s is the figure to read, that of the fastest step
// where other programs run, too.
func BenchmarkStep(b *testing.B) {
	for _, size := range []struct {
		name                                      string
		dim, layers, heads, ff, ctx, batch, vocab int
	}{
		{"tiny", 128, 4, 4, 352, 64, 12, 65},
		{"small", 256, 6, 4, 704, 128, 16, 512},
		{"base", 512, 6, 8, 1376, 256, 8, 4096},
	} {
		for _, kind := range []struct {
			name      string
			bits      float64
			gradient  int
			optimizer string
		}{
			{"float32", 32, 32, config.AdamW},
			{"b1.58", 1.58, 32, config.AdamW},
			{"b1.58-16", 1.58, 16, config.AdamW},
			{"b1.58-16-muon", 1.58, 16, config.Muon},
		} {
			b.Run(fmt.Sprintf("%s/%s", size.name, kind.name), func(b *testing.B) {
				a := arch.Config{Vocab: size.vocab, Dim: size.dim, Layers: size.layers, Heads: size.heads, KVHeads: size.heads,
					FF: size.ff, Context: size.ctx, Activation: arch.SiLU, RopeBase: 1e4, NormEps: 1e-5}
				q := config.Default().Quantization
				q.Phases, q.Weights.Bits, q.GradientBits = nil, kind.bits, kind.gradient
				if kind.bits == schedule.Float {
					q.Activations.Bits = schedule.Float
				}
				benchmarkStep(b, a, q, kind.optimizer, size.batch)
			})
		}
	}
}

func benchmarkStep(b *testing.B, a arch.Config, q schedule.Quantization, optimizer string, batch int) {
	n, err := NewNetwork(a, q, batch, 1)
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	step := stepOf(b, n, q, optimizer)
	step()
	b.ReportAllocs()
	fastest := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		step()
		fastest = min(fastest, time.Since(start))
	}
	tokens := float64(len(n.Inputs))
	b.ReportMetric(tokens*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
	b.ReportMetric(tokens/fastest.Seconds(), "fastest-tokens/s")
}

// BenchmarkBlendStep is one step of the default configuration's model in the
// middle of its blend.
func BenchmarkBlendStep(b *testing.B) {
	c := config.Default()
	n, err := NewNetwork(c.Model.Arch(c.Data.Tokenizer.Vocab), c.Quantization, c.Train.Batch, c.Seed)
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	step := stepOf(b, n, c.Quantization, c.Train.Optimizer)
	step()
	for b.Loop() {
		step()
	}
	b.ReportMetric(float64(len(n.Inputs)*b.N)/b.Elapsed().Seconds(), "tokens/s")
}
