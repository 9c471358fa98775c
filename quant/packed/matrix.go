package packed

import (
	"fmt"
	"slices"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// A Matrix is a weight matrix, or any other, of packed integer codes and
// scales: element [r, c] is float32(code) * scale. It is immutable but for
// [Matrix.Quantize]; many goroutines may read it.
type Matrix struct {
	format     Format
	rows, cols int
	packed     []byte
	scales     []float32
	scaleType  quant.ScaleType // empty for float32
	group      int             // codes that share a scale, counted over the ends of rows
}

// NewMatrix packs codes [rows, cols]. It fails on codes that the format does
// not have, and on scales that are not finite, not of their type, too many or
// too few, or so large that a code of the format would be infinite.
func NewMatrix(f Format, rows, cols int, codes []int8, s Scales) (*Matrix, error) {
	m, err := newMatrix(f, rows, cols, s)
	if err != nil {
		return nil, err
	}
	if len(codes) != rows*cols {
		return nil, fmt.Errorf("a matrix of shape [%d %d] has %d codes, not %d", rows, cols, rows*cols, len(codes))
	}
	if i := slices.IndexFunc(codes, func(c int8) bool { return !f.holds(c) }); i >= 0 {
		return nil, fmt.Errorf("code %d is %d, which %v cannot hold: choose a format of more bits", i, codes[i], f)
	}
	m.packed = make([]byte, f.Bytes(len(codes)))
	kernel.Packing(f).Pack(m.packed, codes)
	return m, nil
}

// OpenMatrix makes a matrix of bytes that [Matrix.Packed] returned. It keeps
// them: they must not change. It fails on a length that does not fit, and on
// bytes that stand for no codes.
func OpenMatrix(f Format, rows, cols int, packed []byte, s Scales) (*Matrix, error) {
	m, err := newMatrix(f, rows, cols, s)
	if err != nil {
		return nil, err
	}
	if want := f.Bytes(rows * cols); len(packed) != want {
		return nil, fmt.Errorf("%d bytes for a matrix of shape [%d %d] at %v: need %d", len(packed), rows, cols, f, want)
	}
	if f == Trits {
		if i := slices.IndexFunc(packed, func(b byte) bool { return b > maxTrits }); i >= 0 {
			return nil, fmt.Errorf("byte %d is %d: five ternary codes make at most %d", i, packed[i], maxTrits)
		}
	}
	m.packed = packed
	return m, nil
}

// maxTrits is the byte of five codes 1.
const maxTrits = 242

// FromTensor packs a quantized tensor [out, ...], whose last dimensions become
// columns. It fails on zero points, on codes that the format does not have,
// and on scales that consecutive elements do not share.
func FromTensor(f Format, t *quant.Tensor) (*Matrix, error) {
	if len(t.Shape) == 0 || len(t.Zeros) > 0 {
		return nil, fmt.Errorf("a tensor of shape %v with %d zero points cannot be packed: use a symmetric quantizer", t.Shape, len(t.Zeros))
	}
	if l := t.Layout; l.Groups < 1 || l.Groups*l.Size() != len(t.Codes) {
		return nil, fmt.Errorf("a tensor of %d codes with the layout %+v cannot be packed: set Layout by quant.Config.Layout", len(t.Codes), l)
	}
	rows, cols := 1, t.Shape[len(t.Shape)-1]
	if len(t.Shape) > 1 {
		rows, cols = t.Shape[0], len(t.Codes)/max(1, t.Shape[0])
	}
	s, err := scalesOf(t.Layout, rows, cols)
	if err != nil {
		return nil, err
	}
	s.Values, s.Type = slices.Clone(t.Scales), t.ScaleType
	return NewMatrix(f, rows, cols, t.Codes, s)
}

// scalesOf names the granularity of a layout over a matrix.
func scalesOf(l quant.Layout, rows, cols int) (Scales, error) {
	s := Scales{Group: l.Run}
	switch {
	case l.Groups == 1 && l.Size() == rows*cols:
		s.Granularity = quant.PerTensor
	case l.Runs > 1 || l.Run > cols:
		return s, fmt.Errorf("scales along an inner axis or of blocks cannot be packed: use one a tensor, a channel of the first axis, or groups")
	case l.Run == cols:
		s.Granularity = quant.PerChannel
	default:
		s.Granularity = quant.PerGroup
	}
	return s, nil
}

// newMatrix returns a matrix without codes.
func newMatrix(f Format, rows, cols int, s Scales) (*Matrix, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	n, err := elements([]int{rows, cols})
	if err != nil {
		return nil, err
	}
	m := &Matrix{format: f, rows: rows, cols: cols, scales: s.Values}
	if s.Type != quant.Float32 {
		m.scaleType = s.Type
	}
	switch s.Granularity {
	case "", quant.PerTensor:
		m.group = n
	case quant.PerChannel:
		m.group = cols
	case quant.PerGroup:
		m.group = s.Group
		if s.Group < 1 || cols%s.Group != 0 {
			return nil, fmt.Errorf("groups of %d do not divide rows of %d codes: use a divisor", s.Group, cols)
		}
	default:
		return nil, fmt.Errorf("scales by %s cannot be packed: use tensor, channel or group", s.Granularity)
	}
	if want := n / m.group; len(s.Values) != want {
		return nil, fmt.Errorf("%d scales for a matrix of shape [%d %d]: need %d", len(s.Values), rows, cols, want)
	}
	return m, s.check(f)
}

// Format returns how the codes are stored.
func (m *Matrix) Format() Format { return m.format }

// Rows returns the number of rows, the outputs of a linear layer.
func (m *Matrix) Rows() int { return m.rows }

// Cols returns the number of columns, the inputs of a linear layer.
func (m *Matrix) Cols() int { return m.cols }

// Packed returns the codes as they are stored. They must not be changed.
func (m *Matrix) Packed() []byte { return m.packed }

// Scales returns the scales, of each Group consecutive codes of a row-major
// matrix one; they must not be changed.
func (m *Matrix) Scales() (values []float32, group int) { return m.scales, m.group }

// ScaleType returns what the scales are stored as.
func (m *Matrix) ScaleType() quant.ScaleType {
	if m.scaleType == "" {
		return quant.Float32
	}
	return m.scaleType
}

// Size returns how many bytes codes and scales take in a file. In memory each
// scale takes 4.
func (m *Matrix) Size() int { return len(m.packed) + scaleBytes(m.scaleType)*len(m.scales) }

// Codes writes the codes first, first+1, ... of the row-major matrix, as many
// as fit dst.
func (m *Matrix) Codes(dst []int8, first int) error {
	if err := m.inside(first, len(dst)); err != nil {
		return err
	}
	kernel.Packing(m.format).Unpack(dst, m.packed, first)
	return nil
}

func (m *Matrix) inside(first, n int) error {
	if first < 0 || n > m.rows*m.cols-first {
		return fmt.Errorf("elements %d to %d of a matrix with %d: out of range", first, first+n-1, m.rows*m.cols)
	}
	return nil
}
