package layers

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/arch"
	"trefoil/nn"
)

// ConvNetConfig is the shape of a [ConvNet].
type ConvNetConfig struct {
	Height, Width, Channels int   // of the images
	Filters                 []int // outputs of each convolution
	Hidden                  int   // width of the hidden layer
	Classes                 int
}

// validate reports sizes below 1, of images behind all poolings too.
func (c ConvNetConfig) validate() error {
	height, width := c.Height, c.Width
	for range c.Filters {
		height, width = height/PoolSize, width/PoolSize
	}
	if min(height, width, c.Channels, c.Hidden, c.Classes) < 1 {
		return fmt.Errorf("network: images of %d x %d x %d are %d x %d behind %d poolings by %d, for %d hidden units and %d classes: every number must be at least 1",
			c.Height, c.Width, c.Channels, height, width, len(c.Filters), PoolSize, c.Hidden, c.Classes)
	}
	for i, filters := range c.Filters {
		if filters < 1 {
			return fmt.Errorf("network: convolution %d has %d filters: every number must be at least 1", i, filters)
		}
	}
	return nil
}

// ConvNet is a small convolutional network in the manner of LeNet-5 (LeCun et
// al. 1998): stages of a 3 x 3 convolution, pooling by 2, a bias and ReLU,
// then a hidden layer with bias and ReLU, and one output a class.
type ConvNet struct {
	Config     ConvNetConfig
	Stages     []*ConvStage
	Hidden     *BitLinear
	HiddenBias *Parameter
	Head       *BitLinear
}

// ConvStage is a convolution with what follows it.
type ConvStage struct {
	Conv *BitConv2D
	Bias *Parameter
}

// Sizes of a ConvNet that do not vary.
const (
	ConvSize = 3 // height and width of a convolution's windows, padded to keep the image's size
	PoolSize = 2 // of pooling
)

// NewConvNet adds the parameters of a network to the graph, in float32: [Swap]
// quantizes it. Weights begin normal with variance 2/inputs (He et al. 2015,
// arXiv:1502.01852, equation 10), biases at 0.
func NewConvNet(g *G.ExprGraph, c ConvNetConfig, seed uint64) (*ConvNet, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	n := &ConvNet{Config: c}
	height, width, channels := c.Height, c.Width, c.Channels
	for i, filters := range c.Filters {
		name := fmt.Sprintf("conv.%d", i)
		window := nn.Window{Stride: 1, Padding: ConvSize / 2}
		n.Stages = append(n.Stages, &ConvStage{
			Conv: NewConv2D(g, name, channels, filters, ConvSize, window, he(seed, ConvSize*ConvSize*channels)),
			Bias: newBias(g, name, filters),
		})
		height, width, channels = height/PoolSize, width/PoolSize, filters
	}
	features := height * width * channels
	n.Hidden = NewLinear(g, "hidden", features, c.Hidden, he(seed, features))
	n.HiddenBias = newBias(g, "hidden", c.Hidden)
	n.Head = NewLinear(g, "head", c.Hidden, c.Classes, he(seed, c.Hidden))
	return n, nil
}

func he(seed uint64, inputs int) Init { return Init{seed, math.Sqrt(2 / float64(inputs))} }

func newBias(g *G.ExprGraph, layer string, size int) *Parameter {
	return newParameter(g, arch.Parameter{Name: layer + ".bias", Shape: []int{size}, Kind: arch.Norm}, make([]float32, size))
}

// Forward returns the logits [batch, classes] of images
// [batch, height, width, channels].
func (n *ConvNet) Forward(x *G.Node) (*G.Node, error) {
	c := n.Config
	if x.Dims() != 4 || x.Shape()[1] != c.Height || x.Shape()[2] != c.Width || x.Shape()[3] != c.Channels {
		return nil, fmt.Errorf("ConvNet: images %v; want [batch, %d, %d, %d]", x.Shape(), c.Height, c.Width, c.Channels)
	}
	var err error
	for _, s := range n.Stages {
		if x, err = s.Forward(x); err != nil {
			return nil, err
		}
	}
	if x, err = nn.Flatten(x); err != nil {
		return nil, err
	}
	if x, err = n.Hidden.Forward(x); err != nil {
		return nil, err
	}
	if x, err = nn.BiasReLU(x, n.HiddenBias.Node); err != nil {
		return nil, err
	}
	return n.Head.Forward(x)
}

// Forward returns the node [batch, height/2, width/2, filters] of images
// [batch, height, width, channels].
func (s *ConvStage) Forward(x *G.Node) (*G.Node, error) {
	x, err := s.Conv.Forward(x)
	if err != nil {
		return nil, err
	}
	// Pooling before bias and ReLU gives the same bits, for both keep the order
	// of numbers, with a quarter of the work.
	if x, err = nn.MaxPool2D(x, PoolSize); err != nil {
		return nil, err
	}
	return nn.BiasReLU(x, s.Bias.Node)
}

// Parameters returns all parameters, in the order in which they are used.
func (n *ConvNet) Parameters() []*Parameter {
	var all []*Parameter
	for _, s := range n.Stages {
		all = append(append(all, s.Conv.Parameters()...), s.Bias)
	}
	all = append(append(all, n.Hidden.Parameters()...), n.HiddenBias)
	return append(all, n.Head.Parameters()...)
}

// Biases lists the biases of all layers but the head, which has none.
func (n *ConvNet) Biases() []*Parameter {
	var all []*Parameter
	for _, s := range n.Stages {
		all = append(all, s.Bias)
	}
	return append(all, n.HiddenBias)
}

// Quantizable lists the layers with weights.
func (n *ConvNet) Quantizable() []*Quantized {
	var all []*Quantized
	for _, s := range n.Stages {
		all = append(all, &s.Conv.Quantized)
	}
	return append(all, &n.Hidden.Quantized, &n.Head.Quantized)
}

// NewImages adds float32 images [batch, height, width, channels] to the graph,
// an input. Write pixels into the returned slice before a run.
func NewImages(g *G.ExprGraph, name string, batch, height, width, channels int) (*G.Node, []float32) {
	pixels := make([]float32, batch*height*width*channels)
	dense := tensor.New(tensor.WithShape(batch, height, width, channels), tensor.WithBacking(pixels))
	return G.NewTensor(g, tensor.Float32, 4, G.WithShape(batch, height, width, channels), G.WithName(name), G.WithValue(dense)), pixels
}
