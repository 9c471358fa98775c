package packed

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"trefoil/internal/kernel"
)

// Dequantize writes the elements of m, row-major, to dst [rows*cols]:
// float32(code) * scale.
func (m *Matrix) Dequantize(dst []float32) error {
	if len(dst) != m.rows*m.cols {
		return m.misfit(len(dst), m.rows*m.cols)
	}
	m.dequantize(dst, 0)
	return nil
}

// dequantizePiece is how many elements DequantizeContext writes between two
// looks at the context.
const dequantizePiece = 1 << 22

// DequantizeContext is Dequantize for large matrices: it stops with the
// context's error between pieces of four million elements, and calls progress,
// unless that is nil, with the number of elements that are done.
func (m *Matrix) DequantizeContext(ctx context.Context, dst []float32, progress func(done, total int)) error {
	if len(dst) != m.rows*m.cols {
		return m.misfit(len(dst), m.rows*m.cols)
	}
	for first := 0; first < len(dst); first += dequantizePiece {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		end := min(len(dst), first+dequantizePiece)
		m.dequantize(dst[first:end], first)
		if progress != nil {
			progress(end, len(dst))
		}
	}
	return nil
}

// DequantizeRow writes one row to dst [cols].
func (m *Matrix) DequantizeRow(dst []float32, row int) error {
	if len(dst) != m.cols {
		return m.misfit(len(dst), m.cols)
	}
	if err := m.hasRow(row); err != nil {
		return err
	}
	m.dequantize(dst, row*m.cols)
	return nil
}

// DequantizeFloat16 writes the elements, rounded to IEEE 754 binary16, to dst
// [rows*cols]: what is too large becomes an infinity.
func (m *Matrix) DequantizeFloat16(dst []uint16) error {
	if len(dst) != m.rows*m.cols {
		return m.misfit(len(dst), m.rows*m.cols)
	}
	kernel.Packing(m.format).DequantizePackedFloat16(dst, m.packed, 0, m.scales, m.group)
	return nil
}

// DequantizeRowFloat16 writes one row, rounded to binary16, to dst [cols].
func (m *Matrix) DequantizeRowFloat16(dst []uint16, row int) error {
	if len(dst) != m.cols {
		return m.misfit(len(dst), m.cols)
	}
	if err := m.hasRow(row); err != nil {
		return err
	}
	kernel.Packing(m.format).DequantizePackedFloat16(dst, m.packed, row*m.cols, m.scales, m.group)
	return nil
}

// Values yields the elements, row-major, in pieces that fill buf, the last
// perhaps shorter, each with the number of elements before it. A piece is
// valid until the next.
//
//	for first, values := range m.Values(make([]float32, 4096)) { ... }
func (m *Matrix) Values(buf []float32) iter.Seq2[int, []float32] {
	if len(buf) == 0 {
		panic(errors.New("packed: Values needs a buffer of at least one element"))
	}
	return func(yield func(int, []float32) bool) {
		for first, n := 0, m.rows*m.cols; first < n; first += len(buf) {
			piece := buf[:min(len(buf), n-first)]
			m.dequantize(piece, first)
			if !yield(first, piece) {
				return
			}
		}
	}
}

// dequantize writes the elements first, first+1, ...
func (m *Matrix) dequantize(dst []float32, first int) {
	kernel.Packing(m.format).DequantizePacked(dst, m.packed, first, m.scales, m.group)
}

func (m *Matrix) hasRow(row int) error {
	if row < 0 || row >= m.rows {
		return fmt.Errorf("row %d of a matrix with %d: out of range", row, m.rows)
	}
	return nil
}

func (m *Matrix) misfit(have, want int) error {
	return fmt.Errorf("dequantizing a matrix of shape [%d %d] into %d values: make room for %d", m.rows, m.cols, have, want)
}
