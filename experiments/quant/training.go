package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	G "gorgonia.org/gorgonia"

	"trefoil/config"
	"trefoil/layers"
	"trefoil/quant"
	"trefoil/schedule"
	"trefoil/train"
)

// noisy is the grid whose noise the weights are trained with.
var noisy = quant.Config{Bits: 2, Scale: quant.MSE, Granularity: quant.PerChannel}

// lesson is a way to train a network: in float32 with noise on its weights, or
// quantized by spec.
type lesson struct {
	name      string
	steps     int
	noise     quant.Noise
	spec      *layers.Spec
	spared    string          // a layer that stays in float32: a pattern; empty means none
	estimator quant.Estimator // of the weights; empty means the one that fits
}

// prepare gives the network the quantizers of the lesson.
func (l lesson) prepare(net *layers.ConvNet) error {
	spec := l.spec
	if spec == nil && l.noise.Enabled() {
		spec = &layers.Spec{Weights: &noisy}
	}
	if spec == nil {
		return nil
	}
	if _, err := layers.Swap(net, "*", *spec); err != nil {
		return err
	}
	if l.spared != "" {
		if _, err := layers.SwapBack(net, l.spared); err != nil {
			return err
		}
	}
	for _, q := range net.Quantizable() {
		if q.Weights != nil {
			q.Weights.Estimator = l.estimator
		}
	}
	return nil
}

// describe is the text by which a run that is made already is known again.
func (l lesson) describe() string {
	if l.spec == nil {
		return fmt.Sprintf("noise %+v of %+v", l.noise, noisy)
	}
	text := fmt.Sprintf("estimator %s, without %q, PACT %d", l.estimator, l.spared, l.spec.PACT)
	for _, c := range []*quant.Config{l.spec.Weights, l.spec.Activations} {
		if c != nil {
			text += fmt.Sprintf(", %+v", *c)
		}
	}
	return text
}

// trained returns a network in the values that it has learned, and what the
// graph scores with it. A run that is whole is not made again.
func (s *study) trained(ctx context.Context, l lesson, seed uint64) (*network, score, error) {
	shape := layers.ConvNetConfig{
		Height: s.train.Height, Width: s.train.Width, Channels: s.train.Channels,
		Filters: []int{16, 32}, Hidden: 128, Classes: s.train.Classes,
	}
	net, err := layers.NewConvNet(G.NewGraph(), shape, seed)
	if err != nil {
		return nil, score{}, err
	}
	if err := l.prepare(net); err != nil {
		return nil, score{}, err
	}
	t := config.Default().Train
	t.Steps, t.Batch, t.Accumulate, t.Optimizer = l.steps, 64, 1, config.AdamW
	t.LR, t.Schedule, t.Warmup, t.Floor = 2e-3, schedule.Linear, 20, 0
	t.WeightDecay, t.Beta1, t.Beta2, t.Clip, t.EvalEvery = 0.05, 0.9, 0.99, 1, l.steps/2
	task, err := train.NewImageTask(net, s.train, s.heldout, t.Batch, seed)
	if err != nil {
		return nil, score{}, err
	}
	defer task.Graph().Close()
	q := config.Default().Quantization
	q.Noise = l.noise
	q.Phases = l.phases()
	plan, err := q.Plan(task.Layers(), l.steps)
	if err != nil {
		return nil, score{}, err
	}
	r := train.Recipe{Name: l.name, Train: t, Plan: plan, Config: fmt.Sprintf("network %+v\nseed %d\ntrain %+v\n%s", shape, seed, t, l.describe())}
	options := train.Options{Dir: filepath.Join(s.dir, fmt.Sprintf("%s-%d", l.name, seed))}
	result, err := train.Fit(ctx, r, task, options)
	if errors.Is(err, train.ErrExists) {
		options.Resume = true
		result, err = train.Fit(ctx, r, task, options)
	}
	if err != nil {
		return nil, score{}, fmt.Errorf("%s, seed %d: %w", l.name, seed, err)
	}
	return newNetwork(net), score{result.ValLoss, result.ValAccuracy}, nil
}

// phases leave the weights in float32 but for the noise: those that are
// quantized by blocks begin quantized. A plan ends quantized; its last
// hundredth, at the end of a rate that falls to zero, changes next to nothing.
// A network that learns quantized is blended into it.
func (l lesson) phases() []schedule.Phase {
	if l.spec != nil {
		return []schedule.Phase{
			{Name: "blend", Share: 0.3, Lambda: schedule.Lambda{Shape: schedule.Linear, To: 1}},
			{Name: "quantized", Share: 0.7, Lambda: schedule.Lambda{Shape: schedule.Step, To: 1}},
		}
	}
	first := schedule.Lambda{Shape: schedule.Step, To: 0}
	if l.noise.Kind == quant.BlockNoise {
		first.To = 1
	}
	return []schedule.Phase{
		{Name: "noise", Share: 0.99, Lambda: first},
		{Name: "quantized", Share: 0.01, Lambda: schedule.Lambda{Shape: schedule.Step, To: 1}},
	}
}

// learning compares what learns while the network is quantized: scales, clips
// of the inputs, and the estimators of rounding. The first layer stays in
// float32 where inputs are quantized, as in PACT's paper.
func (s *study) learning(ctx context.Context) (table, error) {
	t := table{
		title:   fmt.Sprintf("Learning while quantized, %d updates, mean and spread of %d seeds", s.steps/4, s.seeds),
		columns: []string{"quantized", "rule", "loss", "accuracy, %"},
	}
	weights := func(bits float64, rule quant.Scale) *layers.Spec {
		return &layers.Spec{Weights: &quant.Config{Bits: bits, Scale: rule, Granularity: quant.PerChannel}}
	}
	inputs := func(bits float64) *layers.Spec {
		return &layers.Spec{Activations: &quant.Config{Bits: bits, Granularity: quant.PerChannel}}
	}
	const first = "conv.0"
	for _, row := range []struct {
		what, rule string
		lesson
	}{
		{"weights, 1.58 bits", "absmean", lesson{spec: weights(quant.Ternary, quant.AbsMean)}},
		{"weights, 1.58 bits", "absmean, estimator clipped", lesson{spec: weights(quant.Ternary, quant.AbsMean), estimator: quant.Clipped}},
		{"weights, 1.58 bits", "absmean, estimator tanh", lesson{spec: weights(quant.Ternary, quant.AbsMean), estimator: quant.Tanh}},
		{"weights, 1.58 bits", "lsq", lesson{spec: weights(quant.Ternary, quant.LSQ)}},
		{"weights, 1.58 bits", "seq", lesson{spec: weights(quant.Ternary, quant.SEQ)}},
		{"weights, 2 bits", "absmax", lesson{spec: weights(2, quant.AbsMax)}},
		{"weights, 2 bits", "lsq", lesson{spec: weights(2, quant.LSQ)}},
		{"weights, 2 bits", "seq", lesson{spec: weights(2, quant.SEQ)}},
		{"inputs, 2 bits", "absmax by image", lesson{spec: inputs(2), spared: first}},
		{"inputs, 2 bits", "PACT", lesson{spec: &layers.Spec{PACT: 2}, spared: first}},
		{"inputs, 4 bits", "absmax by image", lesson{spec: inputs(4), spared: first}},
		{"inputs, 4 bits", "PACT", lesson{spec: &layers.Spec{PACT: 4}, spared: first}},
	} {
		var losses, accuracies []float64
		row.steps, row.noise.Kind = s.steps/4, quant.NoNoise
		row.name = "learning-" + strings.NewReplacer(" ", "-", ",", "").Replace(row.what+"-"+row.rule)
		for seed := range s.seeds {
			_, r, err := s.trained(ctx, row.lesson, uint64(seed+1))
			if err != nil {
				return t, err
			}
			losses, accuracies = append(losses, r.loss), append(accuracies, 100*r.accuracy)
		}
		t.add(row.what, row.rule, spread(losses, 4), spread(accuracies, 2))
	}
	return t, nil
}
