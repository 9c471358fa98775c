package infer

import (
	"fmt"

	"trefoil/internal/kernel"
	"trefoil/quant"
	"trefoil/quant/packed"
)

// A projection is one or more linear layers that read the same input: their
// outputs stand side by side.
type projection struct {
	parts      []part
	in, out    int // out: of all parts
	activation packed.Activation
	weights    []float32 // [out, in] of all parts if the product is in float32
}

// A part is one linear layer of a projection.
type part struct {
	name       string
	first, out int            // its columns in the output
	weights    *packed.Linear // unless the product is in float32
}

// projection loads layers that read the same input.
func (l *loader) projection(names ...string) *projection {
	tensors := make([]*packed.Tensor, len(names))
	integer := true
	p := &projection{}
	for i, name := range names {
		t := l.tensor(name)
		if l.err == nil && t.Activation == nil {
			l.err = fmt.Errorf("tensor %s: the index does not say how its input is quantized", name)
		}
		if l.err != nil {
			return nil
		}
		if i == 0 {
			p.in, p.activation = t.Shape[1], *t.Activation
		} else if *t.Activation != p.activation {
			l.err = fmt.Errorf("tensors %s and %s read the same input with different activation scales", names[0], name)
			return nil
		}
		p.parts = append(p.parts, part{name: name, first: p.out, out: t.Shape[0]})
		p.out += t.Shape[0]
		tensors[i] = t
		integer = integer && t.Quantized() && p.quantizesInput()
	}
	for i, t := range tensors {
		if !integer {
			p.weights = append(p.weights, t.Floats()...)
			continue
		}
		if p.parts[i].weights, l.err = t.Linear(); l.err != nil {
			return nil
		}
	}
	return p
}

func (p *projection) quantizesInput() bool { return p.activation.Bits < 32 }

// apply computes y [rows, out] of x [rows, in].
func (p *projection) apply(w *workspace, y, x []float32, rows int, mode Activations) error {
	if p.quantizesInput() {
		if err := p.quantize(w, x, rows, mode); err != nil {
			return err
		}
	}
	if p.weights == nil {
		for i := range p.parts {
			part := &p.parts[i]
			if err := part.weights.Multiply(y[part.first:], p.out, w.codes, w.scales, rows); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		}
		return nil
	}
	if p.quantizesInput() {
		kernel.DequantizeRows(w.rounded, w.codes, w.scales, rows, p.in)
		x = w.rounded
	}
	kernel.GemmNT(y, x, p.weights, rows, p.out, p.in, false)
	return nil
}

// quantize fills w.codes [rows, in] and w.scales [rows].
func (p *projection) quantize(w *workspace, x []float32, rows int, mode Activations) error {
	in := packed.Input{Bits: p.activation.Bits}
	top := float32(quant.MaxCode(in.Bits))
	switch mode {
	case StaticAbsMax:
		in.Scale = p.activation.AbsMax / top
	case StaticPercentile:
		in.Scale = p.activation.Percentile / top
	}
	if err := in.Quantize(w.codes, w.scales, x, rows, p.in); err != nil {
		return fmt.Errorf("%s: %w", p.parts[0].name, err)
	}
	return nil
}

// show hands each layer's input and output to a tap.
func (p *projection) show(tap Tap, y, x []float32, rows int) {
	for _, part := range p.parts {
		dense := make([]float32, 0, rows*part.out)
		for r := range rows {
			row := y[r*p.out:]
			dense = append(dense, row[part.first:part.first+part.out]...)
		}
		tap(part.name, x[:rows*p.in], dense, rows)
	}
}
