package main

import (
	"fmt"
	"math"
	"slices"

	"trefoil/data"
	"trefoil/internal/kernel"
	"trefoil/layers"
	"trefoil/quant"
)

// layer is a product with weights [out, in]; a convolution multiplies the
// windows of its images.
type layer struct {
	name         string
	weight, bias []float32 // no bias in the last layer
	out, in      int
}

// network is a layers.ConvNet on plain slices.
type network struct {
	shape  layers.ConvNetConfig
	layers []layer
}

// newNetwork copies what a network has learned.
func newNetwork(n *layers.ConvNet) *network {
	net := &network{shape: n.Config}
	biases := n.Biases()
	for i, q := range n.Quantizable() {
		out := q.Weight.Shape[0]
		l := layer{name: q.Weight.Name, weight: slices.Clone(q.Weight.Data()), out: out, in: q.Weight.Size() / out}
		if i < len(biases) {
			l.bias = slices.Clone(biases[i].Data())
		}
		net.layers = append(net.layers, l)
	}
	return net
}

// names lists the layers.
func (n *network) names() []string {
	var all []string
	for _, l := range n.layers {
		all = append(all, l.name)
	}
	return all
}

// with returns the network with other weights.
func (n *network) with(weights [][]float32) *network {
	other := &network{n.shape, slices.Clone(n.layers)}
	for i, w := range weights {
		other.layers[i].weight = w
	}
	return other
}

// An input is looked at, or changed, before layer i multiplies it: x [n, in].
type input func(i int, x []float32) error

// forward returns the logits [images, classes] of x [images, height, width,
// channels].
func (n *network) forward(x []float32, images int, before input) ([]float32, error) {
	height, width, channels := n.shape.Height, n.shape.Width, n.shape.Channels
	for i, l := range n.layers {
		rows := images
		if i < len(n.shape.Filters) {
			windows := kernel.ConvShape{
				Batch: images, Height: height, Width: width, Channels: channels,
				KernelHeight: layers.ConvSize, KernelWidth: layers.ConvSize, Stride: 1, Padding: layers.ConvSize / 2,
			}
			rows = windows.Rows()
			patches := make([]float32, rows*l.in)
			kernel.Patches(patches, x, windows)
			x = patches
		}
		if err := before(i, x); err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		y := make([]float32, rows*l.out)
		kernel.GemmNT(y, x, l.weight, rows, l.out, l.in, false)
		x = y
		if i < len(n.shape.Filters) {
			pools := kernel.ConvShape{
				Batch: images, Height: height, Width: width, Channels: l.out,
				KernelHeight: layers.PoolSize, KernelWidth: layers.PoolSize, Stride: layers.PoolSize,
			}
			height, width, channels = pools.OutHeight(), pools.OutWidth(), l.out
			x = make([]float32, images*height*width*channels)
			kernel.MaxPool(x, make([]int32, len(x)), y, pools)
		}
		if l.bias != nil {
			kernel.BiasReLU(x, x, l.bias, len(x)/l.out, l.out)
		}
	}
	return x, nil
}

// score is how well a network does: the mean loss in nats, and the accuracy.
type score struct{ loss, accuracy float64 }

// score classifies images.
func (n *network) score(set *data.Images, before input) (score, error) {
	var s score
	err := n.run(set, set.Len(), before, func(logits []float32, label int32) {
		top, sum := 0, 0.0
		for c, v := range logits {
			if v > logits[top] {
				top = c
			}
			sum += math.Exp(float64(v - logits[label]))
		}
		s.loss += math.Log(sum) / float64(set.Len())
		if top == int(label) {
			s.accuracy += 1 / float64(set.Len())
		}
	})
	return s, err
}

// run classifies the first count images and tells the logits of each.
func (n *network) run(set *data.Images, count int, before input, tell func(logits []float32, label int32)) error {
	const batch = 250
	if before == nil {
		before = func(int, []float32) error { return nil }
	}
	pixels, labels := make([]float32, batch*set.Size()), make([]int32, batch)
	for first := 0; first < count; first += batch {
		images := min(batch, count-first)
		for b := range images {
			labels[b] = set.Read(pixels[b*set.Size():(b+1)*set.Size()], first+b)
		}
		logits, err := n.forward(pixels[:images*set.Size()], images, before)
		if err != nil {
			return err
		}
		for b := range images {
			tell(logits[b*n.shape.Classes:(b+1)*n.shape.Classes], labels[b])
		}
	}
	return nil
}

// inputs returns the inputs [n, in] of layer i for the first count images.
func (n *network) inputs(set *data.Images, count, i int) ([]float32, error) {
	var all []float32
	err := n.run(set, count, func(k int, x []float32) error {
		if k == i {
			all = append(all, x...)
		}
		return nil
	}, func([]float32, int32) {})
	return all, err
}

// quantized is a network with quantized weights, and what that did to them.
type quantized struct {
	*network
	metrics quant.Metrics // over all weights: only SQNR, Zeros, Entropy and EffectiveBits
}

// quantize quantizes every layer by the plan.
func (n *network) quantize(plan quant.Mixed) (quantized, error) {
	quantizers, err := plan.Build(n.names())
	if err != nil {
		return quantized{}, err
	}
	var tensors []*quant.Tensor
	for _, l := range n.layers {
		t, err := quantizers[l.name].Quantize(l.weight, l.out, l.in)
		if err != nil {
			return quantized{}, fmt.Errorf("%s: %w", l.name, err)
		}
		tensors = append(tensors, t)
	}
	return n.of(tensors)
}

// of returns the network with the values of the tensors.
func (n *network) of(tensors []*quant.Tensor) (quantized, error) {
	var weights [][]float32
	var total quant.Metrics
	signal, noise, size := 0.0, 0.0, 0.0
	for i, t := range tensors {
		l := n.layers[i]
		m, err := quant.Compare(l.weight, t)
		if err != nil {
			return quantized{}, fmt.Errorf("%s: %w", l.name, err)
		}
		weights = append(weights, t.Values())
		count := float64(len(l.weight))
		size += count
		noise += m.MSE * count
		total.Zeros += m.Zeros * count
		total.Entropy += m.Entropy * count
		for _, w := range l.weight {
			signal += float64(w) * float64(w)
		}
	}
	total.Zeros, total.Entropy = total.Zeros/size, total.Entropy/size
	total.SQNR = 10 * math.Log10(signal/noise)
	total.EffectiveBits = (total.SQNR - 1.76) / 6.02
	return quantized{n.with(weights), total}, nil
}
