package quant

import (
	"context"
	"fmt"
)

// A Tensor is a quantized tensor in memory, a byte a code: the value of
// element i, of group g, is (Codes[i] - Zeros[g]) * Scales[g]. [packed] holds
// the same in fewer bits.
//
// The zero value is an empty tensor for QuantizeInto to fill; it grows the
// slices as needed and uses them again. A tensor can be written as JSON and
// read back.
//
// [packed]: https://pkg.go.dev/trefoil/quant/packed
type Tensor struct {
	Shape  []int     `json:"shape"`
	Codes  []int8    `json:"codes"`           // row-major, as many as the shape says
	Scales []float32 `json:"scales"`          // [Layout.Groups]
	Zeros  []int8    `json:"zeros,omitempty"` // [Layout.Groups]; nil if the grid is symmetric
	Layout Layout    `json:"layout"`          // which elements share a scale
	Grid   Grid      `json:"grid"`            // the codes that may occur
	// ScaleType is the type that each of the Scales has a number of; empty
	// means float32.
	ScaleType ScaleType `json:"scale_type,omitempty"`
	// Draw is read by quantizers that round stochastically: with another
	// number they round other elements up.
	Draw uint64 `json:"draw,omitempty"`
}

// Dequantize writes the values of t into dst, which is as long as t.Codes:
// float32(code-zero) * scale, one rounding. It fails on a tensor whose slices
// are not as long as its layout says.
func (t *Tensor) Dequantize(dst []float32) error {
	return t.DequantizeContext(context.Background(), dst, nil)
}

// DequantizeContext is Dequantize for large tensors: it stops with the
// context's error between pieces of a few million elements, and calls
// progress, unless that is nil, with the number of elements that are done.
func (t *Tensor) DequantizeContext(ctx context.Context, dst []float32, progress func(done, total int)) error {
	if len(dst) != len(t.Codes) {
		return fmt.Errorf("dequantizing %d codes into %d values: make the slices equally long", len(t.Codes), len(dst))
	}
	if l := t.Layout; l.Groups*l.Size() != len(t.Codes) || l.Across < min(1, l.Groups) || len(t.Scales) != l.Groups || len(t.Zeros) > 0 && len(t.Zeros) != l.Groups {
		return fmt.Errorf("dequantizing: %d codes, %d scales and %d zero points are not those of %d groups of %d: set Layout by Config.Layout", len(t.Codes), len(t.Scales), len(t.Zeros), l.Groups, l.Size())
	}
	if len(dst) == 0 {
		return nil
	}
	w := takeWork()
	defer w.release()
	w.call, w.t, w.values = call{ctx: ctx, progress: progress}, t, dst
	return w.overGroups(dequantizing)
}

// Values returns the values of t: see [Tensor.Dequantize], whose error it
// panics with.
func (t *Tensor) Values() []float32 {
	dst := make([]float32, len(t.Codes))
	if err := t.Dequantize(dst); err != nil {
		panic(err)
	}
	return dst
}

// prepare gives t the shape and the sizes that go with it; without codes, those
// go elsewhere.
func (t *Tensor) prepare(c *Config, l Layout, shape []int, codes bool) {
	t.Shape = append(t.Shape[:0], shape...)
	if codes {
		t.Codes = resize(t.Codes, l.Groups*l.Size())
	} else {
		t.Codes = nil
	}
	t.Scales = resize(t.Scales, l.Groups)
	if c.Scheme == Affine {
		t.Zeros = resize(t.Zeros, l.Groups)
	} else {
		t.Zeros = nil
	}
	t.Layout, t.Grid, t.ScaleType = l, c.Grid(), c.ScaleType
}

// resize returns s with n elements, of arbitrary content if it had to grow.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
