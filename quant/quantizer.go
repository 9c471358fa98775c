package quant

import (
	"context"
	"fmt"
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
	aciq   float64 // bound of the ACIQ rules, in units of the distribution
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
// slices of dst are large enough, but for the rule optimal, which sorts a copy
// of a group of more than 65,536 elements. It fails on a shape that does not
// fit, on NaN and infinities, and on scales too large for their type, or with
// which a code's value would be; what dst holds is then of no use. Each group
// depends on its own elements alone, and nothing on the number of threads.
func (q *Scalar) QuantizeInto(dst *Tensor, x []float32, shape ...int) error {
	return q.quantize(call{ctx: context.Background(), src: source{f: x}}, dst, shape)
}

// QuantizeInput is QuantizeInto for numbers of 16 bits and for large tensors:
// it stops with the context's error between pieces of a few million elements,
// and calls progress, unless that is nil, with the number of elements that are
// done. Within a group, order statistics, histograms and sorting are not
// stopped.
func (q *Scalar) QuantizeInput(ctx context.Context, dst *Tensor, in Input, progress func(done, total int)) error {
	src, err := in.source()
	if err != nil {
		return err
	}
	return q.quantize(call{ctx: ctx, src: src, progress: progress}, dst, in.Shape)
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
	static   bool // the scales are in dst
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
	c.static = c.static || q.config.Scale == Static
	if c.static && (len(dst.Scales) != l.Groups || q.config.Scheme == Affine && len(dst.Zeros) != l.Groups) {
		return fmt.Errorf("quantizing: %d scales and %d zero points are given, shape %s takes %d: fill them in first", len(dst.Scales), len(dst.Zeros), dims(shape), l.Groups)
	}
	dst.prepare(&q.config, l, shape)
	w.call, w.q, w.t = c, q, dst
	w.rule, w.encode = q.config.Scale, q.encode
	if c.static {
		w.rule = Static
		if q.encode == byThreshold {
			w.encode = nearest
		}
	}
	return w.overGroups(quantizing)
}
