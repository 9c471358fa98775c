package layers

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/arch"
)

// Transformer is the language model of trefoil/arch in a graph.
type Transformer struct {
	Config    arch.Config
	Embedding *Embedding
	Blocks    []*Block
	Norm      *RMSNorm
	Head      *Embedding // the Embedding, unless the head is untied
}

// NewTransformer adds the parameters of a model to the graph, drawn by the
// seed. With quantized, the linear layers inside blocks are BitLinear, ternary
// from the first run on; otherwise they are float32.
func NewTransformer(g *G.ExprGraph, c arch.Config, quantized bool, seed uint64) (*Transformer, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	linear := func(name string, in, out int, init Init) *BitLinear {
		if quantized {
			return NewBitLinear(g, name, in, out, init)
		}
		return NewLinear(g, name, in, out, init)
	}
	m := &Transformer{
		Config:    c,
		Embedding: NewEmbedding(g, arch.EmbeddingName, c.Vocab, c.Dim, Init{seed, InitStd}),
		Norm:      NewRMSNorm(g, arch.NormName, c.Dim, c.NormEps),
	}
	m.Head = m.Embedding
	if c.UntiedHead {
		m.Head = NewEmbedding(g, arch.HeadName, c.Vocab, c.Dim, Init{seed, InitStd})
	}
	for i := range c.Layers {
		m.Blocks = append(m.Blocks, newBlock(g, c, i, linear, seed))
	}
	return m, nil
}

// Forward returns the logits [batch*context, vocab] of int32 ids
// [batch*context].
func (m *Transformer) Forward(ids *G.Node, batch int) (*G.Node, error) {
	if want := batch * m.Config.Context; ids.Dims() != 1 || ids.Shape()[0] != want {
		return nil, fmt.Errorf("Transformer: ids %v; want (%d) for %d sequences of %d tokens", ids.Shape(), want, batch, m.Config.Context)
	}
	x, err := m.Embedding.Forward(ids)
	if err != nil {
		return nil, err
	}
	for _, b := range m.Blocks {
		if x, err = b.Forward(x, batch); err != nil {
			return nil, err
		}
	}
	if x, err = m.Norm.Forward(x); err != nil {
		return nil, err
	}
	return m.Head.Head(x)
}

// Linears returns the linear layers inside blocks, in the order of the model.
func (m *Transformer) Linears() []*BitLinear {
	var all []*BitLinear
	for _, b := range m.Blocks {
		all = append(all, b.Linears()...)
	}
	return all
}

// Parameters returns all parameters, in the order of [arch.Config.Parameters].
func (m *Transformer) Parameters() []*Parameter {
	all := m.Embedding.Parameters()
	for _, b := range m.Blocks {
		all = append(all, b.Parameters()...)
	}
	all = append(all, m.Norm.Gain)
	if m.Head != m.Embedding {
		all = append(all, m.Head.Parameters()...)
	}
	return all
}

// NewIDs adds an int32 vector of n token ids to the graph: an input of
// [Transformer.Forward], or the targets of [nn.CrossEntropy]. Write ids into
// the returned slice before a run.
func NewIDs(g *G.ExprGraph, name string, n int) (*G.Node, []int32) {
	ids := make([]int32, n)
	dense := tensor.New(tensor.WithShape(n), tensor.WithBacking(ids))
	return G.NewVector(g, tensor.Int32, G.WithShape(n), G.WithName(name), G.WithValue(dense)), ids
}
