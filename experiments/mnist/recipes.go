package main

import (
	"fmt"

	"trefoil/config"
	"trefoil/layers"
	"trefoil/quant"
	"trefoil/schedule"
	"trefoil/train"
)

// recipe is a way to quantize every layer of the network.
type recipe struct {
	name, words string
	spec        *layers.Spec // nil leaves the network in float32
}

// perImage is an input of 8 bits with a scale for each image.
var perImage = &quant.Config{Bits: 8, Granularity: quant.PerChannel}

// byFilter are weights with a scale for each filter.
func byFilter(bits float64, scale quant.Scale) *layers.Spec {
	return &layers.Spec{
		Weights:     &quant.Config{Bits: bits, Scale: scale, Granularity: quant.PerChannel},
		Activations: perImage,
	}
}

var recipes = []recipe{
	{"float32", "float32", nil},
	{"W8A8", "8-bit weights, absmax by filter", byFilter(8, quant.AbsMax)},
	{"W4A8", "4-bit weights, absmax by filter", byFilter(4, quant.AbsMax)},
	{"W2A8", "2-bit weights, LSQ's learned step by filter", byFilter(2, quant.LSQ)},
	{"b1.58", "ternary weights, absmean", &layers.Spec{Weights: &quant.Config{}, Activations: perImage}},
	{"binary", "binary weights, mean magnitude", &layers.Spec{Weights: &quant.Config{Bits: 1}, Activations: perImage}},
}

// network is the shape of the network for images of that size.
func network(height, width, channels, classes int) layers.ConvNetConfig {
	return layers.ConvNetConfig{Height: height, Width: width, Channels: channels, Filters: []int{16, 32}, Hidden: 128, Classes: classes}
}

// settings is how every recipe is trained.
func settings(steps int) config.Train {
	t := config.Default().Train
	t.Steps, t.Batch, t.Accumulate, t.Optimizer = steps, 64, 1, config.AdamW
	t.LR, t.Schedule, t.Warmup, t.Floor = 2e-3, schedule.Linear, 20, 0
	t.WeightDecay, t.Beta1, t.Beta2, t.Clip = 0.05, 0.9, 0.99, 1
	t.EvalEvery = max(10, steps/5)
	return t
}

// plan is the way from float32 to the quantized network.
func plan(layers []string, steps int) (*schedule.Plan, error) {
	q := config.Default().Quantization
	q.Phases = []schedule.Phase{
		{Name: "blend", Share: 0.3, Lambda: schedule.Lambda{Shape: schedule.Linear, From: 0, To: 1}},
		{Name: "quantized", Share: 0.7, Lambda: schedule.Lambda{Shape: schedule.Step, To: 1}},
	}
	return q.Plan(layers, steps)
}

// describe is the text by which a run that is resumed knows its recipe.
func (r recipe) describe(n layers.ConvNetConfig, seed uint64, t config.Train) string {
	spec := "float32"
	if r.spec != nil {
		spec = fmt.Sprintf("weights %+v\nactivations %+v", *r.spec.Weights, *r.spec.Activations)
	}
	return fmt.Sprintf("network %+v\nseed %d\ntrain %+v\n%s", n, seed, t, spec)
}

func (r recipe) fit(task *train.ImageTask, n layers.ConvNetConfig, seed uint64, steps int) (train.Recipe, error) {
	t := settings(steps)
	p, err := plan(task.Layers(), steps)
	return train.Recipe{Name: r.name, Train: t, Plan: p, Config: r.describe(n, seed, t)}, err
}
