package train

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/internal/kernel"
	"trefoil/layers"
)

// gradients adds up the gradients of several passes into the mean, as one
// large batch would have given them.
type gradients struct {
	parameters []*layers.Parameter
	sums       []*tensor.Dense // nil when an update takes one pass
	passes     int
}

func newGradients(parameters []*layers.Parameter, passes int) *gradients {
	g := &gradients{parameters: parameters, passes: passes}
	if passes > 1 {
		for _, p := range parameters {
			g.sums = append(g.sums, tensor.New(tensor.WithShape(p.Shape...), tensor.Of(tensor.Float32)))
		}
	}
	return g
}

// add takes the gradients of a pass, the i-th of the update.
func (g *gradients) add(i int) error {
	for j, sum := range g.sums {
		d, err := g.parameters[j].Gradient()
		if err != nil {
			return err
		}
		s := sum.Data().([]float32)
		if i == 0 {
			clear(s)
		}
		kernel.Combine(s, 1, s, 1/float32(g.passes), d)
	}
	return nil
}

// model returns the parameters with their gradients for a solver.
func (g *gradients) model() []G.ValueGrad {
	model := make([]G.ValueGrad, len(g.parameters))
	for i, p := range g.parameters {
		model[i] = p.Node
		if g.sums != nil {
			model[i] = summed{p.Node, g.sums[i]}
		}
	}
	return model
}

type summed struct {
	*G.Node
	sum G.Value
}

func (s summed) Grad() (G.Value, error) { return s.sum, nil }
