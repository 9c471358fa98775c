package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	G "gorgonia.org/gorgonia"

	"trefoil/data"
	"trefoil/layers"
	"trefoil/train"
)

// study is the comparison of the recipes.
type study struct {
	dir            string // of the runs
	train, heldout *data.Images
	seeds, steps   int
	progress       io.Writer
}

// outcome is what a recipe gave: accuracies by seed.
type outcome struct {
	recipe recipe
	graph  []float64 // of the network as trained
	packed []float64 // of the packed one; nil for float32
	bytes  int       // of the weights
	spent  time.Duration
}

// run trains the recipes whose name contains only.
func (s *study) run(ctx context.Context, only string) ([]outcome, error) {
	var all []outcome
	for _, r := range recipes {
		if !strings.Contains(r.name, only) {
			continue
		}
		o := outcome{recipe: r}
		began := time.Now()
		for seed := range s.seeds {
			if err := s.train1(ctx, &o, uint64(seed+1)); err != nil {
				return nil, fmt.Errorf("%s, seed %d: %w", r.name, seed+1, err)
			}
		}
		o.spent = time.Since(began)
		all = append(all, o)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("-only %s names no recipe: use part of one of %s", only, names())
	}
	return all, nil
}

func names() string {
	var all []string
	for _, r := range recipes {
		all = append(all, r.name)
	}
	return strings.Join(all, ", ")
}

// train1 trains and packs one network. A run that is whole is not made again,
// one that was stopped is continued.
func (s *study) train1(ctx context.Context, o *outcome, seed uint64) error {
	shape := network(s.train.Height, s.train.Width, s.train.Channels, s.train.Classes)
	net, err := layers.NewConvNet(G.NewGraph(), shape, seed)
	if err != nil {
		return err
	}
	if o.recipe.spec != nil {
		if _, err := layers.Swap(net, "*", *o.recipe.spec); err != nil {
			return err
		}
	}
	task, err := train.NewImageTask(net, s.train, s.heldout, settings(s.steps).Batch, seed)
	if err != nil {
		return err
	}
	defer task.Graph().Close()
	recipe, err := o.recipe.fit(task, shape, seed, s.steps)
	if err != nil {
		return err
	}
	options := train.Options{Dir: filepath.Join(s.dir, fmt.Sprintf("%s-%d", o.recipe.name, seed))}
	result, err := train.Fit(ctx, recipe, task, options)
	if errors.Is(err, train.ErrExists) {
		options.Resume = true
		result, err = train.Fit(ctx, recipe, task, options)
	}
	if err != nil {
		return err
	}
	o.graph = append(o.graph, result.ValAccuracy)
	fmt.Fprintf(s.progress, "%-8s seed %d  accuracy %.2f %%, %.0f images/s\n", o.recipe.name, seed, 100*result.ValAccuracy, result.TokensPerSecond)
	return s.pack(net, o, options.Dir)
}

// pack writes the packed network, reads it again and classifies with it.
func (s *study) pack(net *layers.ConvNet, o *outcome, dir string) error {
	if o.recipe.spec == nil {
		o.bytes = 0
		for _, l := range net.Quantizable() {
			o.bytes += 4 * l.Weight.Size()
		}
		return nil
	}
	path := filepath.Join(dir, "model.safetensors")
	if err := export(path, net); err != nil {
		return err
	}
	p, err := open(path)
	if err != nil {
		return err
	}
	accuracy, err := p.accuracy(s.heldout)
	if err != nil {
		return err
	}
	o.packed = append(o.packed, accuracy)
	o.bytes = p.weightBytes()
	return nil
}
