package layers

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/nn"
	"trefoil/quant"
)

// Quantized is what [BitLinear] and [BitConv2D] have in common: a weight that
// learns, and the quantizers of it and of the layer's input.
type Quantized struct {
	// Weight is in float32, the first axis being the outputs.
	Weight *Parameter
	// Weights quantizes it; nil leaves it in float32.
	Weights *nn.WeightQuantizer
	// Activations quantizes the input; nil leaves it in float32.
	Activations *nn.ActivationQuantizer

	scales *Parameter // learned with the weight; nil if the quantizer finds them
	clip   *Parameter // PACT's; nil without
	bits   int        // of the input with PACT
}

// Spec says how a layer is quantized.
type Spec struct {
	// Weights of the layer; nil leaves them in float32.
	Weights *quant.Config
	// Activations are the layer's input; nil leaves it in float32. Integer
	// products, and Freeze, want absmax with a scale for each token or image:
	// {Bits: 8, Granularity: quant.PerChannel}, with the axis 0, or for a
	// linear layer quant.PerToken.
	Activations *quant.Config
	// PACT, if not 0, is the number of bits, 2 to 7, of an input that is
	// clipped to 0 and a learned maximum, in place of Activations.
	PACT int
}

// pactStart is the clip with which PACT begins, beyond most activations
// (arXiv:1805.06085, section 3: any large number).
const pactStart = 10

// Quantize gives the layer the quantizers of a spec, in place of those that it
// has. Call it before Forward, which builds them into the graph. Scales that
// are learned become parameters NAME.scales, PACT's maximum NAME.clip.
func (q *Quantized) Quantize(s Spec) error {
	g, name := q.Weight.Node.Graph(), q.Weight.Name
	fresh := Quantized{Weight: q.Weight}
	if s.Weights != nil {
		if err := fresh.quantizeWeights(g, *s.Weights); err != nil {
			return fmt.Errorf("%s: weights: %w", name, err)
		}
	}
	switch {
	case s.PACT != 0 && s.Activations != nil:
		return fmt.Errorf("%s: activations: PACT and a quantizer of activations: choose one", name)
	case s.PACT != 0:
		fresh.bits = s.PACT
		fresh.clip = newParameter(g, arch.Parameter{Name: name + ".clip", Shape: []int{1}, Kind: arch.Linear}, []float32{pactStart})
	case s.Activations != nil:
		if err := fresh.quantizeActivations(*s.Activations); err != nil {
			return fmt.Errorf("%s: activations: %w", name, err)
		}
	}
	*q = fresh
	return nil
}

// Dequantize makes the layer float32 again. Call it before Forward.
func (q *Quantized) Dequantize() { *q = Quantized{Weight: q.Weight} }

func (q *Quantized) quantizeWeights(g *G.ExprGraph, c quant.Config) error {
	rule, err := quant.New(c)
	if err != nil {
		return err
	}
	if _, err := rule.Config().Layout(q.Weight.Shape...); err != nil {
		return err
	}
	if q.Weights == nil {
		q.Weights = &nn.WeightQuantizer{Seed: nameSeed(q.Weight.Name)}
	}
	q.Weights = &nn.WeightQuantizer{Lambda: 1, Seed: q.Weights.Seed}
	q.scales = nil
	if b158, _ := quant.New(quant.Config{}); rule.Config() == b158.Config() {
		return nil // the node's own
	}
	q.Weights.Rule = rule
	scales, err := nn.LearnedScales(rule, q.Weight.Data(), q.Weight.Shape...)
	if err != nil || scales == nil {
		return err
	}
	q.scales = newParameter(g, arch.Parameter{Name: q.Weight.Name + ".scales", Shape: []int{len(scales)}, Kind: arch.Norm}, scales)
	q.Weights.Learned = q.scales.Node
	return nil
}

func (q *Quantized) quantizeActivations(c quant.Config) error {
	rule, err := quant.New(c)
	if err != nil {
		return err
	}
	if s := rule.Config().Scale; s == quant.LSQ || s == quant.SEQ {
		return fmt.Errorf("the scale %s is learned with weights: use PACT", s)
	}
	q.Activations = &nn.ActivationQuantizer{Lambda: 1}
	if q.ownsRows(rule.Config()) {
		q.Activations.Bits = int(c.Bits)
	} else {
		q.Activations.Rule = rule
	}
	return nil
}

// ownsRows reports whether c, its empty fields filled in, is what the node of
// activations does by itself: absmax of each token or image.
func (q *Quantized) ownsRows(c quant.Config) bool {
	if c.Granularity == quant.PerToken && len(q.Weight.Shape) == 2 {
		c.Granularity, c.Axis = quant.PerChannel, 0
	}
	rows, err := quant.New(quant.Config{Bits: c.Bits, Granularity: quant.PerChannel})
	return err == nil && c.Bits >= 2 && c == rows.Config()
}

// Parameters returns the weight and what is learned beside it.
func (q *Quantized) Parameters() []*Parameter {
	all := []*Parameter{q.Weight}
	for _, p := range []*Parameter{q.scales, q.clip} {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}

// SetMoment makes the next runs blend weights and activations by lambda, with
// noise on the weights that step draws.
func (q *Quantized) SetMoment(lambda float64, noise quant.Noise, step int) {
	if q.Weights != nil {
		q.Weights.Lambda, q.Weights.Noise, q.Weights.Step = lambda, noise, uint64(step)
	}
	if q.Activations != nil {
		q.Activations.Lambda = lambda
	}
}

// fakeQuantInput returns the node of the quantized input.
func (q *Quantized) fakeQuantInput(x *G.Node) (*G.Node, error) {
	var err error
	switch {
	case q.clip != nil:
		x, err = nn.PACT(x, q.clip.Node, q.bits)
	case q.Activations != nil:
		x, err = nn.FakeQuantActivation(x, q.Activations)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.Weight.Name, err)
	}
	return x, nil
}

// fakeQuantWeight returns the node of the quantized weight.
func (q *Quantized) fakeQuantWeight() (*G.Node, error) {
	if q.Weights == nil {
		return q.Weight.Node, nil
	}
	w, err := nn.FakeQuantWeight(q.Weight.Node, q.Weights)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.Weight.Name, err)
	}
	return w, nil
}
