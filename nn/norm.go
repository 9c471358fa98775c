package nn

import (
	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// RMSNorm returns the node x / sqrt(mean(x^2) + eps) * gain, row by row
// (Zhang and Sennrich 2019, arXiv:1910.07467, equation 4): x is
// [tokens, dim], gain [dim].
func RMSNorm(x, gain *G.Node, eps float64) (*G.Node, error) {
	const name = "RMSNorm"
	if !isMatrix(x) || gain.Dims() != 1 || gain.Shape()[0] != x.Shape()[1] || !sameType(x, gain) {
		return nil, shapeError(name, "x [tokens, dim] and gain [dim] of one element type", x, gain)
	}
	return byType(name, x,
		func() (*G.Node, error) { return rmsNorm(x, gain, float32(eps)) },
		func() (*G.Node, error) { return rmsNorm(x, gain, eps) })
}

func rmsNorm[F kernel.Float](x, gain *G.Node, eps F) (*G.Node, error) {
	rows, dim := x.Shape()[0], x.Shape()[1]
	o, y := newOp[F]("RMSNorm", rows, dim)
	inv := make([]F, rows)
	o.run = func(in []G.Value) error {
		kernel.RMSNorm(y, inv, values[F](in[0]), values[F](in[1]), rows, dim, eps)
		return nil
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		back, dx := newOp[F]("RMSNormGrad", rows, dim)
		dgain := make([]F, dim)
		back.run = func(in []G.Value) error {
			kernel.RMSNormGrad(dx, dgain, values[F](in[0]), values[F](in[1]), values[F](in[2]), inv, rows, dim)
			return nil
		}
		gradX, err := back.apply(grad, in[0], in[1], out)
		if err != nil {
			return nil, err
		}
		gradGain, err := pick(gradX, "RMSNormGradGain", dgain, dim)
		return G.Nodes{gradX, gradGain}, err
	}
	return o.apply(x, gain)
}
