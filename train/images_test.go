package train

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/config"
	"trefoil/data"
	"trefoil/layers"
	"trefoil/quant"
)

// quadrants are images of 8 x 8 with noise, brighter in one quadrant: its
// number is the label.
func quadrants(n int, seed uint64) *data.Images {
	s := &data.Images{Height: 8, Width: 8, Channels: 1, Classes: 4}
	r := rand.New(rand.NewPCG(seed, 1))
	for range n {
		label := r.IntN(4)
		for i := range 64 {
			p := r.IntN(160)
			if i/32*2+i%8/4 == label {
				p += 80
			}
			s.Pixels = append(s.Pixels, uint8(p))
		}
		s.Labels = append(s.Labels, uint8(label))
	}
	return s
}

// imageRun is a small classifier, ternary but for its first layer, whose steps
// are learned, and its recipe.
func imageRun(t *testing.T, set *data.Images) (Recipe, *ImageTask) {
	t.Helper()
	net, err := layers.NewConvNet(G.NewGraph(), layers.ConvNetConfig{Height: 8, Width: 8, Channels: 1, Filters: []int{6}, Hidden: 16, Classes: 4}, 3)
	if err != nil {
		t.Fatal(err)
	}
	inputs := &quant.Config{Bits: 8, Granularity: quant.PerChannel}
	for pattern, weights := range map[string]*quant.Config{"conv.0": {Bits: 4, Scale: quant.LSQ}, "h*": {}} {
		if _, err := layers.Swap(net, pattern, layers.Spec{Weights: weights, Activations: inputs}); err != nil {
			t.Fatal(err)
		}
	}
	task, err := NewImageTask(net, set, quadrants(202, 2), 32, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { task.Graph().Close() })
	c := config.Default()
	c.Train.Steps, c.Train.Batch, c.Train.Warmup, c.Train.EvalEvery = 120, 32, 5, 60
	c.Train.LR, c.Train.MuonLR = 5e-3, 0.02
	c.Quantization.Noise = quant.Noise{Kind: quant.LaplaceNoise, Strength: 0.5, Share: 1, Block: 1}
	plan, err := c.Quantization.Plan(task.Layers(), c.Train.Steps)
	if err != nil {
		t.Fatal(err)
	}
	return Recipe{Name: "quadrants", Train: c.Train, Plan: plan, Config: "lr 5e-3"}, task
}

// A classifier learns by the same loop as a language model, and a run that was
// stopped and resumed ends with the bytes of one that was not.
func TestFitImages(t *testing.T) {
	set := quadrants(500, 1)
	whole := filepath.Join(t.TempDir(), "whole")
	recipe, task := imageRun(t, set)
	var first Record
	result, err := Fit(context.Background(), recipe, task, Options{Dir: whole, Evaluated: func(r Record) {
		if r.Step == 0 {
			first = r
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if first.ValAccuracy == nil || *first.ValAccuracy > 0.5 || first.BitsPerByte != nil {
		t.Errorf("before training %+v, want an accuracy near 1/4 and no bits a byte", first)
	}
	if result.ValAccuracy < 0.95 || result.Tokens != 120*32 {
		t.Errorf("held-out accuracy %v after %d images", result.ValAccuracy, result.Tokens)
	}
	for _, name := range []string{"metrics.jsonl", "curves.png", "images.json", "checkpoints/best.safetensors"} {
		if info, err := os.Stat(filepath.Join(whole, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}

	stopped := filepath.Join(t.TempDir(), "stopped")
	ctx, cancel := context.WithCancel(context.Background())
	recipe, task = imageRun(t, set)
	_, err = Fit(ctx, recipe, task, Options{Dir: stopped, Step: func(step, _ int) {
		if step == 67 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled run ends with %v", err)
	}
	recipe, task = imageRun(t, set)
	if _, err = Fit(context.Background(), recipe, task, Options{Dir: stopped, Resume: true}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(checkpointOf(t, whole), checkpointOf(t, stopped)) {
		t.Error("a resumed run differs from one that was not stopped")
	}
}

// A run goes on only with its images and its recipe.
func TestResumeImagesNeedsTheSame(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	resume := func(set *data.Images, text string, o Options) error {
		recipe, task := imageRun(t, set)
		recipe.Config, recipe.Train.Steps, recipe.Train.EvalEvery = text, 2, 2
		plan, err := config.Default().Quantization.Plan(task.Layers(), 4)
		if err != nil {
			t.Fatal(err)
		}
		recipe.Plan = plan
		_, err = Fit(context.Background(), recipe, task, o)
		return err
	}
	set := quadrants(50, 1)
	if err := resume(set, "a\nb", Options{Dir: dir, Resume: true}); err == nil || !strings.Contains(err.Error(), "no checkpoint") {
		t.Errorf("resumed nothing: %v", err)
	}
	if err := resume(set, "a\nb", Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if err := resume(set, "a\nb", Options{Dir: dir}); !errors.Is(err, ErrExists) {
		t.Errorf("a second run in one folder: %v", err)
	}
	if err := resume(set, "a\nc", Options{Dir: dir, Resume: true}); err == nil || !strings.Contains(err.Error(), `now "c", then "b"`) {
		t.Errorf("another recipe: %v", err)
	}
	if err := resume(quadrants(50, 9), "a\nb", Options{Dir: dir, Resume: true}); err == nil || !strings.Contains(err.Error(), "other images") {
		t.Errorf("other images: %v", err)
	}
	if err := resume(set, "a\nb", Options{Dir: dir, Resume: true}); err != nil {
		t.Errorf("the same: %v", err)
	}
}
