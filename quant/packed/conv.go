package packed

import (
	"errors"
	"fmt"
	"sync"

	"trefoil/internal/kernel"
)

// A Conv2D is a 2-D convolution with packed weights [out, KernelHeight,
// KernelWidth, Channels] over images [batch, height, width, Channels],
// channels last.
type Conv2D struct {
	KernelHeight, KernelWidth int
	Channels                  int // of the images
	Stride                    int
	Padding                   int // zeros on each side
	weights                   *Linear
}

// NewConv2D gives c its weights, a matrix [out, KernelHeight*KernelWidth*
// Channels]. It fails on sizes that make no sense, or do not fit the matrix.
func NewConv2D(c Conv2D, m *Matrix) (*Conv2D, error) {
	if want := c.KernelHeight * c.KernelWidth * c.Channels; m.cols != want {
		return nil, fmt.Errorf("convolution: weights of %d columns for windows of %d x %d x %d: need %d",
			m.cols, c.KernelHeight, c.KernelWidth, c.Channels, want)
	}
	var err error
	if c.weights, err = NewLinear(m); err != nil {
		return nil, fmt.Errorf("convolution: %w", err)
	}
	if err := c.shape(1, c.KernelHeight, c.KernelWidth).Validate(); err != nil {
		return nil, fmt.Errorf("convolution: %w", err)
	}
	return &c, nil
}

func (c *Conv2D) shape(batch, height, width int) kernel.ConvShape {
	return kernel.ConvShape{
		Batch: batch, Height: height, Width: width, Channels: c.Channels,
		KernelHeight: c.KernelHeight, KernelWidth: c.KernelWidth, Stride: c.Stride, Padding: c.Padding,
	}
}

// check returns the shape for images of that size, of which one stands for all.
func (c *Conv2D) check(height, width int) (kernel.ConvShape, error) {
	s := c.shape(1, height, width)
	if c.weights == nil {
		return s, errors.New("convolution: it has no weights: make it with NewConv2D")
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("convolution: %w", err)
	}
	return s, nil
}

// OutSize returns the height and width of what images of that size become. It
// fails on a convolution without weights, and on images that are too small.
func (c *Conv2D) OutSize(height, width int) (outHeight, outWidth int, err error) {
	s, err := c.check(height, width)
	if err != nil {
		return 0, 0, err
	}
	return s.OutHeight(), s.OutWidth(), nil
}

// patches is what a convolution works in: the windows of an image.
type patches struct {
	codes  []int8
	scales []float32
}

var patchBuffers = sync.Pool{New: func() any { return new(patches) }}

// Multiply convolves codes x [batch, height, width, Channels], of which image
// b has the scale sx[b], into y [batch, outHeight, outWidth, out]:
//
//	y[b,i,j,o] = float32(sum of x*w over the window) * (sx[b]*sw)
//
// with the bits that [Linear.Multiply] gives the windows of an image, one
// image at a time.
func (c *Conv2D) Multiply(y []float32, x []int8, sx []float32, height, width int) error {
	s, err := c.check(height, width)
	if err != nil {
		return err
	}
	in, out := height*width*c.Channels, s.Rows()*c.weights.out
	if len(x) != len(sx)*in || len(y) != len(sx)*out {
		return fmt.Errorf("convolution: %d codes and %d results for %d images: need %d and %d of each", len(x), len(y), len(sx), in, out)
	}
	p := patchBuffers.Get().(*patches)
	defer patchBuffers.Put(p)
	p.codes, p.scales = resize(p.codes, s.Rows()*s.Cols()), resize(p.scales, s.Rows())
	for b, scale := range sx {
		kernel.Patches(p.codes, x[b*in:(b+1)*in], s)
		for r := range p.scales {
			p.scales[r] = scale
		}
		if err := c.weights.Multiply(y[b*out:(b+1)*out], c.weights.out, p.codes, p.scales, s.Rows()); err != nil {
			return err
		}
	}
	return nil
}

// Apply computes y [batch, outHeight, outWidth, out] of images x [batch, height,
// width, Channels]: it quantizes each image as in says, and multiplies. It
// fails where [Input.Quantize] and [Conv2D.Multiply] do.
func (c *Conv2D) Apply(y, x []float32, batch, height, width int, in Input) error {
	if _, err := c.check(height, width); err != nil {
		return err
	}
	size := height * width * c.Channels
	if batch < 0 || batch > len(x)/size {
		return fmt.Errorf("convolution: %d inputs for %d images: each has %d", len(x), batch, size)
	}
	b := inputs.Get().(*input)
	defer inputs.Put(b)
	b.codes, b.scales = resize(b.codes, batch*size), resize(b.scales, batch)
	if err := in.Quantize(b.codes, b.scales, x, batch, size); err != nil {
		return fmt.Errorf("convolution: %w", err)
	}
	return c.Multiply(y, b.codes, b.scales, height, width)
}
