package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	G "gorgonia.org/gorgonia"

	"trefoil/config"
	"trefoil/data"
)

// trainBuiltIn trains the tiny model of Gorgonia's own operations by its Adam
// and prints its speed, the median of the steps.
func trainBuiltIn(ctx context.Context, out io.Writer, steps int) error {
	c, d, err := open(ctx, sizes[0])
	if err != nil {
		return err
	}
	defer d.Close()
	sampler, err := data.NewSampler(d.Train, c.Model.Context, c.Seed)
	if err != nil {
		return err
	}
	m, err := newBuiltIn(c.Model.Arch(d.Tokenizer.Vocab()), c.Train.Batch)
	if err != nil {
		return err
	}
	m.draw(c.Seed)
	vm := G.NewTapeMachine(m.graph)
	defer vm.Close()
	adam := G.NewAdamSolver(G.WithLearnRate(c.Train.LR), G.WithBeta1(c.Train.Beta1), G.WithBeta2(c.Train.Beta2))
	inputs, targets := make([]int32, len(m.ids)), make([]int32, len(m.ids))
	var speeds []float64
	var first float32
	for i := range warmUp + steps {
		start := time.Now()
		sampler.Next(inputs, targets)
		m.set(inputs, targets)
		if err := m.learn(vm, adam); err != nil {
			return err
		}
		if i == 0 {
			first = m.loss.Value().Data().(float32)
		}
		if i >= warmUp {
			speeds = append(speeds, float64(len(inputs))/time.Since(start).Seconds())
		}
	}
	_, err = fmt.Fprintf(out, "loss %.3f, after %d steps %.3f; tokens/s %.1f\n", first, warmUp+steps, m.loss.Value().Data(), median(speeds))
	return err
}

// open reads the configuration of a size and its corpus.
func open(ctx context.Context, z size) (config.Config, *data.Dataset, error) {
	c, err := config.Load(z.config())
	if err != nil {
		return c, nil, err
	}
	d, err := data.Open(ctx, c.Data, "", nil)
	return c, d, err
}

// draw gives the parameters their first values: gains 1, matrices normal.
func (m *builtIn) draw(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	for _, p := range m.parameters {
		values := p.Value().Data().([]float32)
		for i := range values {
			values[i] = 1
			if p.Dims() == 2 {
				values[i] = float32(0.02 * r.NormFloat64())
			}
		}
	}
}

// learn makes one step.
func (m *builtIn) learn(vm G.VM, solver G.Solver) error {
	defer vm.Reset()
	if err := vm.RunAll(); err != nil {
		return err
	}
	return solver.Step(G.NodesToValueGrads(m.parameters))
}
