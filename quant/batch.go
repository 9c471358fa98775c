package quant

import (
	"context"
	"errors"
	"fmt"
)

// An Input is a tensor to quantize, row-major, in one of three types: the other
// two slices are nil.
type Input struct {
	Float32  []float32
	Float16  []uint16 // IEEE 754 binary16
	BFloat16 []uint16 // the upper halves of float32 numbers
	Shape    []int    // empty means one dimension
}

// shape returns Shape, or the one dimension that it stands for.
func (in *Input) shape() []int {
	if len(in.Shape) > 0 {
		return in.Shape
	}
	return []int{len(in.Float32) + len(in.Float16) + len(in.BFloat16)}
}

func (in *Input) source() (source, error) {
	switch {
	case in.Float16 == nil && in.BFloat16 == nil:
		return source{f: in.Float32}, nil
	case in.Float32 == nil && in.BFloat16 == nil:
		return source{half: in.Float16}, nil
	case in.Float32 == nil && in.Float16 == nil:
		return source{half: in.BFloat16, brain: true}, nil
	}
	return source{}, errTypes
}

var errTypes = errors.New("quantizing: an input of several types: set one of Float32, Float16 and BFloat16")

// A Batch holds quantized tensors that share their buffers: one for all codes,
// one for all scales, one for all zero points. The zero value is ready for
// use.
type Batch struct {
	Tensors []Tensor

	codes  []int8
	scales []float32
	zeros  []int8
}

// QuantizeBatch makes b the quantized form of the inputs, in their order, and
// uses its buffers again. Progress and cancellation are those of
// [Scalar.QuantizeInput], over all inputs together; an error names the input.
func (q *Scalar) QuantizeBatch(ctx context.Context, b *Batch, inputs []Input, progress func(done, total int)) error {
	if err := b.prepare(q, inputs); err != nil {
		return err
	}
	before := 0
	for i, in := range inputs {
		if err := q.QuantizeInput(ctx, &b.Tensors[i], in, b.after(before, progress)); err != nil {
			return fmt.Errorf("input %d of %d: %w", i, len(inputs), err)
		}
		before += len(b.Tensors[i].Codes)
	}
	return nil
}

// after returns the progress of an input with as many elements before it.
func (b *Batch) after(before int, progress func(done, total int)) func(done, total int) {
	if progress == nil {
		return nil
	}
	return func(done, _ int) { progress(before+done, len(b.codes)) }
}

// prepare divides the buffers among the tensors.
func (b *Batch) prepare(q *Scalar, inputs []Input) error {
	codes, scales := 0, 0
	for i, in := range inputs {
		l, err := q.config.Layout(in.shape()...)
		if err != nil {
			return fmt.Errorf("input %d of %d: %w", i, len(inputs), err)
		}
		codes, scales = codes+l.Groups*l.Size(), scales+l.Groups
	}
	b.Tensors = resize(b.Tensors, len(inputs))
	b.codes, b.scales = resize(b.codes, codes), resize(b.scales, scales)
	if q.config.Scheme == Affine {
		b.zeros = resize(b.zeros, scales)
	}
	codes, scales = 0, 0
	for i, in := range inputs {
		l, _ := q.config.Layout(in.shape()...)
		t, n := &b.Tensors[i], l.Groups*l.Size()
		t.Codes = b.codes[codes : codes+n : codes+n]
		t.Scales = b.scales[scales : scales+l.Groups : scales+l.Groups]
		t.Zeros = nil
		if q.config.Scheme == Affine {
			t.Zeros = b.zeros[scales : scales+l.Groups : scales+l.Groups]
		}
		codes, scales = codes+n, scales+l.Groups
	}
	return nil
}
