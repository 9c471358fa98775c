package train

import (
	"slices"
	"testing"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/internal/kernel"
	"trefoil/layers"
	"trefoil/quant"
	"trefoil/schedule"
)

// Every step has the same loss with one thread as with two, twice, in a network
// wide enough that products, attention and AdamW are divided among threads.
func TestThreadsKeepTheLosses(t *testing.T) {
	train := func(bits float64, activationBits, gradientBits int) fewSteps {
		q := schedule.Quantization{
			Weights:     schedule.Weights{Bits: bits, Scale: quant.AbsMean},
			Activations: schedule.Activations{Bits: activationBits},
			Estimator:   quant.Identity, GradientBits: gradientBits, Noise: quant.Noise{Kind: quant.NoNoise},
		}
		defer kernel.SetThreads(kernel.SetThreads(1))
		one := takeFewSteps(t, q)
		kernel.SetThreads(2)
		for range 2 {
			if two := takeFewSteps(t, q); !slices.Equal(two.losses, one.losses) {
				t.Errorf("weights of %v bits, gradients of %d: losses %v with two threads, %v with one", bits, gradientBits, two.losses, one.losses)
			}
		}
		return one
	}
	train(schedule.Float, schedule.Float, 32)
	exact, rounded := train(schedule.TernaryBits, 8, 32), train(schedule.TernaryBits, 8, 16)
	if exact.losses[0] != rounded.losses[0] {
		t.Errorf("the precision of gradients changes the first loss from %v to %v", exact.losses[0], rounded.losses[0])
	}
	for what, pair := range map[string][2][]float32{
		"weights": {exact.down, rounded.down},
		"inputs":  {exact.gain, rounded.gain},
	} {
		want := make([]float64, len(pair[0]))
		for i, v := range pair[0] {
			want[i] = float64(v)
		}
		// Far more than float32 rounds off, but no more than 16 bits do.
		if e := frobeniusError(pair[1], want); e < 1e-6 || e > 2e-4 {
			t.Errorf("gradients of %s: relative error %.3g, want that of products of integers", what, e)
		}
	}
}

// fewSteps are the losses of steps, and gradients of the first one in the last
// block. Only the products of weights, and the float operations above, are in
// that of down, only those of inputs in that of the gain.
type fewSteps struct {
	losses     []float64
	down, gain []float32
}

func takeFewSteps(t *testing.T, q schedule.Quantization) (s fewSteps) {
	t.Helper()
	a := arch.Config{Vocab: 300, Dim: 128, Layers: 2, Heads: 4, KVHeads: 2, FF: 256, Context: 128,
		Activation: arch.SiLU, RopeBase: 1e4, NormEps: 1e-5}
	n, err := NewNetwork(a, q, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	gradient := func(p *layers.Parameter) []float32 {
		d, err := p.Gradient()
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(d)
	}
	step := stepOf(t, n, q, config.AdamW)
	for i := range 4 {
		step()
		s.losses = append(s.losses, n.Report.Sum)
		if i == 0 {
			last := n.Model.Blocks[a.Layers-1]
			s.down, s.gain = gradient(last.FeedForward.Down.Weight), gradient(last.FFNNorm.Gain)
		}
	}
	return s
}
