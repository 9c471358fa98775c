package quant

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"trefoil/internal/kernel"
)

// NoiseKind names a way to disturb weights in training so that they get used
// to being quantized.
type NoiseKind string

const (
	// NoNoise leaves the weights alone. The empty string means the same.
	NoNoise NoiseKind = "none"
	// UniformNoise adds u*step with u uniform in [-1/2, 1/2): the error of a
	// rounding quantizer, as a model (Widrow 1956, IRE Transactions on
	// Circuit Theory 3, on rough amplitude quantization; in training
	// Défossez et al. 2021, arXiv:2104.09987, on pseudo quantization noise).
	UniformNoise NoiseKind = "uniform"
	// GaussianNoise adds a normal variable of the variance of Widrow's
	// model, step^2/12.
	GaussianNoise NoiseKind = "gaussian"
	// LaplaceNoise adds a Laplace variable of the same variance: scale
	// step/sqrt(24). It is often small and now and then large, as the error
	// of a grid that clips. It is no paper's rule.
	LaplaceNoise NoiseKind = "laplace"
	// BlockNoise is Quant-Noise (Fan et al. 2020, arXiv:2004.07320, section
	// 4.1): at each step a random subset of the blocks is quantized, the rest
	// is left as it is. Blocks of less than one weight are of one.
	BlockNoise NoiseKind = "block"
	// MeasuredNoise adds the error that ternary quantization makes at
	// another weight of the tensor, chosen at random: noise of just the
	// distribution that the quantizer has, which no model is needed for.
	// For other quantizers see [ApplyErrors].
	MeasuredNoise NoiseKind = "measured"
)

// NoiseKinds lists the kinds.
func NoiseKinds() []NoiseKind {
	return []NoiseKind{NoNoise, UniformNoise, GaussianNoise, LaplaceNoise, BlockNoise, MeasuredNoise}
}

// Noise is a noise model. Its zero value adds none.
type Noise struct {
	Kind     NoiseKind `yaml:"kind" doc:"noise on the weights while training: none, uniform, gaussian, laplace, block or measured"`
	Strength float64   `yaml:"strength" doc:"factor of all kinds but block; 1 is as strong as rounding"`
	Block    int       `yaml:"block" doc:"consecutive weights that the kind block quantizes or spares together"`
	Share    float64   `yaml:"share" doc:"probability with which the kind block quantizes a block"`
}

// Enabled reports whether the noise changes anything.
func (n Noise) Enabled() bool {
	switch n.Kind {
	case UniformNoise, GaussianNoise, LaplaceNoise, MeasuredNoise:
		return n.Strength != 0
	case BlockNoise:
		return n.Share < 1
	}
	return false
}

// Validate reports a kind that is not known, and numbers that make no sense
// for it.
func (n Noise) Validate() error {
	switch {
	case n.Kind != "" && !slices.Contains(NoiseKinds(), n.Kind):
		return fmt.Errorf("noise: kind %q is not known: use one of %q", string(n.Kind), NoiseKinds())
	case !(n.Strength >= 0 && n.Strength <= math.MaxFloat32):
		return fmt.Errorf("noise: the strength %v is not a positive number: 1 is as strong as rounding", n.Strength)
	case n.Kind == BlockNoise && !(n.Share >= 0 && n.Share <= 1):
		return fmt.Errorf("noise: the share %v is no probability: use 0 to 1", n.Share)
	}
	return nil
}

// noiseChunk is how many weights share one random stream, so that the noise
// does not depend on the number of threads.
const noiseChunk = 1 << 14

// Apply disturbs y, which holds weights or a blend of weights and their
// quantized values; w holds the weights themselves, as long as y, and step is
// the distance between two levels of the grid. The noise is a function of the
// seed (one for each tensor), the draw (the training step) and the position
// alone: it does not depend on the number of threads, and a resumed run draws
// what the interrupted one would have drawn. It fails on what [Noise.Validate]
// reports, and on slices of different lengths.
func Apply[F kernel.Float](n Noise, y, w []F, step F, seed, draw uint64) error {
	if err := n.Validate(); err != nil {
		return err
	}
	if len(y) != len(w) {
		return fmt.Errorf("noise: %d weights to disturb, and %d as they are: give as many", len(y), len(w))
	}
	if !n.Enabled() {
		return nil
	}
	chunk := noiseChunk
	if n.Kind == BlockNoise {
		n.Block = max(1, n.Block)
		chunk = max(1, noiseChunk/n.Block) * n.Block
	}
	inChunks(len(y), chunk, seed, draw, func(r *rand.Rand, lo, hi int) {
		switch n.Kind {
		case BlockNoise:
			spare(n, r, y[lo:hi], w[lo:hi])
		case MeasuredNoise:
			for i := lo; i < hi; i++ {
				v := w[r.IntN(len(w))]
				y[i] += F(n.Strength) * (ternaryValue(v, step) - v)
			}
		default:
			for i := lo; i < hi; i++ {
				y[i] += F(n.draw(r) * float64(step) * n.Strength)
			}
		}
	})
	return nil
}

// ApplyErrors adds strength times a random element of errors to each element
// of y: the measured noise of any quantizer, whose values less its input are
// the errors. Seed and draw are those of [Apply].
func ApplyErrors[F kernel.Float](y, errors []F, strength float64, seed, draw uint64) {
	if len(errors) == 0 {
		return
	}
	inChunks(len(y), noiseChunk, seed, draw, func(r *rand.Rand, lo, hi int) {
		for i := lo; i < hi; i++ {
			y[i] += F(strength) * errors[r.IntN(len(errors))]
		}
	})
}

// inChunks calls body with each chunk of n elements and its random stream.
func inChunks(n, chunk int, seed, draw uint64, body func(r *rand.Rand, lo, hi int)) {
	kernel.Parallel((n+chunk-1)/chunk, func(i int) {
		r := rand.New(rand.NewPCG(seed, draw<<32|uint64(i)))
		body(r, i*chunk, min(n, (i+1)*chunk))
	})
}

// draw returns noise in units of a step.
func (n Noise) draw(r *rand.Rand) float64 {
	switch n.Kind {
	case GaussianNoise:
		return r.NormFloat64() / math.Sqrt(12)
	case LaplaceNoise: // the difference of two exponential variables
		return (r.ExpFloat64() - r.ExpFloat64()) / math.Sqrt(24)
	}
	return r.Float64() - 0.5
}

// spare leaves random blocks of y as they are in w.
func spare[F kernel.Float](n Noise, r *rand.Rand, y, w []F) {
	for lo := 0; lo < len(y); lo += n.Block {
		if r.Float64() >= n.Share {
			hi := min(len(y), lo+n.Block)
			copy(y[lo:hi], w[lo:hi])
		}
	}
}

// ternaryValue rounds v to the nearest of -step, 0 and step.
func ternaryValue[F kernel.Float](v, step F) F {
	return min(max(F(math.RoundToEven(float64(v/step))), -1), 1) * step
}
