package nn

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// AttentionShape is the shape of a causal self-attention with rotary
// embedding and grouped key-value heads.
type AttentionShape struct {
	Batch, Context int     // sequences, and tokens in each
	Heads, KVHeads int     // query heads; key and value heads, which divide them
	HeadDim        int     // width of a head, even
	RopeBase       float64 // base of the rotary frequencies, 10000 in Llama
}

// Width is the number of columns of queries, keys and values side by side.
func (s AttentionShape) Width() int { return (s.Heads + 2*s.KVHeads) * s.HeadDim }

func (s AttentionShape) validate() error {
	switch {
	case s.Batch < 1 || s.Context < 1 || s.Heads < 1 || s.KVHeads < 1 || s.HeadDim < 1:
		return fmt.Errorf("%+v has a size below 1", s)
	case s.Heads%s.KVHeads != 0:
		return fmt.Errorf("%d heads cannot share %d key-value heads evenly", s.Heads, s.KVHeads)
	case s.HeadDim%2 != 0:
		return fmt.Errorf("rotary embedding needs an even head width, not %d", s.HeadDim)
	case !(s.RopeBase > 0):
		return fmt.Errorf("rotary base %v is not positive", s.RopeBase)
	}
	return nil
}

// Attention returns the node of causal softmax attention (Vaswani et al.
// 2017, arXiv:1706.03762, equation 1) over rotated queries and keys (RoFormer,
// arXiv:2104.09864, equation 34, on the two halves of a head as GPT-NeoX does
// it). qkv is [batch*context, (heads + 2 kvHeads) * headDim]: the queries of
// all heads, then the keys, then the values. The result is
// [batch*context, heads*headDim]. Heads h*heads/kvHeads and on share the
// key-value head h (arXiv:2305.13245).
//
// Where qkv is the result of an operation of this package that nothing else
// reads, it is rotated in its own memory.
func Attention(qkv *G.Node, s AttentionShape) (*G.Node, error) {
	const name = "Attention"
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !isMatrix(qkv) || qkv.Shape()[0] != s.Batch*s.Context || qkv.Shape()[1] != s.Width() {
		return nil, shapeError(name, fmt.Sprintf("(%d, %d) for %+v", s.Batch*s.Context, s.Width(), s), qkv)
	}
	return byType(name, qkv,
		func() (*G.Node, error) { return attention[float32](qkv, s) },
		func() (*G.Node, error) { return attention[float64](qkv, s) })
}

func attention[F kernel.Float](qkv *G.Node, s AttentionShape) (*G.Node, error) {
	var (
		rows, width = s.Batch * s.Context, s.Width()
		keys        = s.Heads * s.HeadDim        // first column of the keys
		vals        = keys + s.KVHeads*s.HeadDim // first column of the values
		rotated     []F                          // qkv after the rotary embedding
		lse         = make([]F, s.Heads*rows)    // log of each softmax's denominator
		cos         = make([]F, s.Context*s.HeadDim/2)
		sin         = make([]F, s.Context*s.HeadDim/2)
		scale       = F(1 / math.Sqrt(float64(s.HeadDim)))
		shape       = kernel.AttentionShape{
			Batch: s.Batch, Heads: s.Heads, KVHeads: s.KVHeads, HeadDim: s.HeadDim,
			Queries: s.Context, Keys: s.Context,
		}
	)
	kernel.RopeTable(cos, sin, s.Context, s.HeadDim, s.RopeBase)
	rotate := func(x []F, inverse bool) {
		kernel.Rope(x, cos, sin, len(x)/width, width, s.Heads+s.KVHeads, s.HeadDim, s.Context, 0, inverse)
	}
	o, y := newOp[F]("Attention", rows, s.Heads*s.HeadDim)
	var (
		back  *op
		known bool       // whether rotated can take the place of qkv
		own   *buffer[F] // of rotated, where it cannot
	)
	o.run = func(in []G.Value) error {
		rotated = values[F](in[0])
		if !known {
			known = true
			if !onlyRead(qkv, o, back) {
				own = &buffer[F]{elements: rows * width}
			}
		}
		if own != nil {
			rotated = own.allocate()
			copy(rotated, values[F](in[0]))
		}
		rotate(rotated, false)
		kernel.Attention(y.data, lse, rotated, width, rotated[keys:], width, rotated[vals:], width, shape, scale)
		return nil
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		var d *buffer[F]
		back, d = newOp[F]("AttentionGrad", rows, width)
		back.run = func(in []G.Value) error {
			d := d.data
			kernel.AttentionGrad(d, width, d[keys:], width, d[vals:], width, values[F](in[0]), y.data, lse,
				rotated, width, rotated[keys:], width, rotated[vals:], width, shape, scale)
			rotate(d, true)
			return nil
		}
		gradQKV, err := back.apply(grad, out, in[0]) // rotated may be where in[0] was
		return G.Nodes{gradQKV}, err
	}
	return o.apply(qkv)
}
