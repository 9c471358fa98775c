package quant

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// A Quantizer turns numbers into codes.
type Quantizer interface {
	// Grid tells which codes it makes.
	Grid() Grid
	// QuantizeInto makes dst the quantized form of x, row-major of the given
	// shape (one dimension if there is none), and uses its slices again.
	QuantizeInto(dst *Tensor, x []float32, shape ...int) error
	// Encode writes the codes of x by the scales and zero points in dst,
	// which has as many as the shape asks for.
	Encode(dst *Tensor, x []float32, shape ...int) error
}

// Scalar is a quantizer that rounds each element by itself: all that a
// [Config] describes. It is immutable, and many goroutines may use one.
type Scalar struct {
	config Config
	grid   Grid
	encode encoding
	aciq   float64   // bound of the ACIQ rules, in units of the distribution
	scales []float32 // fixed, by WithScales; nil without
	zeros  []int8
}

var _ Quantizer = (*Scalar)(nil)

// New returns the quantizer that c describes; the error names each field that
// makes no sense.
func New(c Config) (*Scalar, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("quantizer: %w", err)
	}
	c = c.resolved()
	return &Scalar{config: c, grid: c.Grid(), encode: c.encoding(), aciq: ACIQ(c.Scale, c.Bits)}, nil
}

// Config returns the configuration with its empty fields filled in.
func (q *Scalar) Config() Config { return q.config }

// WithScales returns q with fixed scales and zero points, those of
// calibration, one for each group of the tensors that it is going to quantize;
// zeros is nil for a symmetric grid. Its rule is static, and a code that of
// [Scalar.Encode] by these scales. It fails on scales that are not positive
// numbers of the scale's type, on another number of zero points than of
// scales, and on seq above 1.58 bits, whose grid belongs to its rule.
func (q *Scalar) WithScales(scales []float32, zeros []int8) (*Scalar, error) {
	c := q.config
	c.Scale = Static
	fixed, err := New(c)
	if err != nil {
		return nil, err
	}
	if fixed.grid != q.grid {
		return nil, fmt.Errorf("fixed scales: the levels of %s belong to its rule: use Encode", q.config.Scale)
	}
	want := len(scales)
	if c.Scheme == Symmetric {
		want = 0
	}
	if len(scales) == 0 || len(zeros) != want {
		return nil, fmt.Errorf("fixed scales: %d scales and %d zero points for a %s grid: give one scale a group, and for an affine grid as many zero points", len(scales), len(zeros), c.Scheme)
	}
	for g, s := range scales {
		if !c.ScaleType.Holds(s) || !(s > 0 && s <= math.MaxFloat32) {
			return nil, fmt.Errorf("fixed scales: scale %d, %v, is no positive %s: take those of Config.Cover", g, s, c.ScaleType)
		}
	}
	fixed.scales, fixed.zeros = slices.Clone(scales), slices.Clone(zeros)
	return fixed, nil
}

// Scales returns the fixed scales and zero points of [Scalar.WithScales], nil
// without. They must not be changed.
func (q *Scalar) Scales() (scales []float32, zeros []int8) { return q.scales, q.zeros }

// Grid tells which codes the quantizer makes.
func (q *Scalar) Grid() Grid { return q.grid }

// Quantize returns the quantized form of x: see [Scalar.QuantizeInto].
func (q *Scalar) Quantize(x []float32, shape ...int) (*Tensor, error) {
	t := new(Tensor)
	if err := q.QuantizeInto(t, x, shape...); err != nil {
		return nil, err
	}
	return t, nil
}

// QuantizeInto makes dst the quantized form of x, which is row-major of the
// given shape (one dimension if there is none). It allocates nothing if the
// slices of dst are large enough. It fails on a shape that does not
// fit, on NaN and infinities, and on scales too large for their type, or with
// which a code's value would be; what dst holds is then of no use. Each group
// depends on its own elements alone, and nothing on the number of threads.
func (q *Scalar) QuantizeInto(dst *Tensor, x []float32, shape ...int) error {
	return q.quantize(call{ctx: context.Background(), src: source{f: x}}, dst, shape)
}

// QuantizeInput is QuantizeInto for numbers of 16 bits and for large tensors:
// it stops with the context's error between pieces of a few million elements,
// and calls progress, unless that is nil, with the number of elements that are
// done. The elements of a large group are half done when the group has its
// scale.
func (q *Scalar) QuantizeInput(ctx context.Context, dst *Tensor, in Input, progress func(done, total int)) error {
	src, err := in.source()
	if err != nil {
		return err
	}
	return q.quantize(call{ctx: ctx, src: src, progress: progress}, dst, in.Shape)
}

// QuantizePieces is QuantizeInput for a caller that keeps the codes in another
// form: it hands them to take in pieces of up to four million, in the order of
// the elements, first being the number of those before, and leaves dst.Codes
// empty. A piece is valid until take returns; its error ends the call. It
// fails on groups whose elements do not follow each other.
func (q *Scalar) QuantizePieces(ctx context.Context, dst *Tensor, in Input, take func(first int, codes []int8) error, progress func(done, total int)) error {
	src, err := in.source()
	if err != nil {
		return err
	}
	return q.quantize(call{ctx: ctx, src: src, progress: progress, take: take}, dst, in.Shape)
}

// Encode writes the codes of x by the scales and zero points in dst: learned
// ones, or those of calibration. The code of v is clamp(round(v*(1/scale)) +
// zero); rules with a threshold (twn, ttq, optimal) take scale/2, centred
// takes 0. It fails like QuantizeInto, and on scales that are not positive.
func (q *Scalar) Encode(dst *Tensor, x []float32, shape ...int) error {
	return q.quantize(call{ctx: context.Background(), src: source{f: x}, static: true}, dst, shape)
}

// call is what differs between the ways to call a quantizer.
type call struct {
	ctx      context.Context
	src      source
	progress func(done, total int)
	static   bool                                // the scales are in dst
	take     func(first int, codes []int8) error // takes the codes; nil leaves them in dst
}

func (q *Scalar) quantize(c call, dst *Tensor, shape []int) error {
	w := takeWork()
	defer w.release()
	if len(shape) == 0 {
		w.shape[0] = c.src.len()
		shape = w.shape[:]
	}
	l, err := q.config.Layout(shape...)
	if err != nil {
		return fmt.Errorf("quantizing: %w", err)
	}
	if n := l.Groups * l.Size(); n != c.src.len() {
		return fmt.Errorf("quantizing: %d elements do not fill shape %s: give %d", c.src.len(), dims(shape), n)
	}
	if q.scales != nil && !c.static {
		dst.Scales, dst.Zeros = append(dst.Scales[:0], q.scales...), append(dst.Zeros[:0], q.zeros...)
	}
	c.static = c.static || q.config.Scale == Static
	if c.static && (len(dst.Scales) != l.Groups || q.config.Scheme == Affine && len(dst.Zeros) != l.Groups) {
		return fmt.Errorf("quantizing: %d scales and %d zero points are given, shape %s takes %d: fill them in first, or use WithScales", len(dst.Scales), len(dst.Zeros), dims(shape), l.Groups)
	}
	if c.take != nil && l.Runs > 1 {
		return fmt.Errorf("quantizing in pieces: the elements of a group of shape %s do not follow each other: use scales by tensor, token, group, or channel of the first axis", dims(shape))
	}
	dst.prepare(&q.config, l, shape, c.take == nil)
	w.call, w.q, w.t, w.dst = c, q, dst, dst.Codes
	w.rule, w.encode = q.config.Scale, q.encode
	if c.static {
		w.rule = Static
		if q.encode == byThreshold {
			w.encode = nearest
		}
	}
	return w.overGroups(quantizing)
}
