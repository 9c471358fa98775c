package layers

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/nn"
	"trefoil/quant"
)

// BitLinear is the linear layer y = Q(x) Q(W)^T of BitNet b1.58
// (arXiv:2402.17764, section 2) without bias: ternary weights with one scale,
// 8-bit activations with one scale a token, and straight-through gradients.
type BitLinear struct {
	// Weight is the matrix [out, in] in float32, the one that learns.
	Weight *Parameter
	// Weights quantizes it; nil leaves it in float32.
	Weights *nn.WeightQuantizer
	// Activations quantizes the input; nil leaves it in float32.
	Activations *nn.ActivationQuantizer
}

// NewBitLinear adds the weights of a quantized layer to the graph.
func NewBitLinear(g *G.ExprGraph, name string, in, out int, init Init) *BitLinear {
	l := NewLinear(g, name, in, out, init)
	l.Weights = &nn.WeightQuantizer{Lambda: 1, Seed: init.Seed ^ nameSeed(name)}
	l.Activations = &nn.ActivationQuantizer{Bits: 8, Lambda: 1}
	return l
}

// NewLinear adds the weights of a float32 layer to the graph: a BitLinear
// without quantizers.
func NewLinear(g *G.ExprGraph, name string, in, out int, init Init) *BitLinear {
	return &BitLinear{Weight: init.matrix(g, name, arch.Linear, out, in)}
}

// Forward returns the node of the layer's output [tokens, out] for an input
// [tokens, in].
func (l *BitLinear) Forward(x *G.Node) (*G.Node, error) { return Join(x, l) }

// Parameters returns the layer's weight.
func (l *BitLinear) Parameters() []*Parameter { return []*Parameter{l.Weight} }

// Codes returns the ternary codes of the weight as it is now, [out, in], or
// nil if the layer is not quantized.
func (l *BitLinear) Codes() []int8 {
	if l.Weights == nil {
		return nil
	}
	codes := make([]int8, l.Weight.Size())
	quant.Ternarize(codes, l.Weight.Data(), l.Weights.Scale)
	return codes
}

// Join applies several layers to one input and returns their outputs side by
// side, [tokens, sum of out]: the query, key and value projections, say. The
// first layer's quantizer of activations serves all of them.
func Join(x *G.Node, layers ...*BitLinear) (*G.Node, error) {
	if len(layers) == 0 {
		return nil, fmt.Errorf("Join: no layers")
	}
	var err error
	if q := layers[0].Activations; q != nil {
		if x, err = nn.FakeQuantActivation(x, q); err != nil {
			return nil, fmt.Errorf("%s: %w", layers[0].Weight.Name, err)
		}
	}
	weights := make([]*G.Node, len(layers))
	for i, l := range layers {
		weights[i] = l.Weight.Node
		if l.Weights == nil {
			continue
		}
		if weights[i], err = nn.FakeQuantWeight(l.Weight.Node, l.Weights); err != nil {
			return nil, fmt.Errorf("%s: %w", l.Weight.Name, err)
		}
	}
	y, err := nn.Linear(x, weights...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", layers[0].Weight.Name, err)
	}
	return y, nil
}
