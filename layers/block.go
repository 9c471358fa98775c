package layers

import (
	"math"
	"slices"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/nn"
)

// Attention is a causal self-attention with rotary embedding, grouped key and
// value heads, and BitNet's norm before the output projection.
type Attention struct {
	Q, K, V, O *BitLinear
	SubNorm    *RMSNorm // nil in a model without sub-norms
	shape      nn.AttentionShape
}

// Forward returns the node [tokens, dim] of a normalized input [tokens, dim],
// tokens being batch sequences of the model's context.
func (a *Attention) Forward(x *G.Node, batch int) (*G.Node, error) {
	qkv, err := Join(x, a.Q, a.K, a.V)
	if err != nil {
		return nil, err
	}
	shape := a.shape
	shape.Batch = batch
	y, err := nn.Attention(qkv, shape)
	if err != nil {
		return nil, err
	}
	if a.SubNorm != nil {
		if y, err = a.SubNorm.Forward(y); err != nil {
			return nil, err
		}
	}
	return a.O.Forward(y)
}

// FeedForward is a gated feed-forward network with BitNet's norm before the
// down projection.
type FeedForward struct {
	Gate, Up, Down *BitLinear
	SubNorm        *RMSNorm // nil in a model without sub-norms
	activation     arch.Activation
}

// Forward returns the node [tokens, dim] of a normalized input [tokens, dim].
func (f *FeedForward) Forward(x *G.Node) (*G.Node, error) {
	h, err := Join(x, f.Gate, f.Up)
	if err != nil {
		return nil, err
	}
	if f.activation == arch.ReLU2 {
		h, err = nn.ReLU2Gate(h)
	} else {
		h, err = nn.SiLUGate(h)
	}
	if err != nil {
		return nil, err
	}
	if f.SubNorm != nil {
		if h, err = f.SubNorm.Forward(h); err != nil {
			return nil, err
		}
	}
	return f.Down.Forward(h)
}

// Block is one layer of the transformer: attention and feed-forward, each
// behind a norm and beside a residual connection.
type Block struct {
	AttentionNorm *RMSNorm
	Attention     *Attention
	FFNNorm       *RMSNorm
	FeedForward   *FeedForward
}

// newBlock adds the parameters of block i to the graph. The projections that
// end on the residual stream start smaller by sqrt(2 layers), as in GPT-2.
func newBlock(g *G.ExprGraph, c arch.Config, i int, linear func(name string, in, out int, init Init) *BitLinear, seed uint64) *Block {
	names := arch.BlockNames(i)
	inner := Init{seed, InitStd}
	last := Init{seed, InitStd / math.Sqrt(2*float64(c.Layers))}
	subNorm := func(name string, dim int) *RMSNorm {
		if c.NoSubNorms {
			return nil
		}
		return NewRMSNorm(g, name, dim, c.NormEps)
	}
	return &Block{
		AttentionNorm: NewRMSNorm(g, names.AttentionNorm, c.Dim, c.NormEps),
		Attention: &Attention{
			Q:       linear(names.Q, c.Dim, c.QDim(), inner),
			K:       linear(names.K, c.Dim, c.KVDim(), inner),
			V:       linear(names.V, c.Dim, c.KVDim(), inner),
			SubNorm: subNorm(names.AttentionSubNorm, c.QDim()),
			O:       linear(names.O, c.QDim(), c.Dim, last),
			shape: nn.AttentionShape{
				Context: c.Context, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim(), RopeBase: c.RopeBase,
			},
		},
		FFNNorm: NewRMSNorm(g, names.FFNNorm, c.Dim, c.NormEps),
		FeedForward: &FeedForward{
			Gate:       linear(names.Gate, c.Dim, c.FF, inner),
			Up:         linear(names.Up, c.Dim, c.FF, inner),
			SubNorm:    subNorm(names.FFNSubNorm, c.FF),
			Down:       linear(names.Down, c.FF, c.Dim, last),
			activation: c.Activation,
		},
	}
}

// Forward returns the residual stream [tokens, dim] behind the block.
func (b *Block) Forward(x *G.Node, batch int) (*G.Node, error) {
	x, err := b.AttentionNorm.Residual(x, func(h *G.Node) (*G.Node, error) { return b.Attention.Forward(h, batch) })
	if err != nil {
		return nil, err
	}
	return b.FFNNorm.Residual(x, b.FeedForward.Forward)
}

// Linears returns the block's linear layers.
func (b *Block) Linears() []*BitLinear {
	a, f := b.Attention, b.FeedForward
	return []*BitLinear{a.Q, a.K, a.V, a.O, f.Gate, f.Up, f.Down}
}

// Inputs returns the same layers, grouped by the input that they share.
func (b *Block) Inputs() [][]*BitLinear {
	a, f := b.Attention, b.FeedForward
	return [][]*BitLinear{{a.Q, a.K, a.V}, {a.O}, {f.Gate, f.Up}, {f.Down}}
}

// Parameters returns the block's parameters in the order in which they are
// used.
func (b *Block) Parameters() []*Parameter {
	a, f := b.Attention, b.FeedForward
	return slices.Concat(
		b.AttentionNorm.Parameters(), a.Q.Parameters(), a.K.Parameters(), a.V.Parameters(), a.SubNorm.Parameters(), a.O.Parameters(),
		b.FFNNorm.Parameters(), f.Gate.Parameters(), f.Up.Parameters(), f.SubNorm.Parameters(), f.Down.Parameters(),
	)
}
