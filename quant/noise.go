package quant

import (
	"math"
	"math/rand/v2"

	"trefoil/internal/kernel"
)

// NoiseKind names a way to disturb weights in training so that they get used
// to being quantized.
type NoiseKind string

const (
	// NoNoise leaves the weights alone. The empty string means the same.
	NoNoise NoiseKind = "none"
	// UniformNoise adds u*step with u uniform in [-1/2, 1/2): the error of a
	// rounding quantizer, as a model (Widrow; DiffQ, arXiv:2104.09987,
	// equation 3).
	UniformNoise NoiseKind = "uniform"
	// GaussianNoise adds a normal variable of the same variance, step^2/12.
	GaussianNoise NoiseKind = "gaussian"
	// BlockNoise is Quant-Noise (arXiv:2004.07320, equation 6): at each step
	// a random subset of the blocks is quantized, the rest is left as it is.
	BlockNoise NoiseKind = "block"
)

// Noise is a noise model. Its zero value adds none.
type Noise struct {
	Kind     NoiseKind `yaml:"kind" doc:"noise on the weights while training: none, uniform, gaussian or block"`
	Strength float64   `yaml:"strength" doc:"factor of the kinds uniform and gaussian; 1 is as strong as rounding"`
	Block    int       `yaml:"block" doc:"consecutive weights that the kind block quantizes or spares together"`
	Share    float64   `yaml:"share" doc:"probability with which the kind block quantizes a block"`
}

// Enabled reports whether the noise changes anything.
func (n Noise) Enabled() bool {
	switch n.Kind {
	case UniformNoise, GaussianNoise:
		return n.Strength != 0
	case BlockNoise:
		return n.Share < 1
	}
	return false
}

// noiseChunk is how many weights share one random stream, so that the noise
// does not depend on the number of threads.
const noiseChunk = 1 << 14

// Apply disturbs y, which holds weights or a blend of weights and their
// quantized values; w holds the weights themselves, as long as y, and step is
// the distance between two levels of the grid. The noise is a function of the
// seed (one for each tensor), the draw (the training step) and the position
// alone: it does not depend on the number of threads, and a resumed run draws
// what the interrupted one would have drawn.
func Apply[F kernel.Float](n Noise, y, w []F, step F, seed, draw uint64) {
	if !n.Enabled() {
		return
	}
	chunk := noiseChunk
	if n.Kind == BlockNoise {
		chunk = max(1, noiseChunk/n.Block) * n.Block
	}
	kernel.Parallel((len(y)+chunk-1)/chunk, func(i int) {
		lo, hi := i*chunk, min(len(y), (i+1)*chunk)
		r := rand.New(rand.NewPCG(seed, draw<<32|uint64(i)))
		n.disturb(r, float64(step), hi-lo,
			func(j int, d float64) { y[lo+j] += F(d) },
			func(a, b int) { copy(y[lo+a:lo+b], w[lo+a:lo+b]) })
	})
}

// disturb draws the noise of n weights: add is called with what a weight
// gains, spare with each range that is left unquantized.
func (n Noise) disturb(r *rand.Rand, step float64, count int, add func(i int, d float64), spare func(lo, hi int)) {
	switch n.Kind {
	case UniformNoise:
		for i := range count {
			add(i, (r.Float64()-0.5)*step*n.Strength)
		}
	case GaussianNoise:
		sigma := step * n.Strength / math.Sqrt(12)
		for i := range count {
			add(i, r.NormFloat64()*sigma)
		}
	case BlockNoise:
		for lo := 0; lo < count; lo += n.Block {
			if r.Float64() >= n.Share {
				spare(lo, min(count, lo+n.Block))
			}
		}
	}
}
