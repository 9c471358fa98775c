package nn

import (
	"errors"
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// learning is a rule whose scales are learned.
type learning[F kernel.Float] interface {
	// steps writes the scale of the codes of each group.
	steps(scales []float32, learned []F)
	// backward writes the gradients of the values and of what is learned.
	backward(dx, dlearned, dy, x, learned []F)
}

// lsq learns the step size (Esser et al. 2020, arXiv:1902.08153).
type lsq[F kernel.Float] struct {
	layout quant.Layout
	grid   quant.Grid
}

func (l lsq[F]) steps(scales []float32, learned []F) {
	for g, s := range learned {
		scales[g] = float32(s)
	}
}

func (l lsq[F]) backward(dx, dlearned, dy, x, learned []F) {
	quant.LSQBackward(dx, dlearned, dy, x, learned, l.layout, l.grid)
}

// seq learns the range (ParetoQ; Liu et al. 2025, arXiv:2502.02631).
type seq[F kernel.Float] struct {
	layout quant.Layout
	bits   float64
}

func (s seq[F]) steps(scales []float32, learned []F) {
	for g, alpha := range learned {
		scales[g] = float32(quant.SEQStep(alpha, s.bits))
	}
}

func (s seq[F]) backward(dx, dlearned, dy, x, learned []F) {
	quant.SEQBackward(dx, dlearned, dy, x, learned, s.layout, s.bits)
}

// newLearning returns how the scales of a rule are learned.
func newLearning[F kernel.Float](name string, r rule, layout quant.Layout) (learning[F], error) {
	if r.learned.Dims() != 1 || r.learned.Shape()[0] != layout.Groups {
		return nil, shapeError(name, fmt.Sprintf("[%d] learned scales", layout.Groups), r.learned)
	}
	if r.estimator != "" {
		return nil, fmt.Errorf("%s: a learned scale has the gradient of its paper: leave the estimator %q out", name, r.estimator)
	}
	scalar, ok := r.quantizer.(*quant.Scalar)
	if !ok {
		return nil, fmt.Errorf("%s: %T has no scales that are learned: use quant.New with scale lsq or seq", name, r.quantizer)
	}
	switch c := scalar.Config(); c.Scale {
	case quant.LSQ:
		return lsq[F]{layout, c.Grid()}, nil
	case quant.SEQ:
		return seq[F]{layout, c.Bits}, nil
	default:
		return nil, fmt.Errorf("%s: the scale %s is not learned: use lsq or seq", name, c.Scale)
	}
}

// LearnedScales returns where the learned scales of a tensor of that shape
// begin: step sizes if the rule is LSQ, ranges if it is SEQ, nil for other
// rules.
func LearnedScales(rule quant.Quantizer, x []float32, shape ...int) ([]float32, error) {
	scalar, ok := rule.(*quant.Scalar)
	if !ok {
		return nil, nil
	}
	c := scalar.Config()
	if c.Scale != quant.LSQ && c.Scale != quant.SEQ {
		return nil, nil
	}
	t, err := scalar.Quantize(x, shape...)
	if err != nil {
		return nil, err
	}
	if c.Scale == quant.SEQ { // SEQStep is linear
		for g := range t.Scales {
			t.Scales[g] /= quant.SEQStep[float32](1, c.Bits)
		}
	}
	return t.Scales, nil
}

func (n *ruled[F]) diffLearned(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
	back, dx := newOp[F]("FakeQuantGrad", n.shape...)
	dlearned := make([]F, n.tensor.Layout.Groups)
	back.run = func(in []G.Value) error {
		m := n.now()
		dy, dx, lambda := values[F](in[0]), dx.data, F(m.lambda)
		rounded, release := n.rounded(dy, m)
		defer release()
		n.learning.backward(dx, dlearned, rounded, values[F](in[1]), values[F](in[2]))
		if lambda != 1 { // of x + lambda (Q(x) - x)
			for i := range dx {
				dx[i] = (1-lambda)*dy[i] + lambda*dx[i]
			}
			for g := range dlearned {
				dlearned[g] *= lambda
			}
		}
		n.eachRun(func(_, lo, hi int) { spare(m.noise, dx[lo:hi], dy[lo:hi], m.seed+uint64(lo), m.step) })
		return nil
	}
	back.waits = G.Nodes{out}
	gradX, err := back.apply(grad, in[0], in[1])
	if err != nil {
		return nil, err
	}
	gradScales, err := pick(gradX, "FakeQuantGradScales", dlearned, len(dlearned))
	return G.Nodes{gradX, gradScales}, err
}

// rounded returns the gradient of the values that were rounded: zero for those
// that block noise left as they were.
func (n *ruled[F]) rounded(dy []F, m moment) (masked []F, release func()) {
	if m.noise.Kind != quant.BlockNoise {
		return dy, func() {}
	}
	masked, release = borrow[F](len(dy))
	zeros, releaseZeros := borrow[F](len(dy))
	defer releaseZeros()
	copy(masked, dy)
	clear(zeros)
	n.eachRun(func(_, lo, hi int) { spare(m.noise, masked[lo:hi], zeros[lo:hi], m.seed+uint64(lo), m.step) })
	return masked, release
}

// PACT returns the node of x clipped to [0, alpha], alpha [1] being learned,
// and rounded to 2^bits levels (Choi et al. 2018, arXiv:1805.06085, equations
// 1 and 2): an activation and its quantizer at once, of 2 to 7 bits. The
// gradient is that of the clip (equation 3).
func PACT(x, alpha *G.Node, bits int) (*G.Node, error) {
	const name = "PACT"
	if x == nil || alpha == nil || !isBatch(x) || alpha.Dims() != 1 || alpha.Shape()[0] != 1 || !sameType(x, alpha) {
		return nil, shapeError(name, "x [tokens, in] and alpha [1] of one element type", x, alpha)
	}
	if bits < 2 || bits > 7 {
		return nil, fmt.Errorf("%s: %d bits are not supported: use 2 to 7", name, bits)
	}
	return byType(name, x,
		func() (*G.Node, error) { return pact[float32](x, alpha, bits) },
		func() (*G.Node, error) { return pact[float64](x, alpha, bits) })
}

func pact[F kernel.Float](x, alpha *G.Node, bits int) (*G.Node, error) {
	o, y := newOp[F]("PACT", x.Shape()...)
	c := &integers[F]{codes: make([]int8, x.Shape().TotalSize()), scales: make([]F, 1), exact: func() bool { return true }}
	o.integers = c
	o.run = func(in []G.Value) error {
		alpha, y := values[F](in[1])[0], y.data
		if !(alpha > 0) {
			return errors.New("the learned clip is no longer positive: train with a lower learning rate or more weight decay")
		}
		quant.PACTForward(y, values[F](in[0]), alpha)
		c.scales[0] = alpha / F(int(1)<<bits-1)
		kernel.QuantizeRowsStatic(c.codes, y, 1, len(y), c.scales[0], 1<<bits-1)
		kernel.Blend(y, y, c.codes, c.scales[0], 1)
		return nil
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		back, dx := newOp[F]("PACTGrad", in[0].Shape()...)
		dalpha := make([]F, 1)
		back.run = func(in []G.Value) error {
			dalpha[0] = quant.PACTBackward(dx.data, values[F](in[0]), values[F](in[1]), values[F](in[2])[0])
			return nil
		}
		back.waits = G.Nodes{out}
		gradX, err := back.apply(grad, in[0], in[1])
		if err != nil {
			return nil, err
		}
		gradAlpha, err := pick(gradX, "PACTGradAlpha", dalpha, 1)
		return G.Nodes{gradX, gradAlpha}, err
	}
	return o.apply(x, alpha)
}
