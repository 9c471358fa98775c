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
	Quantized // Weight is [out, in]
}

// NewBitLinear adds the weights of a quantized layer to the graph. It panics on
// sizes below 1.
func NewBitLinear(g *G.ExprGraph, name string, in, out int, init Init) *BitLinear {
	l := NewLinear(g, name, in, out, init)
	l.Weights = &nn.WeightQuantizer{Lambda: 1, Seed: init.Seed ^ nameSeed(name)}
	l.Activations = &nn.ActivationQuantizer{Bits: 8, Lambda: 1}
	return l
}

// NewLinear adds the weights of a float32 layer to the graph: a BitLinear
// without quantizers.
func NewLinear(g *G.ExprGraph, name string, in, out int, init Init) *BitLinear {
	return &BitLinear{Quantized{Weight: init.tensor(g, name, arch.Linear, out, in)}}
}

// Forward returns the node of the layer's output [tokens, out] for an input
// [tokens, in].
func (l *BitLinear) Forward(x *G.Node) (*G.Node, error) { return Join(x, l) }

// Codes returns b1.58's codes of the weight as it is now, [out, in], or nil if
// the layer is quantized otherwise or not at all.
func (l *BitLinear) Codes() []int8 {
	if l.Weights == nil || l.Weights.Rule != nil {
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
	x, err := layers[0].fakeQuantInput(x)
	if err != nil {
		return nil, err
	}
	weights := make([]*G.Node, len(layers))
	for i, l := range layers {
		if weights[i], err = l.fakeQuantWeight(); err != nil {
			return nil, err
		}
	}
	y, err := nn.Linear(x, weights...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", layers[0].Weight.Name, err)
	}
	return y, nil
}
