package nn

import (
	"errors"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// RMSNorm returns the node x / sqrt(mean(x^2) + eps) * gain, row by row
// (Zhang and Sennrich 2019, arXiv:1910.07467, equation 4): x is
// [tokens, dim], gain [dim].
func RMSNorm(x, gain *G.Node, eps float64) (*G.Node, error) {
	const name = "RMSNorm"
	if err := checkNorm(name, x, gain); err != nil {
		return nil, err
	}
	return byType(name, x,
		func() (*G.Node, error) { return rmsNorm(x, gain, float32(eps), nil) },
		func() (*G.Node, error) { return rmsNorm(x, gain, eps, nil) })
}

// Residual returns the node x + branch(RMSNorm(x, gain, eps)): a branch of a
// transformer's block with its norm and its residual connection. It is what
// [RMSNorm] and [Add] make, but the gradients of both ways through x meet in
// the norm's backward op, and not in one of Gorgonia's own. The branch must have
// a derivative.
func Residual(x, gain *G.Node, eps float64, branch func(normed *G.Node) (*G.Node, error)) (*G.Node, error) {
	const name = "Residual"
	if err := checkNorm(name, x, gain); err != nil {
		return nil, err
	}
	s := new(skip)
	normed, err := byType(name, x,
		func() (*G.Node, error) { return rmsNorm(x, gain, float32(eps), s) },
		func() (*G.Node, error) { return rmsNorm(x, gain, eps, s) })
	if err != nil {
		return nil, err
	}
	y, err := branch(normed)
	if err != nil {
		return nil, err
	}
	if y == nil || !descends(y, normed) {
		s = nil // the norm gets no gradient: the sum gives x its own
	}
	return addTo(name, x, y, s)
}

// skip is a residual connection around a norm. The sum gives the connection no
// gradient of x but leaves its own, for the norm's backward op to add.
type skip struct{ grad *G.Node }

func checkNorm(name string, x, gain *G.Node) error {
	if !isMatrix(x) || gain.Dims() != 1 || gain.Shape()[0] != x.Shape()[1] || !sameType(x, gain) {
		return shapeError(name, "x [tokens, dim] and gain [dim] of one element type", x, gain)
	}
	return nil
}

// rmsNormOps is what the forward and backward ops of a norm share.
type rmsNormOps[F kernel.Float] struct {
	node      *G.Node
	rows, dim int
	inv       []F   // [rows]: factors of the last run
	skip      *skip // nil without one

	known  bool         // whether reader is
	reader *integers[F] // of the only op that reads the node, nil if it has no codes
}

func rmsNorm[F kernel.Float](x, gain *G.Node, eps F, s *skip) (*G.Node, error) {
	rows, dim := x.Shape()[0], x.Shape()[1]
	n := &rmsNormOps[F]{rows: rows, dim: dim, inv: make([]F, rows), skip: s}
	o, y := newOp[F]("RMSNorm", rows, dim)
	o.run = func(in []G.Value) error {
		x, gain := values[F](in[0]), values[F](in[1])
		c := n.quantizer()
		if c == nil {
			kernel.RMSNorm(y.data, n.inv, x, gain, rows, dim, eps)
			return nil
		}
		kernel.RMSNormQuantize(c.codes, c.scales, n.inv, x, gain, rows, dim, eps, c.maxCode())
		c.written, o.unwritten = true, true
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
			if waitsFor(reader, n.node) {
				continue
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
	dgain := make([]F, n.dim)
	inputs := G.Nodes{grad, in[0], in[1]}
	if n.skip != nil {
		if n.skip.grad == nil {
			return nil, errors.New("Residual: no gradient comes to the sum: differentiate what is computed from it")
		}
		inputs = append(inputs, n.skip.grad)
	}
	back.run = func(in []G.Value) error {
		var around []F
		if n.skip != nil {
			around = values[F](in[3])
		}
		kernel.RMSNormGrad(dx.data, dgain, values[F](in[0]), values[F](in[1]), values[F](in[2]), n.inv, around, n.rows, n.dim)
		return nil
	}
	back.waits = G.Nodes{out}
	gradX, err := back.apply(inputs...)
	if err != nil {
		return nil, err
	}
	gradGain, err := pick(gradX, "RMSNormGradGain", dgain, n.dim)
	return G.Nodes{gradX, gradGain}, err
}
