package layers

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/nn"
)

// Embedding is a table of token vectors. It stays in float32 and usually serves
// as the head too, so that inputs and outputs share it (Press and Wolf 2017,
// arXiv:1608.05859).
type Embedding struct {
	Table *Parameter // [vocab, dim]

	rows *G.Node // what Forward returned
}

// NewEmbedding adds a table to the graph.
func NewEmbedding(g *G.ExprGraph, name string, vocab, dim int, init Init) *Embedding {
	return &Embedding{Table: init.tensor(g, name, arch.Embedding, vocab, dim)}
}

// Forward returns the vectors [tokens, dim] of int32 ids [tokens].
func (e *Embedding) Forward(ids *G.Node) (*G.Node, error) {
	y, err := nn.Embedding(e.Table.Node, ids)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Table.Name, err)
	}
	e.rows = y
	return y, nil
}

// Head returns the logits [tokens, vocab] of hidden vectors [tokens, dim].
// After Forward it is tied to the embedding: see [nn.TiedHead].
func (e *Embedding) Head(x *G.Node) (y *G.Node, err error) {
	if e.rows != nil {
		y, err = nn.TiedHead(x, e.rows)
	} else {
		y, err = nn.Linear(x, e.Table.Node)
	}
	if err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	return y, nil
}

// Parameters returns the table.
func (e *Embedding) Parameters() []*Parameter { return []*Parameter{e.Table} }
