package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	G "gorgonia.org/gorgonia"

	"trefoil/config"
	"trefoil/layers"
	"trefoil/quant"
	"trefoil/schedule"
	"trefoil/train"
)

// noisy is the grid whose noise the weights are trained with.
var noisy = quant.Config{Bits: 2, Scale: quant.MSE, Granularity: quant.PerChannel}

// trained returns a float32 network, trained with noise on its weights. A run
// that is whole is not made again.
func (s *study) trained(ctx context.Context, name string, steps int, seed uint64, noise quant.Noise) (*network, error) {
	shape := layers.ConvNetConfig{
		Height: s.train.Height, Width: s.train.Width, Channels: s.train.Channels,
		Filters: []int{16, 32}, Hidden: 128, Classes: s.train.Classes,
	}
	net, err := layers.NewConvNet(G.NewGraph(), shape, seed)
	if err != nil {
		return nil, err
	}
	if noise.Enabled() {
		if _, err := layers.Swap(net, "*", layers.Spec{Weights: &noisy}); err != nil {
			return nil, err
		}
	}
	t := config.Default().Train
	t.Steps, t.Batch, t.Accumulate, t.Optimizer = steps, 64, 1, config.AdamW
	t.LR, t.Schedule, t.Warmup, t.Floor = 2e-3, schedule.Linear, 20, 0
	t.WeightDecay, t.Beta1, t.Beta2, t.Clip, t.EvalEvery = 0.05, 0.9, 0.99, 1, steps/2
	task, err := train.NewImageTask(net, s.train, s.heldout, t.Batch, seed)
	if err != nil {
		return nil, err
	}
	defer task.Graph().Close()
	q := config.Default().Quantization
	q.Noise = noise
	q.Phases = phases(noise)
	plan, err := q.Plan(task.Layers(), steps)
	if err != nil {
		return nil, err
	}
	r := train.Recipe{Name: name, Train: t, Plan: plan, Config: fmt.Sprintf("network %+v\nseed %d\ntrain %+v\nnoise %+v of %+v", shape, seed, t, noise, noisy)}
	options := train.Options{Dir: filepath.Join(s.dir, fmt.Sprintf("%s-%d", name, seed))}
	_, err = train.Fit(ctx, r, task, options)
	if errors.Is(err, train.ErrExists) {
		options.Resume = true
		_, err = train.Fit(ctx, r, task, options)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, seed %d: %w", name, seed, err)
	}
	return newNetwork(net), nil
}

// phases leave the weights in float32 but for the noise: those that are
// quantized by blocks begin quantized. A plan ends quantized; its last
// hundredth, at the end of a rate that falls to zero, changes next to nothing.
func phases(noise quant.Noise) []schedule.Phase {
	first := schedule.Lambda{Shape: schedule.Step, To: 0}
	if noise.Kind == quant.BlockNoise {
		first.To = 1
	}
	return []schedule.Phase{
		{Name: "noise", Share: 0.99, Lambda: first},
		{Name: "quantized", Share: 0.01, Lambda: schedule.Lambda{Shape: schedule.Step, To: 1}},
	}
}
