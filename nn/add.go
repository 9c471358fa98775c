package nn

import (
	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// Add returns the node a + b for two nodes of one shape: a residual
// connection. Unlike Gorgonia's own Add it never overwrites an operand.
func Add(a, b *G.Node) (*G.Node, error) {
	return addTo("Add", a, b, nil)
}

// addTo returns a + b. With a skip, the gradient of a is left to that.
func addTo(name string, a, b *G.Node, s *skip) (*G.Node, error) {
	if !a.Shape().Eq(b.Shape()) || a.Dims() == 0 || !sameType(a, b) {
		return nil, shapeError(name, "two tensors of one shape and element type", a, b)
	}
	return byType(name, a,
		func() (*G.Node, error) { return add[float32](name, a, b, s) },
		func() (*G.Node, error) { return add[float64](name, a, b, s) })
}

func add[F kernel.Float](name string, a, b *G.Node, s *skip) (*G.Node, error) {
	o, y := newOp[F](name, a.Shape()...)
	o.run = func(in []G.Value) error {
		kernel.Add(y.data, values[F](in[0]), values[F](in[1]))
		return nil
	}
	o.diff = func(_ G.Nodes, _, grad *G.Node) (G.Nodes, error) { return G.Nodes{grad, grad}, nil }
	if s != nil {
		o.hasGradient = []bool{false, true}
		o.diff = func(_ G.Nodes, _, grad *G.Node) (G.Nodes, error) {
			s.grad = grad
			return G.Nodes{nil, grad}, nil
		}
	}
	return o.apply(a, b)
}
