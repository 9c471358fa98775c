package train

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/export"
	"trefoil/internal/kernel"
	"trefoil/quant"
	"trefoil/quant/packed"
	"trefoil/schedule"
)

// mixed has a rule for each kind of packed matrix; attention.v and ffn.up stay
// as the run has them.
var mixed = quant.Mixed{
	{Layers: "blocks.0.attention.q", Quantizer: quant.Config{Bits: 1}},
	{Layers: "blocks.0.attention.k", Quantizer: quant.Config{Bits: 4, Granularity: quant.PerGroup, Group: 16}},
	{Layers: "*.attention.[kq]", Quantizer: quant.Config{Scale: quant.Optimal, Granularity: quant.PerChannel}},
	{Layers: "*.attention.o", Quantizer: quant.Config{Bits: 3, Scale: quant.MSE}},
	{Layers: "*.ffn.gate", Quantizer: quant.Config{}},
	{Layers: "blocks.0.ffn.down", Quantizer: quant.Config{Bits: 8, Granularity: quant.PerChannel, ScaleType: quant.PowerOfTwo}},
	{Layers: "*.ffn.down", Quantizer: quant.Config{Bits: 2, Rounding: quant.Stochastic}},
}

// What the graph computes with is what is frozen: logits of the same tokens
// are equal bit for bit, at every level of the processor.
func TestFrozenModelEqualsGraph(t *testing.T) {
	c := arch.Config{
		Vocab: 61, Dim: 48, Layers: 2, Heads: 4, KVHeads: 2, FF: 88, Context: 20,
		Activation: arch.SiLU, RopeBase: 10000, NormEps: 1e-5,
	}
	relu2 := c
	relu2.Activation, relu2.KVHeads, relu2.Context = arch.ReLU2, 1, 33
	for _, c := range []arch.Config{c, relu2} {
		for _, q := range []schedule.Quantization{
			{Weights: schedule.Weights{Bits: schedule.TernaryBits, Scale: quant.AbsMean}, Activations: schedule.Activations{Bits: 8}},
			{Weights: schedule.Weights{Bits: schedule.TernaryBits, Scale: quant.Median}, Activations: schedule.Activations{Bits: 4}},
			{Weights: schedule.Weights{Bits: schedule.TernaryBits, Scale: quant.AbsMean}, Activations: schedule.Activations{Bits: 32}},
			{Weights: schedule.Weights{Bits: schedule.Float, Scale: quant.AbsMean}, Activations: schedule.Activations{Bits: 8}},
			{Weights: schedule.Weights{Bits: schedule.Float, Scale: quant.AbsMean}, Activations: schedule.Activations{Bits: 32}},
			{Weights: schedule.Weights{Bits: schedule.TernaryBits, Scale: quant.AbsMean}, Activations: schedule.Activations{Bits: 8}, Mixed: mixed},
			{Weights: schedule.Weights{Bits: schedule.Float, Scale: quant.AbsMean}, Activations: schedule.Activations{Bits: 32}, Mixed: mixed},
		} {
			q.Estimator, q.GradientBits, q.Noise.Kind = quant.Identity, 16, quant.NoNoise
			for level := kernel.Portable; level <= kernel.Best(); level++ {
				t.Run(fmt.Sprintf("%s/%v-%s-%d-%d/%v", c.Activation, q.Weights.Bits, q.Weights.Scale, q.Activations.Bits, len(q.Mixed), level), func(t *testing.T) {
					defer kernel.SetLevel(kernel.SetLevel(level))
					frozenEqualsGraph(t, c, q)
				})
			}
		}
	}
}

func frozenEqualsGraph(t *testing.T, c arch.Config, q schedule.Quantization) {
	const batch = 3
	n, err := NewNetwork(c, q, batch, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	r := rand.New(rand.NewPCG(8, 9))
	run := &export.Run{Config: config.Default(), Model: c, Weights: map[string][]float32{}}
	run.Config.Quantization = q
	var names []string
	for _, p := range n.Model.Parameters() {
		for i := range p.Data() {
			p.Data()[i] += float32(0.05 * r.NormFloat64())
		}
		run.Weights[p.Name] = p.Data()
		if p.Kind == arch.Linear {
			names = append(names, p.Name)
		}
	}
	plan, err := q.Plan(names, 1)
	if err != nil {
		t.Fatal(err)
	}
	n.Quantize(plan.At(1), frozenStep)
	for i := range n.Inputs {
		n.Inputs[i], n.Targets[i] = int32(r.IntN(c.Vocab)), int32(r.IntN(c.Vocab))
	}
	if err := n.Evaluate(); err != nil {
		t.Fatal(err)
	}
	m, err := run.Inference(export.Options{Float: packed.Float32, Percentile: 99.9})
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Logits(n.Inputs, batch)
	if err != nil {
		t.Fatal(err)
	}
	if want := n.Logits(); !slices.Equal(got, want) {
		t.Errorf("the frozen model's logits %v... differ from the graph's %v...", got[:3], want[:3])
	}
}
