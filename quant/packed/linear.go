package packed

import (
	"fmt"
	"math"
	"sync"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// Input is how a layer quantizes what it reads: to codes of 2 to 8 bits, with
// a scale for each row (a token), or with one that calibration found.
type Input struct {
	Bits  int
	Scale float32 // static; 0 for a scale of each row, max|x|/largest code
}

// Validate reports bits and scales that make no sense.
func (in Input) Validate() error {
	if in.Bits < 2 || in.Bits > 8 {
		return fmt.Errorf("input of %d bits: use 2 to 8", in.Bits)
	}
	if in.Scale != 0 && !(in.Scale > 0 && in.Scale <= math.MaxFloat32 && 1/in.Scale <= math.MaxFloat32) {
		return fmt.Errorf("input with the static scale %v: give a positive number of a finite inverse, or 0 for a scale of each row", in.Scale)
	}
	return nil
}

// Quantize writes the codes of x [rows, cols] and the scale of each row. It
// fails on what Validate reports and on slices that are too short.
//
// It does not look for numbers that are not finite: without a static scale, a
// row that holds one has codes 0 and the scale NaN or +Inf, which a product
// shows; with one, infinities have the outermost codes and NaN has the code 0.
// [quant.Scalar] refuses them.
func (in Input) Quantize(codes []int8, scales, x []float32, rows, cols int) error {
	if err := in.Validate(); err != nil {
		return err
	}
	if rows < 0 || cols < 1 || rows > len(x)/cols || rows > len(codes)/cols || rows > len(scales) {
		return fmt.Errorf("input of %d numbers, with room for %d codes and %d scales: %d rows of %d need as many, and a scale each", len(x), len(codes), len(scales), rows, cols)
	}
	top := quant.MaxCode(in.Bits)
	if in.Scale == 0 {
		kernel.QuantizeRows(codes, scales, x, rows, cols, top)
		return nil
	}
	kernel.QuantizeRowsStatic(codes, x, rows, cols, in.Scale, top)
	for r := range rows {
		scales[r] = in.Scale
	}
	return nil
}

// A Linear is a matrix of weights [out, in], ready to be multiplied. Binary
// and ternary codes with scales by tensor or channel are rearranged, two bits
// each, for the ternary product of training; others stay as they are stored,
// and are unpacked some rows at a time. Many goroutines may use one.
type Linear struct {
	out, in int
	scales  []float32
	group   int
	ternary *kernel.Ternary // if the codes are
	weights *Matrix         // otherwise
}

// NewLinear prepares m, which it may keep. It fails if m is so wide that a sum
// of products with 8-bit codes could overflow 32 bits.
func NewLinear(m *Matrix) (*Linear, error) {
	l := &Linear{out: m.rows, in: m.cols, scales: m.scales, group: m.group}
	lowest, _ := m.format.Range()
	if most := math.MaxInt32 / (128 * -int(lowest)); min(m.group, m.cols) > most {
		return nil, fmt.Errorf("%d weights of %v share a scale in a row: sums of more than %d may overflow 32 bits: use groups",
			min(m.group, m.cols), m.format, most)
	}
	if m.group >= m.cols && lowest >= -2 {
		ternary := new(kernel.Ternary)
		if ternary.Unpack(kernel.Packing(m.format), m.packed, m.rows, m.cols) {
			l.ternary = ternary
			return l, nil
		}
	}
	l.weights = m
	return l, nil
}

// Linear prepares a tensor of codes [out, in].
func (t *Tensor) Linear() (*Linear, error) {
	if t.Matrix != nil {
		l, err := NewLinear(t.Matrix)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		return l, nil
	}
	if t.Type != Ternary || len(t.Shape) != 2 || len(t.Codes) != t.Shape[0]*t.Shape[1] {
		return nil, fmt.Errorf("tensor %s: %s of shape %v: only codes can be multiplied in integers", t.Name, t.Type, t.Shape)
	}
	l := &Linear{out: t.Shape[0], in: t.Shape[1], scales: []float32{t.Scale}, group: len(t.Codes), ternary: new(kernel.Ternary)}
	l.ternary.Pack(t.Codes, l.out, l.in)
	return l, nil
}

// Out returns the number of outputs.
func (l *Linear) Out() int { return l.out }

// In returns the number of inputs.
func (l *Linear) In() int { return l.in }

// Multiply computes y = x W^T of codes x [rows, in] with scales sx [rows]; row
// r of y begins at r*ldy and has out elements:
//
//	y[r,o] = float32(sum of x*w) * (sx[r]*sw)
//
// (BitNet's matrix product, arXiv:2310.11453, equation 11). The
// sum is one of integers, exact; sw is the scale of the tensor or of channel o.
// With groups it is the sum over the groups g of a row, in order and in float32,
// of float32(sum of x*w in g) * (sx[r]*sw[o,g]). So the result has the same bits
// at every level and with any number of threads.
//
// It fails on slices that are too short. A scale that is not finite makes its
// row of y so.
func (l *Linear) Multiply(y []float32, ldy int, x []int8, sx []float32, rows int) error {
	switch {
	case rows == 0:
		return nil
	case rows < 0 || rows > len(x)/l.in || rows > len(sx):
		return fmt.Errorf("linear: %d codes and %d scales for %d rows: each has %d codes and a scale", len(x), len(sx), rows, l.in)
	case ldy < l.out || len(y) < l.out || rows-1 > (len(y)-l.out)/ldy:
		return fmt.Errorf("linear: room for %d results, for %d rows of %d that begin %d apart: make more", len(y), rows, l.out, ldy)
	}
	results, codes := (rows-1)*ldy+l.out, rows*l.in
	y, x, sx = y[:results:results], x[:codes:codes], sx[:rows:rows]
	switch {
	case l.ternary == nil:
		l.multiplyPacked(y, ldy, x, sx, rows)
	case len(l.scales) == 1:
		kernel.MulTernary(y, ldy, x, sx, l.ternary, l.scales[0], rows)
	default:
		l.multiplyChannels(y, ldy, x, sx, rows)
	}
	return nil
}

// unitScales are scales of 1 for rows whose scale comes later.
var unitScales = func() (ones [64]float32) {
	for i := range ones {
		ones[i] = 1
	}
	return ones
}()

// multiplyChannels multiplies with ternary weights that have a scale for each
// output: float32(sum)*(1*1) first, which keeps the sum's bits.
func (l *Linear) multiplyChannels(y []float32, ldy int, x []int8, sx []float32, rows int) {
	for first := 0; first < rows; first += len(unitScales) {
		n := min(len(unitScales), rows-first)
		kernel.MulTernary(y[first*ldy:], ldy, x[first*l.in:], unitScales[:n], l.ternary, 1, n)
		for r := first; r < first+n; r++ {
			line := y[r*ldy:][:len(l.scales)]
			for o, s := range l.scales {
				line[o] *= float32(sx[r] * s)
			}
		}
	}
}

// A product of packed codes is made of tiles: tileOuts rows of weights are
// unpacked at a time, for tileRows rows of x after another.
const (
	tileOuts = 16
	tileRows = 64
	tileLine = tileOuts + 4 // sums from one row to the next
)

// tile is what one goroutine works in.
type tile struct {
	codes []int8
	sums  [tileRows * tileLine]int32
}

var tiles = sync.Pool{New: func() any { return new(tile) }}

func (l *Linear) multiplyPacked(y []float32, ldy int, x []int8, sx []float32, rows int) {
	kernel.Parallel((l.out+tileOuts-1)/tileOuts, func(i int) {
		t := tiles.Get().(*tile)
		defer tiles.Put(t)
		first := i * tileOuts
		outs := min(tileOuts, l.out-first)
		w := l.unpack(t, first, outs)
		for r := 0; r < rows; r += tileRows {
			n := min(tileRows, rows-r)
			l.multiplyTile(t, w, y[r*ldy+first:], ldy, x[r*l.in:], sx[r:r+n], first, outs)
		}
	})
}

// unpack returns the weights [outs, in] of the outputs from first on.
func (l *Linear) unpack(t *tile, first, outs int) []int8 {
	if l.weights.format == Bits8 {
		return kernel.AsCodes(l.weights.packed[first*l.in : (first+outs)*l.in])
	}
	t.codes = resize(t.codes, outs*l.in)
	kernel.Packing(l.weights.format).Unpack(t.codes, l.weights.packed, first*l.in)
	return t.codes
}

// multiplyTile multiplies rows of x with the weights w [outs, in] of the
// outputs from first on.
func (l *Linear) multiplyTile(t *tile, w []int8, y []float32, ldy int, x []int8, sx []float32, first, outs int) {
	size := min(l.group, l.in)
	for at := 0; at < l.in; at += size {
		kernel.DotCodes(t.sums[:], tileLine, x[at:], l.in, len(sx), w[at:], l.in, outs, size)
		for r, s := range sx {
			line, sums := y[r*ldy:][:outs], t.sums[r*tileLine:][:outs]
			for o, sum := range sums {
				part := float32(sum) * float32(s*l.scales[((first+o)*l.in+at)/l.group])
				if at > 0 {
					part += line[o]
				}
				line[o] = part
			}
		}
	}
}

// Apply computes y [rows, out] of x [rows, in]: it quantizes x as in says, and
// multiplies. It fails where [Input.Quantize] and [Linear.Multiply] do.
func (l *Linear) Apply(y, x []float32, rows int, in Input) error {
	if rows < 0 || rows > len(x)/l.in {
		return fmt.Errorf("linear: %d inputs for %d rows: each has %d", len(x), rows, l.in)
	}
	b := inputs.Get().(*input)
	defer inputs.Put(b)
	b.codes, b.scales = resize(b.codes, rows*l.in), resize(b.scales, rows)
	if err := in.Quantize(b.codes, b.scales, x, rows, l.in); err != nil {
		return fmt.Errorf("linear: %w", err)
	}
	return l.Multiply(y, l.out, b.codes, b.scales, rows)
}

// input is what a layer has made of its input.
type input struct {
	codes  []int8
	scales []float32
}

var inputs = sync.Pool{New: func() any { return new(input) }}
