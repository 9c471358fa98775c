package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"trefoil/data"
	"trefoil/internal/atomicfile"
	"trefoil/internal/kernel"
	"trefoil/internal/safetensors"
	"trefoil/layers"
	"trefoil/quant"
	"trefoil/quant/packed"
)

// networkKey is the entry of the file's metadata that describes the network.
const networkKey = "network"

// description is what the file says beside the tensors NAME.weight (packed
// codes), NAME.scales and NAME.bias.
type description struct {
	Shape  layers.ConvNetConfig
	Layers []layerInfo
}

// layerInfo describes the weights of a layer and how it reads its input.
type layerInfo struct {
	Name       string
	Format     packed.Format
	Rows, Cols int
	Group      int // codes that share a scale
	Input      packed.Input
}

// export writes the packed form of a network as it is now.
func export(path string, n *layers.ConvNet) error {
	d := description{Shape: n.Config}
	var tensors []safetensors.Tensor
	for _, l := range n.Quantizable() {
		m, input, err := l.Pack()
		if err != nil {
			return err
		}
		name := l.Weight.Name
		scales, group := m.Scales()
		d.Layers = append(d.Layers, layerInfo{name, m.Format(), m.Rows(), m.Cols(), group, input})
		tensors = append(tensors,
			safetensors.Tensor{Name: name + ".weight", Shape: []int{len(m.Packed())}, Data: m.Packed()},
			safetensors.Tensor{Name: name + ".scales", Shape: []int{len(scales)}, Data: scales})
	}
	for _, b := range n.Biases() {
		tensors = append(tensors, safetensors.Tensor{Name: b.Name, Shape: b.Shape, Data: b.Data()})
	}
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		return safetensors.Write(w, map[string]string{networkKey: string(text)}, tensors)
	})
}

// convNet is a packed network: it multiplies integers, without a graph.
type convNet struct {
	shape  layers.ConvNetConfig
	inputs []packed.Input // of each layer
	sizes  []int          // bytes of each layer's weights
	biases [][]float32    // of each layer but the last
	stages []*packed.Conv2D
	dense  []*packed.Linear // hidden and head
}

// open reads a packed network.
func open(path string) (*convNet, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var d description
	if err := json.Unmarshal([]byte(f.Metadata(networkKey)), &d); err != nil {
		return nil, fmt.Errorf("%s: metadata %s: %w", path, networkKey, err)
	}
	if len(d.Layers) != len(d.Shape.Filters)+2 {
		return nil, fmt.Errorf("%s: %d layers, want %d and 2", path, len(d.Layers), len(d.Shape.Filters))
	}
	n := &convNet{shape: d.Shape}
	for i, l := range d.Layers {
		if err := n.add(f.Reader, i, l); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, l.Name, err)
		}
	}
	return n, nil
}

// add reads layer i.
func (n *convNet) add(f *safetensors.Reader, i int, l layerInfo) error {
	if err := l.Input.Validate(); err != nil {
		return fmt.Errorf("%w; pack the network again", err)
	}
	codes, err := f.Bytes(l.Name + ".weight")
	if err != nil {
		return err
	}
	scales, err := f.Float32(l.Name + ".scales")
	if err != nil {
		return err
	}
	s := packed.Scales{Granularity: quant.PerGroup, Group: l.Group, Values: scales}
	if len(scales) == 1 {
		s.Granularity = quant.PerTensor
	}
	m, err := packed.OpenMatrix(l.Format, l.Rows, l.Cols, codes, s)
	if err != nil {
		return err
	}
	n.inputs, n.sizes = append(n.inputs, l.Input), append(n.sizes, m.Size())
	if i <= len(n.shape.Filters) { // all but the head
		bias, err := f.Float32(l.Name+".bias", l.Rows)
		if err != nil {
			return err
		}
		n.biases = append(n.biases, bias)
	}
	if i >= len(n.shape.Filters) {
		dense, err := packed.NewLinear(m)
		n.dense = append(n.dense, dense)
		return err
	}
	channels := n.shape.Channels
	if i > 0 {
		channels = n.shape.Filters[i-1]
	}
	stage, err := packed.NewConv2D(packed.Conv2D{
		KernelHeight: layers.ConvSize, KernelWidth: layers.ConvSize, Channels: channels, Stride: 1, Padding: layers.ConvSize / 2,
	}, m)
	n.stages = append(n.stages, stage)
	return err
}

func (n *convNet) weightBytes() (sum int) {
	for _, size := range n.sizes {
		sum += size
	}
	return sum
}

// logits classifies images x [batch, height, width, channels].
func (n *convNet) logits(x []float32, batch int) ([]float32, error) {
	height, width := n.shape.Height, n.shape.Width
	for i, stage := range n.stages {
		filters := len(n.biases[i])
		y := make([]float32, batch*height*width*filters)
		if err := stage.Apply(y, x, batch, height, width, n.inputs[i]); err != nil {
			return nil, err
		}
		s := kernel.ConvShape{Batch: batch, Height: height, Width: width, Channels: filters,
			KernelHeight: layers.PoolSize, KernelWidth: layers.PoolSize, Stride: layers.PoolSize}
		pooled := make([]float32, s.Rows()*filters)
		kernel.MaxPool(pooled, make([]int32, len(pooled)), y, s)
		kernel.BiasReLU(pooled, pooled, n.biases[i], s.Rows(), filters)
		x, height, width = pooled, s.OutHeight(), s.OutWidth()
	}
	for i, l := range n.dense {
		at := len(n.stages) + i
		if len(x) != batch*l.In() {
			return nil, errors.New("the layers do not fit each other")
		}
		y := make([]float32, batch*l.Out())
		if err := l.Apply(y, x, batch, n.inputs[at]); err != nil {
			return nil, err
		}
		if at < len(n.biases) {
			kernel.BiasReLU(y, y, n.biases[at], batch, l.Out())
		}
		x = y
	}
	return x, nil
}

// accuracy returns the share of images that are classified as their labels say.
func (n *convNet) accuracy(images *data.Images) (float64, error) {
	const most = 64
	size, correct := images.Size(), 0
	for first := 0; first < images.Len(); first += most {
		batch := min(most, images.Len()-first)
		x, labels := make([]float32, batch*size), make([]int32, batch)
		for i := range batch {
			labels[i] = images.Read(x[i*size:(i+1)*size], first+i)
		}
		logits, err := n.logits(x, batch)
		if err != nil {
			return 0, err
		}
		for i, label := range labels {
			if kernel.Argmax(logits[i*n.shape.Classes:(i+1)*n.shape.Classes]) == int(label) {
				correct++
			}
		}
	}
	return float64(correct) / float64(images.Len()), nil
}
