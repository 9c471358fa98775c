package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/internal/kernel"
)

// Embedding returns the rows of table [vocab, dim] that ids [tokens] names,
// an int32 node: the result is [tokens, dim]. An id outside the vocabulary
// is an error of the run. The gradient of the table adds up the rows of
// equal ids in their order. A table that is the head of the model too is better
// read by [TiedHead].
func Embedding(table, ids *G.Node) (*G.Node, error) {
	const name = "Embedding"
	if !isMatrix(table) || ids.Dims() != 1 || ids.Dtype() != tensor.Int32 {
		return nil, shapeError(name, "table [vocab, dim] and int32 ids [tokens]", table, ids)
	}
	return byType(name, table,
		func() (*G.Node, error) { return embedding[float32](table, ids) },
		func() (*G.Node, error) { return embedding[float64](table, ids) })
}

func embedding[F kernel.Float](table, ids *G.Node) (*G.Node, error) {
	vocab, dim, tokens := table.Shape()[0], table.Shape()[1], ids.Shape()[0]
	o, y := newOp[F]("Embedding", tokens, dim)
	head := new(tied[F])
	o.tied = head
	o.run = func(in []G.Value) error {
		table, ids := values[F](in[0]), values[int32](in[1])
		for t, id := range ids {
			if id < 0 || int(id) >= vocab {
				return fmt.Errorf("token id %d at position %d is outside the vocabulary of %d", id, t, vocab)
			}
		}
		kernel.CopyRows(y.data, table, ids, dim)
		return nil
	}
	o.hasGradient = []bool{true, false}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		d := head.grad
		if d == nil {
			d = make([]F, vocab*dim)
		}
		back := newOpOn("EmbeddingGrad", d, vocab, dim)
		back.run = func(in []G.Value) error {
			if head.grad == nil {
				clear(d)
			}
			kernel.AddRows(d, values[F](in[0]), values[int32](in[1]), dim)
			return nil
		}
		back.waits = G.Nodes{out}
		if head.node != nil {
			back.waits = append(back.waits, head.node)
		}
		gradTable, err := back.apply(grad, in[1])
		return G.Nodes{gradTable, nil}, err
	}
	return o.apply(table, ids)
}

// tied is the gradient of an embedding's table as the head of the model gives
// it, to which the embedding adds its own: nil where there is no such head.
type tied[F kernel.Float] struct {
	node *G.Node
	grad []F
}

// TiedHead returns the node x table^T of logits [tokens, vocab] for x
// [tokens, dim], the table being that of the embedding, a node that
// [Embedding] made (Press and Wolf 2017, arXiv:1608.05859). It is what [Linear]
// makes, but where x is computed from the embedding, the table's gradients as
// its first head and as embedding come together in one memory.
func TiedHead(x, embedding *G.Node) (*G.Node, error) {
	const name = "TiedHead"
	if o, ok := embedding.Op().(*op); !ok || o.tied == nil {
		return nil, fmt.Errorf("%s: %s is not an embedding: use the node that Embedding returned", name, embedding.Name())
	}
	if !isMatrix(x) || x.Shape()[1] != embedding.Shape()[1] || !sameType(x, embedding) {
		return nil, shapeError(name, "x [tokens, dim] and an embedding [tokens, dim] of one element type", x, embedding)
	}
	o := embedding.Op().(*op)
	if o.hasHead || !descends(x, embedding) {
		return Linear(x, Operands(embedding)[0])
	}
	o.hasHead = true
	return byType(name, x,
		func() (*G.Node, error) { return tiedHead[float32](name, x, embedding) },
		func() (*G.Node, error) { return tiedHead[float64](name, x, embedding) })
}

func tiedHead[F kernel.Float](name string, x, embedding *G.Node) (*G.Node, error) {
	t, table := embedding.Op().(*op).tied.(*tied[F]), Operands(embedding)[0]
	o, l := linearOp[F](name, x, G.Nodes{table}, x.Shape()[0], table.Shape()[0])
	o.hasGradient = []bool{true, false}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		gradW, dw, err := l.gradWeights(in, out, grad)
		if err != nil {
			return nil, err
		}
		t.node, t.grad = gradW[0], dw
		gradX, err := l.gradInput(in, gradW[0], grad)
		return G.Nodes{gradX, nil}, err
	}
	return o.apply(x, table)
}
