package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// A TensorWriter takes the elements of one tensor, in whole rows and any
// number of calls.
type TensorWriter struct {
	w     io.Writer
	t     Tensor
	left  int     // elements
	scale float32 // of an I2_S tensor, whose scale comes last
	b     []byte
}

// writeTensor writes a tensor and the padding behind it.
func writeTensor(w io.Writer, t Tensor) error {
	out := &TensorWriter{w: w, t: t, left: elements(t.Shape)}
	if err := t.Fill(out); err != nil {
		return err
	}
	if out.left > 0 {
		return fmt.Errorf("%d elements of shape %v were not written", out.left, t.Shape)
	}
	size, err := t.Type.Bytes(t.Shape)
	if err != nil {
		return err
	}
	end := make([]byte, align(size, defaultAlignment)-size)
	if t.Type == I2_S {
		trailer := binary.LittleEndian.AppendUint32(nil, math.Float32bits(out.scale))
		end = append(append(trailer, make([]byte, i2sTrailer-len(trailer))...), end...)
	}
	_, err = w.Write(end)
	return err
}

// Float32 writes values, quantized as llama.cpp would. Those of an I2_S tensor
// must come in one call, since their scale is the largest magnitude of all.
// Values that are not finite or overflow the type are refused.
func (t *TensorWriter) Float32(x []float32) error {
	if err := t.take(len(x)); err != nil {
		return err
	}
	c := codecs[t.t.Type]
	if t.t.Type == I2_S {
		c = codec{limit: math.MaxFloat32, encode: func(dst []byte, x []float32) {
			digits := make([]byte, len(x))
			i2sDigits(digits, x)
			packI2S(dst, digits)
		}}
		if t.left > 0 {
			return errors.New("I2_S values must come in one call: their scale is that of the whole tensor")
		}
		t.scale = absMax(x)
	}
	if i := firstBeyond(x, c.limit); i >= 0 {
		return fmt.Errorf("element %d of the rows is %g: %v holds up to %g", i, x[i], t.t.Type, c.limit)
	}
	return t.pieces(len(x), func(dst []byte, from, to int) { c.encode(dst, x[from:to]) })
}

// Ternary writes the ternary weights codes times scale; scale is the same in
// every call. TQ1_0, TQ2_0 and Q2_0 keep it in half precision: the elements
// come back as code * float16(scale), exactly. I2_S keeps it in float32. F32,
// F16 and BF16 get the products. Other types cannot hold ternary weights
// without loss and are refused.
func (t *TensorWriter) Ternary(codes []int8, scale float32) error {
	if err := t.take(len(codes)); err != nil {
		return err
	}
	if !(scale > 0 && scale <= math.MaxFloat32) {
		return fmt.Errorf("a scale of %g: it must be positive and finite", scale)
	}
	for i, c := range codes {
		if c < -1 || c > 1 {
			return fmt.Errorf("element %d of the rows is %d, which is no ternary code", i, c)
		}
	}
	encode, err := t.ternaryEncoder(scale)
	if err != nil {
		return err
	}
	return t.pieces(len(codes), func(dst []byte, from, to int) { encode(dst, codes[from:to]) })
}

// ternaryEncoder returns what stores ternary codes in whole blocks.
func (t *TensorWriter) ternaryEncoder(scale float32) (func(dst []byte, codes []int8), error) {
	switch typ := t.t.Type; typ {
	case TQ1_0, TQ2_0, Q2_0:
		d := half(scale)
		if d == 0 || scale >= halfLimit {
			return nil, fmt.Errorf("a scale of %g, which half precision cannot hold: write it as a tensor of its own and 1 here", scale)
		}
		l := ternaryLayouts[typ]
		return func(dst []byte, codes []int8) { l.encodeCodes(dst, codes, d) }, nil
	case I2_S:
		t.scale = scale
		return func(dst []byte, codes []int8) {
			digits := make([]byte, len(codes))
			for i, c := range codes {
				digits[i] = byte(c + 1)
			}
			packI2S(dst, digits)
		}, nil
	case F32, F16, BF16:
		if c := codecs[typ]; scale <= c.limit {
			return func(dst []byte, codes []int8) {
				x := make([]float32, len(codes))
				for i, c := range codes {
					x[i] = float32(c) * scale
				}
				c.encode(dst, x)
			}, nil
		}
	}
	return nil, fmt.Errorf("%v cannot hold ternary weights of scale %g without loss", t.t.Type, scale)
}

// take accounts for n more elements.
func (t *TensorWriter) take(n int) error {
	row := rowLength(t.t.Shape)
	switch {
	case n > t.left:
		return fmt.Errorf("%d elements where %d of shape %v are left", n, t.left, t.t.Shape)
	case row > 0 && n%row != 0:
		return fmt.Errorf("%d elements are no whole rows of %d", n, row)
	}
	t.left -= n
	return nil
}

// pieces encodes n elements, a piece at a time, and writes them.
func (t *TensorWriter) pieces(n int, encode func(dst []byte, from, to int)) error {
	l := layouts[t.t.Type]
	for from := 0; from < n; from += pieceElements {
		to := min(n, from+pieceElements)
		size := (to - from) / l.length * l.bytes
		if cap(t.b) < size {
			t.b = make([]byte, size)
		}
		encode(t.b[:size], from, to)
		if _, err := t.w.Write(t.b[:size]); err != nil {
			return err
		}
	}
	return nil
}
