package layers

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/nn"
)

// RMSNorm scales each row to a root mean square of 1 and multiplies it by a
// learned gain, which starts at 1.
type RMSNorm struct {
	Gain *Parameter // [dim]
	Eps  float64    // added to the mean square
}

// NewRMSNorm adds the gain of a norm to the graph.
func NewRMSNorm(g *G.ExprGraph, name string, dim int, eps float64) *RMSNorm {
	gain := make([]float32, dim)
	for i := range gain {
		gain[i] = 1
	}
	return &RMSNorm{newParameter(g, arch.Parameter{Name: name, Shape: []int{dim}, Kind: arch.Norm}, gain), eps}
}

// Forward returns the node of the normalized input, [tokens, dim].
func (n *RMSNorm) Forward(x *G.Node) (*G.Node, error) {
	y, err := nn.RMSNorm(x, n.Gain.Node, n.Eps)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Gain.Name, err)
	}
	return y, nil
}

// Residual returns the node x + branch(n.Forward(x)), [tokens, dim]: see
// [nn.Residual].
func (n *RMSNorm) Residual(x *G.Node, branch func(normed *G.Node) (*G.Node, error)) (*G.Node, error) {
	y, err := nn.Residual(x, n.Gain.Node, n.Eps, branch)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Gain.Name, err)
	}
	return y, nil
}

// Parameters returns the gain; none of a norm that is nil.
func (n *RMSNorm) Parameters() []*Parameter {
	if n == nil {
		return nil
	}
	return []*Parameter{n.Gain}
}
