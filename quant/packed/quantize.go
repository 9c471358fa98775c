package packed

import (
	"context"
	"fmt"
	"math"
	"slices"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// Quantize returns x [rows, cols], quantized by q and packed: see
// [Matrix.Quantize].
func Quantize(f Format, q *quant.Scalar, x []float32, rows, cols int) (*Matrix, error) {
	m := new(Matrix)
	if err := m.Quantize(f, q, x, rows, cols); err != nil {
		return nil, err
	}
	return m, nil
}

// Quantize makes m hold x [rows, cols], quantized by q and packed, in the
// storage of what m held before. Codes and scales are those of
// [quant.Scalar.QuantizeInto]. After an error m is of no use.
//
// Quantizers whose scale is absmean or absmax, of type float32 and rounding
// half to even, go from float32 to packed codes at once, in a fixed amount of
// memory, the others by way of pieces of four million codes. The scale of b1.58
// is that of kernel.AbsMean.
func (m *Matrix) Quantize(f Format, q *quant.Scalar, x []float32, rows, cols int) error {
	if err := suit(f, q, len(x), rows, cols); err != nil {
		return err
	}
	if group, ok := fusible(q, rows, cols); ok && f != Bits1 {
		m.format, m.rows, m.cols, m.group, m.scaleType = f, rows, cols, group, ""
		if m.fused(q, x) {
			return nil
		}
	}
	return m.inPieces(context.Background(), f, q, x, rows, cols, nil)
}

// QuantizeContext is Quantize for large matrices: it stops with the context's
// error, and calls progress, unless that is nil, as [quant.Scalar.QuantizeInput]
// does. Every quantizer goes by way of pieces.
func (m *Matrix) QuantizeContext(ctx context.Context, f Format, q *quant.Scalar, x []float32, rows, cols int, progress func(done, total int)) error {
	if err := suit(f, q, len(x), rows, cols); err != nil {
		return err
	}
	return m.inPieces(ctx, f, q, x, rows, cols, progress)
}

// suit reports a format, a quantizer and sizes that do not go together.
func suit(f Format, q *quant.Scalar, elementCount, rows, cols int) error {
	if err := f.check(); err != nil {
		return err
	}
	if n, err := elements([]int{rows, cols}); err != nil || n != elementCount {
		return fmt.Errorf("%d elements for a matrix of shape [%d %d]: need positive sizes that give so many", elementCount, rows, cols)
	}
	grid := q.Grid()
	if !f.holds(int8(grid.Min)) || !f.holds(int8(grid.Max)) {
		return fmt.Errorf("codes from %d to %d do not fit %v: choose a format of more bits", grid.Min, grid.Max, f)
	}
	if q.Config().Scheme == quant.Affine {
		return fmt.Errorf("a matrix of shape [%d %d] with zero points cannot be packed: use a symmetric quantizer", rows, cols)
	}
	return nil
}

// inPieces packs the codes of one piece after the other.
func (m *Matrix) inPieces(ctx context.Context, f Format, q *quant.Scalar, x []float32, rows, cols int, progress func(done, total int)) error {
	c := q.Config()
	l, err := c.Layout(rows, cols)
	if err != nil {
		return err
	}
	s, err := scalesOf(l, rows, cols)
	if err != nil {
		return err
	}
	packed := resize(m.packed, f.Bytes(len(x)))
	p := packer{format: f, dst: packed}
	t := quant.Tensor{Scales: m.scales[:0]}
	if err := q.QuantizePieces(ctx, &t, quant.Input{Float32: x, Shape: []int{rows, cols}}, p.add, progress); err != nil {
		return err
	}
	p.finish()
	s.Values, s.Type = t.Scales, t.ScaleType
	made, err := newMatrix(f, rows, cols, s)
	if err != nil {
		return err
	}
	*m, m.packed = *made, packed
	return nil
}

// A packer packs codes that come in pieces of any length.
type packer struct {
	format Format
	dst    []byte // room for what is still to come
	rest   []int8 // begins a block
}

// add packs the whole blocks that the codes complete.
func (p *packer) add(first int, codes []int8) error {
	if p.format == Bits1 { // the one format that lacks a code between others
		if i := slices.Index(codes, 0); i >= 0 {
			return fmt.Errorf("code %d is 0, which %v cannot hold: choose a format of more bits", first+i, p.format)
		}
	}
	block, size := kernel.Packing(p.format).Block()
	if len(p.rest) > 0 {
		n := min(block-len(p.rest), len(codes))
		p.rest, codes = append(p.rest, codes[:n]...), codes[n:]
		if len(p.rest) < block {
			return nil
		}
		p.finish()
		p.dst, p.rest = p.dst[size:], p.rest[:0]
	}
	whole := len(codes) / block
	kernel.Packing(p.format).Pack(p.dst, codes[:whole*block])
	p.dst, p.rest = p.dst[whole*size:], append(p.rest, codes[whole*block:]...)
	return nil
}

// finish packs the block begun.
func (p *packer) finish() { kernel.Packing(p.format).Pack(p.dst, p.rest) }

// fusible tells whether the quantizer is one that fused knows, and how many
// consecutive elements share a scale.
func fusible(q *quant.Scalar, rows, cols int) (group int, ok bool) {
	c := q.Config()
	l, err := c.Layout(rows, cols)
	ok = err == nil && l.Runs == 1 && q.Grid().Step == 1 && c.Scheme == quant.Symmetric &&
		(c.Scale == quant.AbsMean || c.Scale == quant.AbsMax) &&
		c.Rounding == quant.HalfEven && c.ScaleType == quant.Float32
	return l.Run, ok
}

// fused quantizes in two steps: the bounds of all groups, then the codes. It
// reports whether all values are finite; if not, m is of no use.
func (m *Matrix) fused(q *quant.Scalar, x []float32) bool {
	m.packed = resize(m.packed, m.format.Bytes(len(x)))
	m.scales = resize(m.scales, len(x)/m.group)
	grid, rule := q.Grid(), q.Config().Scale
	if m.format == Bits8 && m.group == m.cols && rule == quant.AbsMax && grid.Min == -grid.Max-1 {
		kernel.QuantizeRowsBytes(m.packed, m.scales, x, m.rows, m.cols) // while a row is in the cache
		return reachable(m.scales, grid)
	}
	m.bounds(rule, x)
	if kernel.FirstNonFinite(m.scales) >= 0 {
		return false
	}
	kernel.Packing(m.format).QuantizePacked(m.packed, x, m.scales, m.group, float32(grid.Min), float32(grid.Max))
	if top := float32(grid.Max); top > 1 {
		for i := range m.scales {
			m.scales[i] /= top
		}
	}
	return reachable(m.scales, grid)
}

// reachable reports whether the values of all codes are finite.
func reachable(scales []float32, grid quant.Grid) bool {
	reach := float32(max(-grid.Min, grid.Max))
	return !slices.ContainsFunc(scales, func(s float32) bool { return !(s*reach <= math.MaxFloat32) })
}

// bounds writes what the largest code stands for to the scales.
func (m *Matrix) bounds(rule quant.Scale, x []float32) {
	switch {
	case rule == quant.AbsMean && len(m.scales) == 1:
		m.scales[0] = kernel.AbsMean(x)
	case rule == quant.AbsMean:
		kernel.GroupAbsMean(m.scales, x, m.group)
	case len(m.scales) == 1:
		m.scales[0] = kernel.AbsMax(x)
	default:
		kernel.GroupAbsMax(m.scales, x, m.group)
	}
}

// resize returns s with n elements, of arbitrary content.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
