package layers

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/nn"
	"trefoil/quant"
)

var (
	perRow   = &quant.Config{Bits: 8, Granularity: quant.PerChannel}
	fourBits = &quant.Config{Bits: 4, Granularity: quant.PerChannel}
)

// specs are the ways to quantize that have a packed form.
var specs = []Spec{
	{Weights: &quant.Config{}, Activations: perRow},
	{Weights: &quant.Config{Scale: quant.TWN, Granularity: quant.PerChannel}, Activations: fourBits},
	{Weights: &quant.Config{Bits: 1}, Activations: perRow},
	{Weights: &quant.Config{Bits: 1, Scale: quant.Centred, Granularity: quant.PerChannel}, Activations: perRow},
	{Weights: &quant.Config{Bits: 2, Scale: quant.LSQ, Granularity: quant.PerChannel}, Activations: perRow},
	{Weights: &quant.Config{Bits: 2, Scale: quant.SEQ}, Activations: perRow},
	{Weights: &quant.Config{Bits: 3, Scale: quant.MSE}, PACT: 4},
	{Weights: &quant.Config{Bits: 4, Granularity: quant.PerChannel, ScaleType: quant.PowerOfTwo}, Activations: perRow},
	{Weights: &quant.Config{Bits: 8}, Activations: perRow},
	{Weights: &quant.Config{}, Calibrated: fixed(quant.Config{Bits: 8}, 0.03)},
	{Weights: &quant.Config{Bits: 4, Granularity: quant.PerChannel}, Calibrated: fixed(quant.Config{Bits: 4, Scale: quant.MSE}, 0.4)},
	{Weights: &quant.Config{Bits: 3, Rounding: quant.Stochastic, ScaleType: quant.Float16}, Activations: perRow},
}

// fixed returns a quantizer with one calibrated scale.
func fixed(c quant.Config, scale float32) *quant.Scalar {
	q, err := quant.New(c)
	if err == nil {
		q, err = q.WithScales([]float32{scale}, nil)
	}
	if err != nil {
		panic(err)
	}
	return q
}

// grouped is a spec for rows of 24 weights.
var grouped = Spec{Weights: &quant.Config{Bits: 4, Granularity: quant.PerGroup, Group: 8}, Activations: perRow}

// images adds an input of non-negative numbers to a graph, as ReLU gives.
func images(g *G.ExprGraph, shape ...int) (*G.Node, []float32) {
	x := make([]float32, tensor.Shape(shape).TotalSize())
	dense := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
	return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName("x"), G.WithValue(dense)), x
}

// redraw gives weights and input new random values.
func redraw(seed uint64, l *Quantized, x []float32) {
	r := rand.New(rand.NewPCG(seed, 3))
	for i := range x {
		x[i] = float32(max(0, r.NormFloat64()*float64(1+seed%5)))
	}
	w := l.Weight.Data()
	for i := range w {
		w[i] = float32(r.NormFloat64() / float64(1+seed%7))
	}
	if l.Weights != nil {
		l.Weights.Step = seed
	}
	if l.scales != nil {
		for i := range l.scales.Data() {
			l.scales.Data()[i] = float32(0.05 + r.Float64())
		}
	}
	if l.clip != nil {
		l.clip.Data()[0] = float32(0.5 + 3*r.Float64())
	}
}

// A frozen linear layer gives the bits of the one in the graph.
func TestFrozenLinearEqualsGraph(t *testing.T) {
	const tokens, in, out = 5, 24, 11
	for _, spec := range append(slices.Clone(specs), grouped) {
		t.Run(fmt.Sprintf("%+v", spec.Weights), func(t *testing.T) {
			g := G.NewGraph()
			l := NewLinear(g, "layer", in, out, Init{1, 1})
			if err := l.Quantize(spec); err != nil {
				t.Fatal(err)
			}
			x, values := images(g, tokens, in)
			y, err := l.Forward(x)
			if err != nil {
				t.Fatal(err)
			}
			vm := G.NewTapeMachine(g)
			defer vm.Close()
			got := make([]float32, tokens*out)
			for seed := range uint64(1000) {
				redraw(seed, &l.Quantized, values)
				if err := vm.RunAll(); err != nil {
					t.Fatal(err)
				}
				vm.Reset()
				frozen, input, err := l.Freeze()
				if err != nil {
					t.Fatal(err)
				}
				if err := frozen.Apply(got, values, tokens, input); err != nil {
					t.Fatal(err)
				}
				if want := y.Value().Data().([]float32); !slices.Equal(got, want) {
					t.Fatalf("seed %d: packed %v, graph %v", seed, got, want)
				}
			}
		})
	}
}

// So does a frozen convolution.
func TestFrozenConv2DEqualsGraph(t *testing.T) {
	const batch, height, width, in, out = 2, 6, 5, 3, 7
	for _, spec := range specs {
		t.Run(fmt.Sprintf("%+v", spec.Weights), func(t *testing.T) {
			g := G.NewGraph()
			c := NewConv2D(g, "layer", in, out, 3, nn.Window{Stride: 2, Padding: 1}, Init{1, 1})
			if err := c.Quantize(spec); err != nil {
				t.Fatal(err)
			}
			x, values := images(g, batch, height, width, in)
			y, err := c.Forward(x)
			if err != nil {
				t.Fatal(err)
			}
			vm := G.NewTapeMachine(g)
			defer vm.Close()
			got := make([]float32, y.Shape().TotalSize())
			for seed := range uint64(1000) {
				redraw(seed, &c.Quantized, values)
				if err := vm.RunAll(); err != nil {
					t.Fatal(err)
				}
				vm.Reset()
				frozen, input, err := c.Freeze()
				if err != nil {
					t.Fatal(err)
				}
				if err := frozen.Apply(got, values, batch, height, width, input); err != nil {
					t.Fatal(err)
				}
				if want := y.Value().Data().([]float32); !slices.Equal(got, want) {
					t.Fatalf("seed %d: packed %v, graph %v", seed, got, want)
				}
			}
		})
	}
}

func TestFreezeErrors(t *testing.T) {
	for want, spec := range map[string]Spec{
		"one calibrated scale":                         {Weights: &quant.Config{}, Calibrated: fixed(quant.Config{Bits: 8, Codes: quant.Narrow}, 1)},
		"weights are not quantized":                    {Activations: perRow},
		"input is not quantized":                       {Weights: &quant.Config{}},
		"layer: the input's quantizer has no packed":   {Weights: &quant.Config{}, Activations: &quant.Config{Bits: 8, Scheme: quant.Affine}},
		"zero points cannot be packed":                 {Weights: &quant.Config{Bits: 4, Scheme: quant.Affine}, Activations: perRow},
		"scales along an inner axis or of blocks cann": {Weights: &quant.Config{Bits: 4, Granularity: quant.PerChannel, Axis: 1}, Activations: perRow},
	} {
		l := NewLinear(G.NewGraph(), "layer", 6, 4, Init{1, 1})
		if err := l.Quantize(spec); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.Freeze(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "layer: ") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestSwap(t *testing.T) {
	g := G.NewGraph()
	m, err := NewTransformer(g, small(), false, 1)
	if err != nil {
		t.Fatal(err)
	}
	names, err := Swap(m, "blocks.1.ffn.*", Spec{Weights: &quant.Config{Bits: 4, Scale: quant.LSQ, Granularity: quant.PerChannel}, Activations: perRow})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"blocks.1.ffn.gate", "blocks.1.ffn.up", "blocks.1.ffn.down"}; !slices.Equal(names, want) {
		t.Errorf("swapped %v, want %v", names, want)
	}
	for i, b := range m.Blocks {
		f := b.FeedForward
		if quantized := f.Up.Weights != nil && f.Up.Activations != nil; quantized != (i == 1) || b.Attention.Q.Weights != nil {
			t.Errorf("block %d: quantized %v", i, quantized)
		}
	}
	up := m.Blocks[1].FeedForward.Up
	if p := up.Parameters(); len(p) != 2 || p[1].Name != "blocks.1.ffn.up.scales" || !slices.Equal(p[1].Shape, []int{small().FF}) {
		t.Errorf("parameters %v, want the weight and a scale for each of %d outputs", p, small().FF)
	}
	if !slices.Contains(m.Parameters(), up.Parameters()[1]) {
		t.Error("the model does not list the learned scales among its parameters")
	}
	if _, err := SwapBack(m, "*.up"); err != nil {
		t.Fatal(err)
	}
	if up.Weights != nil || up.Activations != nil || len(up.Parameters()) != 1 {
		t.Error("the layer is still quantized")
	}
	for pattern, want := range map[string]string{"blocks.7.*": "names no layer", "blocks.[": "not a pattern"} {
		if _, err := Swap(m, pattern, Spec{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), pattern) {
			t.Errorf("%s: error %v, want %q", pattern, err, want)
		}
	}
	for want, spec := range map[string]Spec{
		"blocks.0.attention.q: weights: quantizer: bits": {Weights: &quant.Config{Bits: 9}},
		"choose one":                                {Activations: perRow, PACT: 4},
		"2 of PACT, Activations and Calibrated":     {Activations: perRow, Calibrated: fixed(quant.Config{Bits: 8}, 1)},
		"PACT of -1 bits is not supported: use 2":   {PACT: -1},
		"PACT of 1 bits":                            {PACT: 1},
		"PACT of 8 bits":                            {PACT: 8},
		"no scales: give it some by WithScales":     {Calibrated: new(quant.Scalar)},
		"static has no scales here: use Calibrated": {Activations: &quant.Config{Bits: 8, Scale: quant.Static}},
		"static has no scales for weights":          {Weights: &quant.Config{Bits: 8, Scale: quant.Static}},
		"use PACT":                                  {Activations: &quant.Config{Bits: 4, Scale: quant.LSQ}},
		"groups of 5 ":                              {Weights: &quant.Config{Bits: 4, Scale: quant.LSQ, Granularity: quant.PerGroup, Group: 5}},
	} {
		if _, err := Swap(m, "blocks.0.attention.q", spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Mix quantizes weights by the first pattern that matches, leaves the inputs,
// and says which pattern is of no use.
func TestMix(t *testing.T) {
	m, err := NewTransformer(G.NewGraph(), small(), true, 1)
	if err != nil {
		t.Fatal(err)
	}
	table := quant.Mixed{
		{Layers: "blocks.0.ffn.down", Quantizer: quant.Config{}},
		{Layers: "*.ffn.down", Quantizer: quant.Config{Bits: 4, Granularity: quant.PerChannel}},
	}
	if err := Mix(m, table); err != nil {
		t.Fatal(err)
	}
	for i, b := range m.Blocks {
		down, up := b.FeedForward.Down, b.FeedForward.Up
		if up.Weights.Rule != nil || down.Activations == nil || down.Activations.Bits != 8 {
			t.Errorf("block %d: up has the rule %v, down the activations %+v", i, up.Weights.Rule, down.Activations)
		}
		if i == 0 {
			if down.Weights.Rule != nil {
				t.Errorf("the zero configuration is not b1.58's own node: %v", down.Weights.Rule)
			}
		} else if rule := down.Weights.Rule; rule == nil || rule.(*quant.Scalar).Config().Bits != 4 {
			t.Errorf("block %d: rule %v, want 4 bits", i, rule)
		}
	}
	if err := Mix(m, append(table, quant.MixedRule{Layers: "*.down"})); err == nil || !strings.Contains(err.Error(), `[2].layers: "*.down" decides about no layer`) {
		t.Errorf("error %v", err)
	}
	if err := Mix(m, quant.Mixed{{Layers: "*.up", Quantizer: quant.Config{Granularity: quant.PerGroup, Group: 5}}}); err == nil || !strings.Contains(err.Error(), "blocks.0.ffn.up: weights: ") {
		t.Errorf("error %v", err)
	}
}

// What Swap gave the weights to learn goes when Mix gives them another
// quantizer, and the layer freezes to what the graph computes.
func TestMixAfterSwap(t *testing.T) {
	const tokens, in, out = 3, 6, 4
	for _, other := range []quant.Config{{}, {Bits: 4, Granularity: quant.PerChannel}} {
		g := G.NewGraph()
		l := NewLinear(g, "layer", in, out, Init{1, 1})
		if _, err := Swap(l, "*", Spec{Weights: &quant.Config{Bits: 4, Scale: quant.LSQ}, Activations: perRow}); err != nil {
			t.Fatal(err)
		}
		if err := Mix(l, quant.Mixed{{Layers: "*", Quantizer: other}}); err != nil {
			t.Fatal(err)
		}
		if p := l.Parameters(); len(p) != 1 {
			t.Errorf("%v: %d parameters, want the weight alone", other, len(p))
		}
		x, values := images(g, tokens, in)
		redraw(1, &l.Quantized, values)
		y, err := l.Forward(x)
		if err != nil {
			t.Fatal(err)
		}
		vm := G.NewTapeMachine(g)
		defer vm.Close()
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		frozen, input, err := l.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, tokens*out)
		if err := frozen.Apply(got, values, tokens, input); err != nil {
			t.Fatal(err)
		}
		if want := y.Value().Data().([]float32); !slices.Equal(got, want) {
			t.Errorf("%v: packed %v, graph %v", other, got, want)
		}
	}
}

// Once Forward has built a layer, its quantizers stay: Freeze must not pack
// others than those of the graph.
func TestQuantizersStayAfterForward(t *testing.T) {
	g := G.NewGraph()
	l := NewLinear(g, "layer", 6, 4, Init{1, 1})
	if err := l.Quantize(Spec{Weights: &quant.Config{}, Activations: perRow}); err != nil {
		t.Fatal(err)
	}
	x, _ := images(g, 3, 6)
	if _, err := l.Forward(x); err != nil {
		t.Fatal(err)
	}
	_, swap := Swap(l, "*", Spec{Weights: fourBits})
	_, back := SwapBack(l, "*")
	for name, err := range map[string]error{
		"Quantize": l.Quantize(Spec{Weights: fourBits}), "Dequantize": l.Dequantize(), "Swap": swap, "SwapBack": back,
		"Mix": Mix(l, quant.Mixed{{Layers: "*", Quantizer: *fourBits}}),
	} {
		if err == nil || !strings.Contains(err.Error(), "layer: the layer is in the graph already: quantize it before Forward") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if m, _, err := l.Pack(); err != nil || m.Format().String() != "1.6 bits" {
		t.Errorf("packed as %v (%v), want the ternary weights of the graph", m.Format(), err)
	}
}

// A layer without inputs is a mistake of the program, and said so.
func TestNewLinearOfNothing(t *testing.T) {
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "layer: weights of shape [2 -3]") {
			t.Errorf("panic %q", got)
		}
	}()
	NewBitLinear(G.NewGraph(), "layer", -3, 2, Init{})
}

// However a scale for each token is written, it is the node's own rule, which
// has a packed form; of an image, a scale for each place is another rule.
func TestActivationsByRow(t *testing.T) {
	linear := NewLinear(G.NewGraph(), "layer", 6, 4, Init{1, 1})
	conv := NewConv2D(G.NewGraph(), "conv", 3, 4, 3, nn.Window{}, Init{1, 1})
	for _, c := range []struct {
		layer *Quantized
		input quant.Config
		own   bool
	}{
		{&linear.Quantized, quant.Config{Bits: 8, Granularity: quant.PerToken}, true},
		{&linear.Quantized, quant.Config{Bits: 4, Granularity: quant.PerChannel, Scale: quant.AbsMax, Rounding: quant.HalfEven}, true},
		{&linear.Quantized, quant.Config{Bits: 8, Granularity: quant.PerChannel, Axis: 1}, false},
		{&linear.Quantized, quant.Config{Bits: 8, Granularity: quant.PerToken, Codes: quant.Narrow}, false},
		{&linear.Quantized, quant.Config{Bits: 1.58, Granularity: quant.PerToken}, false},
		{&linear.Quantized, quant.Config{Bits: 8}, false},
		{&conv.Quantized, quant.Config{Bits: 8, Granularity: quant.PerChannel}, true},
		{&conv.Quantized, quant.Config{Bits: 8, Granularity: quant.PerToken}, false},
	} {
		if err := c.layer.Quantize(Spec{Weights: &quant.Config{}, Activations: &c.input}); err != nil {
			t.Fatal(err)
		}
		_, input, err := c.layer.Pack()
		if own := err == nil; own != c.own || own && input.Bits != int(c.input.Bits) {
			t.Errorf("%s of %+v: input %+v, error %v", c.layer.Weight.Name, c.input, input, err)
		}
	}
}

// A convolutional network learns through its quantizers: every parameter gets
// a gradient, that of a learned scale and clip among them.
func TestConvNetGradients(t *testing.T) {
	for _, spec := range []*Spec{nil, {Weights: &quant.Config{Bits: 3, Scale: quant.LSQ}, PACT: 4}, {Weights: &quant.Config{}, Activations: perRow}} {
		g := G.NewGraph()
		n, err := NewConvNet(g, ConvNetConfig{Height: 8, Width: 9, Channels: 2, Filters: []int{6, 8}, Hidden: 24, Classes: 3}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if spec != nil {
			if _, err := Swap(n, "*", *spec); err != nil {
				t.Fatal(err)
			}
		}
		x, pixels := NewImages(g, "images", 4, 8, 9, 2)
		r := rand.New(rand.NewPCG(1, 1))
		for i := range pixels {
			pixels[i] = float32(r.Float64())
		}
		targets, labels := NewIDs(g, "targets", 4)
		copy(labels, []int32{0, 1, 2, 1})
		logits, err := n.Forward(x)
		if err != nil {
			t.Fatal(err)
		}
		loss, err := nn.CrossEntropy(logits, targets, nil)
		if err != nil {
			t.Fatal(err)
		}
		var nodes G.Nodes
		for _, p := range n.Parameters() {
			nodes = append(nodes, p.Node)
		}
		if _, err := G.Grad(loss, nodes...); err != nil {
			t.Fatal(err)
		}
		for _, l := range n.Quantizable() {
			if l.clip != nil {
				l.clip.Data()[0] = 0.4 // some inputs are beyond it
			}
		}
		vm := G.NewTapeMachine(g)
		defer vm.Close()
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		for _, p := range n.Parameters() {
			d, err := p.Gradient()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(d, func(v float32) bool { return v != 0 }) {
				t.Errorf("%+v: the gradient of %s is zero", spec, p.Name)
			}
		}
	}
	if _, err := NewConvNet(G.NewGraph(), ConvNetConfig{Height: 3, Width: 8, Channels: 1, Filters: []int{3, 4}, Hidden: 5, Classes: 3}, 1); err == nil || !strings.Contains(err.Error(), "3 x 8 x 1") {
		t.Errorf("an image that is pooled away: %v", err)
	}
	if _, err := NewConvNet(G.NewGraph(), ConvNetConfig{Height: 8, Width: 8, Channels: 1, Filters: []int{3, -4}, Hidden: 5, Classes: 3}, 1); err == nil || !strings.Contains(err.Error(), "convolution 1 has -4 filters") {
		t.Errorf("a negative number of filters: %v", err)
	}
	n, err := NewConvNet(G.NewGraph(), ConvNetConfig{Height: 8, Width: 8, Channels: 1, Hidden: 5, Classes: 3}, 1)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := NewImages(n.Hidden.Weight.Node.Graph(), "x", 2, 8, 9, 1)
	if _, err := n.Forward(x); err == nil || !strings.Contains(err.Error(), "(2, 8, 9, 1)") || !strings.Contains(err.Error(), "8, 8, 1") {
		t.Errorf("images of another size: %v", err)
	}
}
