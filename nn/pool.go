package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// MaxPool2D returns the node of the largest value of each channel in windows
// of size x size, which lie side by side, of images
// x [batch, height, width, channels]: [batch, height/size, width/size,
// channels]. What a last window would lack is left out.
func MaxPool2D(x *G.Node, size int) (*G.Node, error) {
	const name = "MaxPool2D"
	if !isImages(x) {
		return nil, shapeError(name, "images [batch, height, width, channels]", x)
	}
	s := windowShape(x, size, size, Window{Stride: size})
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("%s: got %s %v: %w", name, x.Name(), x.Shape(), err)
	}
	return byType(name, x,
		func() (*G.Node, error) { return newMaxPool[float32](x, s) },
		func() (*G.Node, error) { return newMaxPool[float64](x, s) })
}

func newMaxPool[F kernel.Float](x *G.Node, s kernel.ConvShape) (*G.Node, error) {
	o, y := newOp[F]("MaxPool2D", s.Batch, s.OutHeight(), s.OutWidth(), s.Channels)
	from := make([]int32, o.shape.TotalSize())
	o.run = func(in []G.Value) error {
		kernel.MaxPool(y.data, from, values[F](in[0]), s)
		return nil
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		back, dx := newOp[F]("MaxPool2DGrad", in[0].Shape()...)
		back.run = func(in []G.Value) error {
			kernel.MaxPoolGrad(dx.data, values[F](in[0]), from)
			return nil
		}
		back.waits = G.Nodes{out}
		gradX, err := back.apply(grad)
		return G.Nodes{gradX}, err
	}
	return o.apply(x)
}
