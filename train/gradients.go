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
	model      []G.ValueGrad // the parameters with their gradients, for a solver
}

func newGradients(parameters []*layers.Parameter, passes int) *gradients {
	g := &gradients{parameters: parameters, passes: passes}
	if passes > 1 {
		for _, p := range parameters {
			g.sums = append(g.sums, tensor.New(tensor.WithShape(p.Shape...), tensor.Of(tensor.Float32)))
		}
	}
	for i, p := range parameters {
		if passes > 1 {
			g.model = append(g.model, summed{p.Node, g.sums[i]})
		} else {
			g.model = append(g.model, p.Node)
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
		s := numbers(sum)
		if i == 0 {
			clear(s)
		}
		kernel.Combine(s, 1, s, 1/float32(g.passes), d)
	}
	return nil
}

type summed struct {
	*G.Node
	sum G.Value
}

func (s summed) Grad() (G.Value, error) { return s.sum, nil }
