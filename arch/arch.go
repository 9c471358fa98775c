// Package arch describes the shape of a BitNet b1.58 language model: its
// sizes, and the name, shape and kind of each of its parameters.
//
// The model is a decoder like Llama's with the sub-norms of BitNet (Wang et
// al. 2023, arXiv:2310.11453; Ma et al. 2024, arXiv:2402.17764):
//
//	x = embedding[tokens]
//	each block:
//	  n = RMSNorm(x, attention.norm)
//	  a = Attention(rope(n q), rope(n k), n v)          causal, grouped heads
//	  x = x + RMSNorm(a, attention.sub_norm) o
//	  n = RMSNorm(x, ffn.norm)
//	  f = activation(n gate) * (n up)
//	  x = x + RMSNorm(f, ffn.sub_norm) down
//	logits = RMSNorm(x, norm) embedding'                 head tied to embedding
//
// There are no biases. The rotary embedding turns pairs (i, i+HeadDim/2).
// Models from elsewhere may lack the sub-norms, have a head of their own, or
// heads that are wider or narrower than Dim/Heads: see [Config].
// Training, export and inference all build on this one description.
package arch

import (
	"errors"
	"fmt"
	"math"
)

// An Activation is the function applied to the gate of the feed-forward.
type Activation string

const (
	SiLU  Activation = "silu"  // gate * sigmoid(gate)
	ReLU2 Activation = "relu2" // max(gate, 0) squared (So et al. 2021, arXiv:2109.08668)
)

// Config holds the sizes of a model. Validate tells whether they fit together.
type Config struct {
	Vocab      int        `yaml:"vocab" json:"vocab"`           // number of token ids
	Dim        int        `yaml:"dim" json:"dim"`               // width of the residual stream
	Layers     int        `yaml:"layers" json:"layers"`         // number of blocks
	Heads      int        `yaml:"heads" json:"heads"`           // query heads
	KVHeads    int        `yaml:"kv_heads" json:"kv_heads"`     // key and value heads; Heads is a multiple
	FF         int        `yaml:"ff" json:"ff"`                 // width of the feed-forward
	Context    int        `yaml:"context" json:"context"`       // longest sequence, in tokens
	Activation Activation `yaml:"activation" json:"activation"` // silu or relu2
	RopeBase   float64    `yaml:"rope_base" json:"rope_base"`   // base of the rotary frequencies, usually 10000
	NormEps    float64    `yaml:"norm_eps" json:"norm_eps"`     // added to the mean square in RMSNorm, usually 1e-5

	HeadWidth  int  `yaml:"head_dim,omitempty" json:"head_dim,omitempty"`         // width of a head; 0 means Dim/Heads
	NoSubNorms bool `yaml:"no_sub_norms,omitempty" json:"no_sub_norms,omitempty"` // as in Llama: the norms before o and down are left out
	UntiedHead bool `yaml:"untied_head,omitempty" json:"untied_head,omitempty"`   // the logits have a matrix of their own, named head
}

// Bounds on sizes, so that products of two sizes fit in an int and a number
// read from a file cannot ask for absurd amounts of memory.
const (
	maxSize    = 1 << 24
	maxLayers  = 1 << 10
	maxContext = 1 << 20
	maxHeadDim = 1 << 12
)

// Validate reports every field that is out of range or does not fit the
// others, by its name in the configuration file.
func (c Config) Validate() error {
	var errs []error
	complain := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, f := range []struct {
		name       string
		value, max int
	}{
		{"vocab", c.Vocab, maxSize}, {"dim", c.Dim, maxSize}, {"layers", c.Layers, maxLayers}, {"heads", c.Heads, maxSize},
		{"kv_heads", c.KVHeads, maxSize}, {"ff", c.FF, maxSize}, {"context", c.Context, maxContext},
	} {
		if f.value < 1 || f.value > f.max {
			complain("%s: %d is not between 1 and %d", f.name, f.value, f.max)
		}
	}
	switch {
	case c.HeadWidth != 0:
		if c.HeadWidth < 2 || c.HeadWidth > maxHeadDim || c.HeadWidth%2 != 0 {
			complain("head_dim: %d is not an even number from 2 to %d: use 0 for dim/heads", c.HeadWidth, maxHeadDim)
		}
	case c.Heads > 0 && c.Dim%(2*c.Heads) != 0:
		complain("dim: %d is not divisible into %d heads of an even width: use a multiple of %d", c.Dim, c.Heads, 2*c.Heads)
	}
	if c.KVHeads > 0 && c.Heads%c.KVHeads != 0 {
		complain("kv_heads: %d does not divide heads: %d", c.KVHeads, c.Heads)
	}
	if c.Activation != SiLU && c.Activation != ReLU2 {
		complain("activation: %q is not known: use %s or %s", c.Activation, SiLU, ReLU2)
	}
	if !(c.RopeBase >= 1) || math.IsInf(c.RopeBase, 0) {
		complain("rope_base: %v is not a number of at least 1: 10000 is usual", c.RopeBase)
	}
	if !(c.NormEps > 0 && c.NormEps < 1) {
		complain("norm_eps: %v is not between 0 and 1: 1e-5 is usual", c.NormEps)
	}
	return errors.Join(errs...)
}

// HeadDim is the width of one attention head.
func (c Config) HeadDim() int {
	if c.HeadWidth != 0 {
		return c.HeadWidth
	}
	return c.Dim / c.Heads
}

// QDim is the width of all query heads together, and of the attention's output.
func (c Config) QDim() int { return c.Heads * c.HeadDim() }

// KVDim is the width of all key heads together, and of all value heads.
func (c Config) KVDim() int { return c.KVHeads * c.HeadDim() }
