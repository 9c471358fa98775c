package layers

import (
	"errors"
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
	built  bool       // into a graph, so that the quantizers must stay
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
	// Calibrated, in place of Activations, quantizes the input by fixed
	// scales: see [quant.Scalar.WithScales]. Freeze wants one scale.
	Calibrated *quant.Scalar
	// PACT, if not 0, is the number of bits, 2 to 7, of an input that is
	// clipped to 0 and a learned maximum, in place of Activations.
	PACT int
}

// pactStart is the clip with which PACT begins: beyond most activations
// (arXiv:1805.06085, section 3), but not so far that the lowest level of 2 bits,
// half a step of a third of it, takes them all for zero: a clip learns from
// values beyond it alone, and such a network never begins to learn.
const pactStart = 3

// Quantize gives the layer the quantizers of a spec, in place of those that it
// has. Call it before Forward, which builds them into the graph. Scales that
// are learned become parameters NAME.scales, PACT's maximum NAME.clip. It
// fails on a quantizer that does not suit the layer, on more than one of
// Activations, Calibrated and PACT, and after Forward.
func (q *Quantized) Quantize(s Spec) error {
	if err := q.changeable(); err != nil {
		return err
	}
	g, name := q.Weight.Node.Graph(), q.Weight.Name
	fresh := Quantized{Weight: q.Weight}
	if s.Weights != nil {
		if err := fresh.quantizeWeights(g, *s.Weights); err != nil {
			return fmt.Errorf("%s: weights: %w", name, err)
		}
	}
	ways := 0
	for _, given := range []bool{s.PACT != 0, s.Activations != nil, s.Calibrated != nil} {
		if given {
			ways++
		}
	}
	switch {
	case ways > 1:
		return fmt.Errorf("%s: activations: %d of PACT, Activations and Calibrated are given: choose one", name, ways)
	case s.PACT != 0 && (s.PACT < 2 || s.PACT > 7):
		return fmt.Errorf("%s: activations: PACT of %d bits is not supported: use 2 to 7", name, s.PACT)
	case s.PACT != 0:
		fresh.bits = s.PACT
		fresh.clip = newParameter(g, arch.Parameter{Name: name + ".clip", Shape: []int{1}, Kind: arch.Linear}, []float32{pactStart})
	case s.Activations != nil:
		if err := fresh.quantizeActivations(*s.Activations); err != nil {
			return fmt.Errorf("%s: activations: %w", name, err)
		}
	case s.Calibrated != nil:
		if scales, _ := s.Calibrated.Scales(); scales == nil {
			return fmt.Errorf("%s: activations: the calibrated quantizer has no scales: give it some by WithScales", name)
		}
		fresh.Activations = &nn.ActivationQuantizer{Lambda: 1, Rule: s.Calibrated}
	}
	*q = fresh
	return nil
}

// Dequantize makes the layer float32 again. It fails after Forward.
func (q *Quantized) Dequantize() error {
	if err := q.changeable(); err != nil {
		return err
	}
	*q = Quantized{Weight: q.Weight}
	return nil
}

// changeable reports a layer that Forward has built into the graph: another
// quantizer would be that of Freeze, and not that of the graph.
func (q *Quantized) changeable() error {
	if q.built {
		return fmt.Errorf("%s: the layer is in the graph already: quantize it before Forward", q.Weight.Name)
	}
	return nil
}

func (q *Quantized) quantizeWeights(g *G.ExprGraph, c quant.Config) error {
	rule, err := quant.New(c)
	if err != nil {
		return err
	}
	if c.Scale == quant.Static {
		return errors.New("the rule static has no scales for weights: use one that finds them, or lsq, which learns them")
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
	} else if s == quant.Static {
		return errors.New("the rule static has no scales here: use Calibrated with a quantizer that has them by WithScales")
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
// noise on the weights that step draws, as it does stochastic rounding.
func (q *Quantized) SetMoment(lambda float64, noise quant.Noise, step int) {
	if q.Weights != nil {
		q.Weights.Lambda, q.Weights.Noise, q.Weights.Step = lambda, noise, uint64(step)
	}
	if q.Activations != nil {
		q.Activations.Lambda, q.Activations.Step = lambda, uint64(step)
	}
}

// fakeQuantInput returns the node of the quantized input.
func (q *Quantized) fakeQuantInput(x *G.Node) (*G.Node, error) {
	var err error
	q.built = true
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
	q.built = true
	if q.Weights == nil {
		return q.Weight.Node, nil
	}
	w, err := nn.FakeQuantWeight(q.Weight.Node, q.Weights)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.Weight.Name, err)
	}
	return w, nil
}
