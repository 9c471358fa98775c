package nn

import (
	"fmt"
	"slices"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// moment is what a quantizer does in one run of the graph.
type moment struct {
	lambda     float64
	noise      quant.Noise
	seed, step uint64
}

func (m moment) exact() bool { return m.lambda == 1 && !m.noise.Enabled() }

// draw numbers the draws of stochastic rounding: 0 at step 0, and from there
// on each seed's own.
func (m moment) draw() uint64 { return m.step * (m.seed | 1) }

// rule is a quantizer of trefoil/quant as a node uses it.
type rule struct {
	quantizer    quant.Quantizer
	learned      *G.Node // scales, nil if the quantizer finds them
	estimator    quant.Estimator
	now          func() moment
	gradientBits func() int
}

// ruled is the state of a fake-quant node by a rule.
type ruled[F kernel.Float] struct {
	rule
	learning learning[F] // nil if the quantizer finds the scales
	shape    []int
	tensor   quant.Tensor
	single   []float32    // the node's input in float32, where F is float64
	integers *integers[F] // nil when a product cannot multiply the codes
	scales   []F          // of tensor
	readers  readers
}

// fakeQuantByRule adds a node by a rule. The quantizer is tried on zeros, so
// that a shape that does not suit it is an error now.
func fakeQuantByRule(name string, x *G.Node, r rule) (*G.Node, error) {
	return byType(name, x,
		func() (*G.Node, error) { return newRuled[float32](name, x, r) },
		func() (*G.Node, error) { return newRuled[float64](name, x, r) })
}

func newRuled[F kernel.Float](name string, x *G.Node, r rule) (*G.Node, error) {
	o, y := newOp[F](name, x.Shape()...)
	n := &ruled[F]{rule: r, shape: x.Shape()}
	if err := n.quantizer.QuantizeInto(&n.tensor, make([]float32, x.Shape().TotalSize()), n.shape...); err != nil {
		return nil, fmt.Errorf("%s: got %s %v: %w", name, x.Name(), x.Shape(), err)
	}
	n.scales = make([]F, n.tensor.Layout.Groups)
	if group, ok := n.multiplies(); ok {
		n.integers = &integers[F]{exact: func() bool { return n.now().exact() }, gradientBits: r.gradientBits, scales: n.scales, group: group}
		n.integers.ternary = n.tensor.Grid.Min == -1 && n.tensor.Grid.Max == 1
		o.integers = n.integers
	}
	inputs := G.Nodes{x}
	if r.learned != nil {
		var err error
		if n.learning, err = newLearning[F](name, r, n.tensor.Layout); err != nil {
			return nil, err
		}
		inputs = append(inputs, r.learned)
	}
	o.run = func(in []G.Value) (err error) {
		o.unwritten, err = n.run(y.data, in)
		return err
	}
	o.diff = n.diff
	var err error
	n.readers.node, err = o.apply(inputs...)
	return n.readers.node, err
}

// multiplies reports whether codes and scales are such as products take: no
// zero points, and one scale, one for each index of the first axis, or one for
// each group of a row, a row being all of an index.
func (n *ruled[F]) multiplies() (group int, ok bool) {
	l, row := n.tensor.Layout, len(n.tensor.Codes)/n.shape[0]
	switch {
	case len(n.tensor.Zeros) > 0 || l.Runs > 1:
		return 0, false
	case l.Groups == 1 || l.Groups == n.shape[0]:
		return 0, true
	}
	return l.Run, row%l.Run == 0
}

// run writes y, or leaves it alone, having found codes, where nobody reads it.
func (n *ruled[F]) run(y []F, in []G.Value) (unwritten bool, err error) {
	x, m := values[F](in[0]), n.now()
	if m.lambda == 0 && !m.noise.Enabled() {
		copy(y, x)
		return false, nil
	}
	n.tensor.Draw = m.draw()
	if err := n.encode(x, in[1:]); err != nil {
		return false, err
	}
	if n.integers != nil {
		n.integers.codes = n.tensor.Codes
		if m.exact() && !n.readers.wantValues() {
			return true, nil
		}
	}
	n.eachRun(func(group, lo, hi int) {
		n.blend(y[lo:hi], x[lo:hi], n.tensor.Codes[lo:hi], group, F(m.lambda))
	})
	return false, n.disturb(y, x, m)
}

// disturb adds the noise: each run has a stream of its own and the step of its
// group, but measured noise draws from the errors of the whole tensor.
func (n *ruled[F]) disturb(y, x []F, m moment) error {
	if err := m.noise.Validate(); err != nil || !m.noise.Enabled() {
		return err
	}
	switch m.noise.Kind {
	case quant.MeasuredNoise:
		errors, release := borrow[F](len(x))
		defer release()
		n.eachRun(func(group, lo, hi int) {
			n.blend(errors[lo:hi], x[lo:hi], n.tensor.Codes[lo:hi], group, 1)
			kernel.Combine(errors[lo:hi], 1, errors[lo:hi], -1, x[lo:hi])
		})
		quant.ApplyErrors(y, errors, m.noise.Strength, m.seed, m.step)
	default:
		n.eachRun(func(group, lo, hi int) {
			step := n.scales[group] * F(n.tensor.Grid.Step)
			_ = quant.Apply(m.noise, y[lo:hi], x[lo:hi], step, m.seed+uint64(lo), m.step) // the noise is valid
		})
	}
	return nil
}

// encode finds the codes and scales of x.
func (n *ruled[F]) encode(x []F, learned []G.Value) error {
	var err error
	if n.learning != nil {
		scales := values[F](learned[0])
		if g := slices.IndexFunc(scales, func(s F) bool { return !(s > 0) }); g >= 0 {
			return fmt.Errorf("the learned scale %d is %v, no longer positive: lower the learning rate, at least that of %s", g, scales[g], n.learned.Name())
		}
		n.learning.steps(n.tensor.Scales, scales)
		err = n.quantizer.Encode(&n.tensor, n.float32(x), n.shape...)
	} else {
		err = n.quantizer.QuantizeInto(&n.tensor, n.float32(x), n.shape...)
	}
	for g, s := range n.tensor.Scales {
		n.scales[g] = F(s)
	}
	return err
}

// float32 returns x in float32, in which quantizers work.
func (n *ruled[F]) float32(x []F) []float32 {
	if x, ok := any(x).([]float32); ok {
		return x
	}
	n.single = n.single[:0]
	for _, v := range x {
		n.single = append(n.single, float32(v))
	}
	return n.single
}

// eachRun calls body with each run of consecutive elements of each group.
func (n *ruled[F]) eachRun(body func(group, lo, hi int)) {
	l := n.tensor.Layout
	kernel.Parallel(l.Groups, func(g int) {
		for r := range l.Runs {
			lo := l.Start(g) + r*l.Stride
			body(g, lo, lo+l.Run)
		}
	})
}

// blend writes y = x + lambda ((code-zero)*scale - x).
func (n *ruled[F]) blend(y, x []F, codes []int8, group int, lambda F) {
	if len(n.tensor.Zeros) == 0 {
		kernel.Blend(y, x, codes, n.scales[group], lambda)
		return
	}
	zero, scale := int(n.tensor.Zeros[group]), n.scales[group]
	for i, c := range codes {
		q := F(int(c)-zero) * scale
		if lambda == 1 {
			y[i] = q
		} else {
			y[i] = x[i] + lambda*(q-x[i])
		}
	}
}

func (n *ruled[F]) diff(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
	if n.learning != nil {
		return n.diffLearned(in, out, grad)
	}
	e := n.fittingEstimator()
	if isIdentity(e) {
		return G.Nodes{grad}, nil
	}
	back, dx := newOp[F]("FakeQuantGrad", n.shape...)
	back.run = func(in []G.Value) error {
		grad, x, dx, m := values[F](in[0]), values[F](in[1]), dx.data, n.now()
		if m.lambda == 0 {
			copy(dx, grad)
			return nil
		}
		grid := n.tensor.Grid
		n.eachRun(func(group, lo, hi int) {
			zero := 0.0
			if len(n.tensor.Zeros) > 0 {
				zero = float64(n.tensor.Zeros[group])
			}
			backward(e, dx[lo:hi], grad[lo:hi], x[lo:hi], float64(n.scales[group]), m.lambda, float64(grid.Min)-zero, float64(grid.Max)-zero)
			spare(m.noise, dx[lo:hi], grad[lo:hi], m.seed+uint64(lo), m.step)
		})
		return nil
	}
	back.waits = G.Nodes{out}
	dx1, err := back.apply(grad, in[0])
	return G.Nodes{dx1}, err
}

// fittingEstimator is the estimator of the rule: if none was chosen, identity
// on binary and ternary grids, whose weights shall come back from beyond, and
// clipped on finer ones.
func (n *ruled[F]) fittingEstimator() quant.Estimator {
	if n.estimator == "" && n.tensor.Grid.Levels() > 3 {
		return quant.Clipped
	}
	return n.estimator
}
