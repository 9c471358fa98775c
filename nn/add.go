package nn

import (
	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// Add returns the node a + b for two nodes of one shape: a residual
// connection. Unlike Gorgonia's own Add it never overwrites an operand.
func Add(a, b *G.Node) (*G.Node, error) {
	const name = "Add"
	if !a.Shape().Eq(b.Shape()) || a.Dims() == 0 || !sameType(a, b) {
		return nil, shapeError(name, "two tensors of one shape and element type", a, b)
	}
	return byType(name, a,
		func() (*G.Node, error) { return add[float32](a, b) },
		func() (*G.Node, error) { return add[float64](a, b) })
}

func add[F kernel.Float](a, b *G.Node) (*G.Node, error) {
	o, y := newOp[F]("Add", a.Shape()...)
	o.run = func(in []G.Value) error {
		kernel.Add(y, values[F](in[0]), values[F](in[1]))
		return nil
	}
	o.diff = func(_ G.Nodes, _, grad *G.Node) (G.Nodes, error) { return G.Nodes{grad, grad}, nil }
	return o.apply(a, b)
}
