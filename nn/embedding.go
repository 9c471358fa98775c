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
// equal ids in their order.
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
	o.run = func(in []G.Value) error {
		table, ids := values[F](in[0]), values[int32](in[1])
		for t, id := range ids {
			if id < 0 || int(id) >= vocab {
				return fmt.Errorf("token id %d at position %d is outside the vocabulary of %d", id, t, vocab)
			}
			copy(y[t*dim:(t+1)*dim], table[int(id)*dim:])
		}
		return nil
	}
	o.hasGradient = []bool{true, false}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		back, d := newOp[F]("EmbeddingGrad", vocab, dim)
		back.run = func(in []G.Value) error {
			dy, ids := values[F](in[0]), values[int32](in[1])
			clear(d)
			for t, id := range ids {
				row := d[int(id)*dim : (int(id)+1)*dim]
				for i, v := range dy[t*dim : (t+1)*dim] {
					row[i] += v
				}
			}
			return nil
		}
		gradTable, err := back.apply(grad, in[1], out)
		return G.Nodes{gradTable, nil}, err
	}
	return o.apply(table, ids)
}
