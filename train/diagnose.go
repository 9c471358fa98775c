package train

import (
	"fmt"
	"strings"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/internal/kernel"
	"trefoil/nn"
)

// firstNonFinite computes the loss of the batch at hand again and describes
// the first node, in the order of the forward pass, whose value is not finite;
// "" when all are finite.
func (g *Graph) firstNonFinite() string {
	_ = g.Evaluate() // which fails, if at all, at the values that are sought
	sorted, err := G.Sort(g.loss.Graph().ExactSubgraphRoots(g.loss))
	if err != nil {
		return ""
	}
	for i := len(sorted) - 1; i >= 0; i-- { // Sort begins at the results
		node := sorted[i]
		dense, ok := node.Value().(*tensor.Dense)
		if !ok || !nn.Written(node) {
			continue
		}
		if data, ok := dense.Data().([]float32); ok && kernel.FirstNonFinite(data) >= 0 {
			return describe(node)
		}
	}
	return ""
}

// describe names a node by its operation and the parameters that it uses, or
// else by the node that it follows: "Attention behind Linear of
// blocks.0.attention.q".
func describe(n *G.Node) string {
	if n.Op() == nil {
		return n.Name()
	}
	var parameters []string
	inputs := nn.Operands(n)
	for _, c := range inputs {
		for c.Op() != nil && strings.HasPrefix(c.Op().String(), "FakeQuantWeight") {
			c = nn.Operands(c)[0]
		}
		if c.Op() == nil {
			parameters = append(parameters, c.Name())
		}
	}
	if len(parameters) > 0 {
		return fmt.Sprintf("%s of %s", n.Op(), strings.Join(parameters, ", "))
	}
	return fmt.Sprintf("%s behind %s", n.Op(), describe(inputs[0]))
}
