package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// Window is how the windows of a convolution or a pooling lie on an image.
type Window struct {
	// Stride is the distance of two windows; 0 means 1.
	Stride int
	// Padding is the width of the zeros around the image.
	Padding int
}

// Conv2D returns the 2-D convolution (without flipping, as is usual for
// networks) of images x [batch, height, width, in] with weights
// w [out, height, width, in]: a node [batch, height', width', out]. It is the
// product of [Patches] and the weights, and multiplies integer codes where
// [Linear] would. Activations are best quantized with one scale an image,
// which [FakeQuantActivation] does.
func Conv2D(x, w *G.Node, window Window) (*G.Node, error) {
	const name = "Conv2D"
	if !isImages(x) || !isImages(w) || x.Shape()[3] != w.Shape()[3] || !sameType(x, w) {
		return nil, shapeError(name, "images [batch, height, width, in] and weights [out, height, width, in] of one element type", x, w)
	}
	s := windowShape(x, w.Shape()[1], w.Shape()[2], window)
	patches, err := patchesOf(name, x, s)
	if err != nil {
		return nil, err
	}
	shape := []int{s.Batch, s.OutHeight(), s.OutWidth(), w.Shape()[0]}
	return byType(name, x,
		func() (*G.Node, error) { return newLinear[float32](name, patches, G.Nodes{w}, shape...) },
		func() (*G.Node, error) { return newLinear[float64](name, patches, G.Nodes{w}, shape...) })
}

// windowShape is the geometry of windows on the images of a node with four
// dimensions.
func windowShape(x *G.Node, height, width int, w Window) kernel.ConvShape {
	d := x.Shape()
	return kernel.ConvShape{
		Batch: d[0], Height: d[1], Width: d[2], Channels: d[3],
		KernelHeight: height, KernelWidth: width, Stride: max(w.Stride, 1), Padding: w.Padding,
	}
}

// Patches returns the node of the windows of height x width of images
// x [batch, height, width, channels] (im2col): a row for each window, image
// by image and line by line, [batch*height'*width', height*width*channels].
// Outside of an image there are zeros. Windows of a fake-quantized x are known
// by their integer codes too.
func Patches(x *G.Node, height, width int, window Window) (*G.Node, error) {
	const name = "Patches"
	if !isImages(x) {
		return nil, shapeError(name, "images [batch, height, width, channels]", x)
	}
	return patchesOf(name, x, windowShape(x, height, width, window))
}

func patchesOf(name string, x *G.Node, s kernel.ConvShape) (*G.Node, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("%s: got %s %v: %w", name, x.Name(), x.Shape(), err)
	}
	return byType(name, x,
		func() (*G.Node, error) { return newPatches[float32](x, s) },
		func() (*G.Node, error) { return newPatches[float64](x, s) })
}

func newPatches[F kernel.Float](x *G.Node, s kernel.ConvShape) (*G.Node, error) {
	o, y := newOp[F]("Patches", s.Rows(), s.Cols())
	var r readers
	source := integersOf[F](x)
	codes := patchCodes(source, s)
	if codes != nil {
		o.integers = codes
		o.codesOnly = func() bool { return codes.exact() && !r.wantValues() }
	}
	o.run = func(in []G.Value) error {
		if codes != nil && codes.exact() {
			codes.cut(source, s)
			if !r.wantValues() {
				o.unwritten = true
				return nil
			}
		}
		kernel.Patches(y.data, values[F](in[0]), s)
		return nil
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		back, dx := newOp[F]("PatchesGrad", in[0].Shape()...)
		back.run = func(in []G.Value) error {
			kernel.PatchesGrad(dx.data, values[F](in[0]), s)
			return nil
		}
		back.waits = G.Nodes{out}
		gradX, err := back.apply(grad)
		return G.Nodes{gradX}, err
	}
	var err error
	r.node, err = o.apply(x)
	return r.node, err
}

// patchCodes returns room for the codes of the windows of images, nil when
// the images have none or more than one scale each.
func patchCodes[F kernel.Float](images *integers[F], s kernel.ConvShape) *integers[F] {
	if images == nil || images.group > 0 {
		return nil
	}
	c := *images
	c.codes, c.scales = make([]int8, s.Rows()*s.Cols()), make([]F, s.Rows())
	return &c
}

// cut takes the codes and scales of the windows from those of the images.
func (c *integers[F]) cut(images *integers[F], s kernel.ConvShape) {
	kernel.Patches(c.codes, images.codes, s)
	windows := s.OutHeight() * s.OutWidth()
	for row := range c.scales {
		c.scales[row] = images.scale(row / windows)
	}
}
