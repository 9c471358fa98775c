package layers

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/nn"
)

// BitConv2D is a 2-D convolution without bias, quantized as BitNet b1.58 does
// a linear layer (arXiv:2402.17764, section 2): ternary weights with one
// scale, 8-bit images with one scale each.
type BitConv2D struct {
	Quantized // Weight is [out, height, width, in]
	Window    nn.Window
}

// NewBitConv2D adds the weights of a quantized convolution of size x size to
// the graph.
func NewBitConv2D(g *G.ExprGraph, name string, in, out, size int, window nn.Window, init Init) *BitConv2D {
	c := NewConv2D(g, name, in, out, size, window, init)
	c.Weights = &nn.WeightQuantizer{Lambda: 1, Seed: init.Seed ^ nameSeed(name)}
	c.Activations = &nn.ActivationQuantizer{Bits: 8, Lambda: 1}
	return c
}

// NewConv2D adds the weights of a float32 convolution to the graph: a
// BitConv2D without quantizers.
func NewConv2D(g *G.ExprGraph, name string, in, out, size int, window nn.Window, init Init) *BitConv2D {
	return &BitConv2D{Quantized{Weight: init.tensor(g, name, arch.Linear, out, size, size, in)}, window}
}

// Forward returns the node [batch, height', width', out] for images
// [batch, height, width, in].
func (c *BitConv2D) Forward(x *G.Node) (*G.Node, error) {
	x, err := c.fakeQuantInput(x)
	if err != nil {
		return nil, err
	}
	w, err := c.fakeQuantWeight()
	if err != nil {
		return nil, err
	}
	y, err := nn.Conv2D(x, w, c.Window)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Weight.Name, err)
	}
	return y, nil
}
