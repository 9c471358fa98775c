package nn

import (
	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// BiasReLU returns the node max(x + bias, 0): x has any number of dimensions,
// bias [channels] is added along the last one.
func BiasReLU(x, bias *G.Node) (*G.Node, error) {
	const name = "BiasReLU"
	if !isBatch(x) || bias.Dims() != 1 || bias.Shape()[0] != x.Shape()[x.Dims()-1] || !sameType(x, bias) {
		return nil, shapeError(name, "x [..., channels] and bias [channels] of one element type", x, bias)
	}
	return byType(name, x,
		func() (*G.Node, error) { return biasReLU[float32](x, bias) },
		func() (*G.Node, error) { return biasReLU[float64](x, bias) })
}

func biasReLU[F kernel.Float](x, bias *G.Node) (*G.Node, error) {
	shape, cols := x.Shape(), bias.Shape()[0]
	rows := shape.TotalSize() / cols
	o, y := newOp[F]("BiasReLU", shape...)
	o.run = func(in []G.Value) error {
		kernel.BiasReLU(y.data, values[F](in[0]), values[F](in[1]), rows, cols)
		return nil
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		back, dx := newOp[F]("BiasReLUGrad", shape...)
		dbias := make([]F, cols)
		back.run = func(in []G.Value) error {
			kernel.BiasReLUGrad(dx.data, dbias, values[F](in[0]), values[F](in[1]), rows, cols)
			return nil
		}
		gradX, err := back.apply(grad, out)
		if err != nil {
			return nil, err
		}
		gradBias, err := pick(gradX, "BiasReLUGradBias", dbias, cols)
		return G.Nodes{gradX, gradBias}, err
	}
	return o.apply(x, bias)
}

// Flatten returns the node of x [batch, ...] as a matrix [batch, features].
func Flatten(x *G.Node) (*G.Node, error) {
	const name = "Flatten"
	if !isBatch(x) {
		return nil, shapeError(name, "x [batch, ...]", x)
	}
	rows := x.Shape()[0]
	cols := x.Shape().TotalSize() / rows
	return byType(name, x,
		func() (*G.Node, error) { return reshape[float32](name, x, rows, cols) },
		func() (*G.Node, error) { return reshape[float64](name, x, rows, cols) })
}

// reshape copies: an op owns what it returns.
func reshape[F kernel.Float](name string, x *G.Node, shape ...int) (*G.Node, error) {
	o, y := newOp[F](name, shape...)
	o.run = func(in []G.Value) error {
		copy(y.data, values[F](in[0]))
		return nil
	}
	o.diff = func(in G.Nodes, _, grad *G.Node) (G.Nodes, error) {
		gradX, err := reshape[F](name+"Grad", grad, in[0].Shape()...)
		return G.Nodes{gradX}, err
	}
	return o.apply(x)
}
