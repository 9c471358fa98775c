package layers

import (
	"fmt"

	"trefoil/quant"
	"trefoil/quant/packed"
)

// Freeze returns the layer as it is now, packed: its Apply gives the bits of
// Forward in the graph, with lambda 1 and without noise. It fails where the
// weights or the input are in float32, or quantized in a way that integer
// products cannot do: see [Quantized.Pack].
func (l *BitLinear) Freeze() (*packed.Linear, packed.Input, error) {
	m, input, err := l.Pack()
	if err != nil {
		return nil, input, err
	}
	frozen, err := packed.NewLinear(m)
	if err != nil {
		return nil, input, fmt.Errorf("%s: %w", l.Weight.Name, err)
	}
	return frozen, input, nil
}

// Freeze returns the layer as it is now, packed: see [BitLinear.Freeze].
func (c *BitConv2D) Freeze() (*packed.Conv2D, packed.Input, error) {
	m, input, err := c.Pack()
	if err != nil {
		return nil, input, err
	}
	s := c.Weight.Shape
	frozen, err := packed.NewConv2D(packed.Conv2D{
		KernelHeight: s[1], KernelWidth: s[2], Channels: s[3],
		Stride: max(c.Window.Stride, 1), Padding: c.Window.Padding,
	}, m)
	if err != nil {
		return nil, input, fmt.Errorf("%s: %w", c.Weight.Name, err)
	}
	return frozen, input, nil
}

// Pack returns the quantized weights as they are now, in the fewest bits that
// hold their codes, and how the layer quantizes its input. It needs symmetric
// weights with scales by tensor, channel or group, and an input with a scale
// for each token or image, with one that was calibrated, or one learned by PACT,
// which then must come from a ReLU.
func (q *Quantized) Pack() (*packed.Matrix, packed.Input, error) {
	input, err := q.input()
	if err != nil {
		return nil, input, fmt.Errorf("%s: %w", q.Weight.Name, err)
	}
	m, err := q.matrix()
	if err != nil {
		return nil, input, fmt.Errorf("%s: %w", q.Weight.Name, err)
	}
	return m, input, nil
}

func (q *Quantized) input() (packed.Input, error) {
	switch a := q.Activations; {
	case q.clip != nil:
		return packed.Input{Bits: q.bits + 1, Scale: q.clip.Data()[0] / float32(int(1)<<q.bits-1)}, nil
	case a == nil:
		return packed.Input{}, fmt.Errorf("the input is not quantized: give it a quantizer to pack the layer")
	case a.Rule == nil && a.Bits >= 2 && a.Bits <= 8:
		return packed.Input{Bits: a.Bits}, nil
	case a.Rule == nil:
		return packed.Input{}, fmt.Errorf("an input of %d bits is not quantized: use 2 to 8 to pack the layer", a.Bits)
	}
	if scalar, ok := q.Activations.Rule.(*quant.Scalar); ok {
		if input, ok := calibrated(scalar); ok {
			return input, nil
		}
	}
	return packed.Input{}, fmt.Errorf("the input's quantizer has no packed form: use absmax with {granularity: channel, axis: 0} (a scale for each token or image), one calibrated scale of a full symmetric grid, or PACT")
}

// calibrated returns the packed form of a quantizer with one fixed scale, if it
// has one: codes of all of a symmetric grid, rounded half to even.
func calibrated(q *quant.Scalar) (input packed.Input, ok bool) {
	scales, _ := q.Scales()
	c := q.Config()
	ok = len(scales) == 1 && c.Granularity == quant.PerTensor && c.Bits >= 2 && c.Scheme == quant.Symmetric &&
		c.Codes == quant.Full && c.Rounding == quant.HalfEven
	if !ok {
		return input, false
	}
	return packed.Input{Bits: int(c.Bits), Scale: scales[0]}, true
}

func (q *Quantized) matrix() (*packed.Matrix, error) {
	if q.Weights == nil {
		return nil, fmt.Errorf("the weights are not quantized: give them a quantizer to pack the layer")
	}
	t := &quant.Tensor{Shape: q.Weight.Shape, Draw: q.Weights.Draw()}
	var err error
	if rule := q.Weights.Rule; rule != nil {
		err = q.encode(t, rule)
	} else {
		t, err = q.ternary()
	}
	if err != nil {
		return nil, err
	}
	format, err := packed.Fitting(t.Grid)
	if err != nil {
		return nil, err
	}
	return packed.FromTensor(format, t)
}

// ternary returns the weights by the rule of b1.58.
func (q *Quantized) ternary() (*quant.Tensor, error) {
	var c quant.Config
	layout, err := c.Layout(q.Weight.Shape...)
	if err != nil {
		return nil, err
	}
	codes := make([]int8, q.Weight.Size())
	gamma := quant.Ternarize(codes, q.Weight.Data(), q.Weights.Scale)
	return &quant.Tensor{Shape: q.Weight.Shape, Codes: codes, Scales: []float32{gamma}, Layout: layout, Grid: c.Grid()}, nil
}

// encode makes t the weights by a rule, with the scales that were learned if
// there are any.
func (q *Quantized) encode(t *quant.Tensor, rule quant.Quantizer) error {
	if err := rule.QuantizeInto(t, q.Weight.Data(), q.Weight.Shape...); err != nil || q.scales == nil {
		return err
	}
	copy(t.Scales, q.scales.Data())
	if c := rule.(*quant.Scalar).Config(); c.Scale == quant.SEQ {
		for g, alpha := range t.Scales {
			t.Scales[g] = quant.SEQStep(alpha, c.Bits)
		}
	}
	return rule.Encode(t, q.Weight.Data(), q.Weight.Shape...)
}
