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

// rmsNormOps is what the forward and backward ops of a norm share.
type rmsNormOps[F kernel.Float] struct {
	node      *G.Node
	rows, dim int
	inv       []F // [rows]: factors of the last run
	back      *op

	known  bool         // whether reader is
	reader *integers[F] // of the only op that reads the node, nil if it has no codes
}

func rmsNorm[F kernel.Float](x, gain *G.Node, eps F) (*G.Node, error) {
	rows, dim := x.Shape()[0], x.Shape()[1]
	n := &rmsNormOps[F]{rows: rows, dim: dim, inv: make([]F, rows)}
	o, y := newOp[F]("RMSNorm", rows, dim)
	o.run = func(in []G.Value) error {
		x, gain := values[F](in[0]), values[F](in[1])
		c := n.quantizer()
		if c == nil {
			kernel.RMSNorm(y, n.inv, x, gain, rows, dim, eps)
			return nil
		}
		kernel.RMSNormQuantize(c.codes, c.scales, n.inv, x, gain, rows, dim, eps, c.maxCode())
		c.written = true
		return nil
	}
	o.diff = n.diff
	var err error
	n.node, err = o.apply(x, gain)
	return n.node, err
}

// quantizer returns the integers to write instead of the node's values, where
// nothing but a quantizer of rows reads them; nil otherwise. The graph is
// complete when it first runs.
func (n *rmsNormOps[F]) quantizer() *integers[F] {
	if !n.known {
		n.known = true
		count := 0
		for it := n.node.Graph().To(n.node.ID()); it.Next(); {
			reader := it.Node().(*G.Node)
			if o, ok := reader.Op().(*op); ok && o == n.back {
				continue // it waits for the node, but does not read it
			}
			n.reader = integersOf[F](reader)
			count++
		}
		if count != 1 {
			n.reader = nil
		}
	}
	if n.reader == nil || n.reader.maxCode == nil || n.reader.maxCode() == 0 {
		return nil
	}
	return n.reader
}

func (n *rmsNormOps[F]) diff(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
	back, dx := newOp[F]("RMSNormGrad", n.rows, n.dim)
	n.back = back
	dgain := make([]F, n.dim)
	back.run = func(in []G.Value) error {
		kernel.RMSNormGrad(dx, dgain, values[F](in[0]), values[F](in[1]), values[F](in[2]), n.inv, n.rows, n.dim)
		return nil
	}
	gradX, err := back.apply(grad, in[0], in[1], out)
	if err != nil {
		return nil, err
	}
	gradGain, err := pick(gradX, "RMSNormGradGain", dgain, n.dim)
	return G.Nodes{gradX, gradGain}, err
}
