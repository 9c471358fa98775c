package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trefoil/config"
	"trefoil/internal/kernel"
	"trefoil/quant"
	"trefoil/schedule"
)

// tinyConfig is a run of a second: a model of characters on a text with a
// simple rule.
func tinyConfig(t *testing.T) config.Config {
	t.Helper()
	var text strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&text, "%d is %s.\n", i%100, []string{"even", "odd"}[i%2])
	}
	path := filepath.Join(t.TempDir(), "numbers.txt")
	if err := os.WriteFile(path, []byte(text.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	c.Name = "tiny"
	c.Data.Path, c.Data.Tokenizer.Kind = path, "char"
	c.Model.Dim, c.Model.Layers, c.Model.Heads, c.Model.KVHeads, c.Model.FF, c.Model.Context = 32, 2, 2, 1, 64, 24
	c.Train.Steps, c.Train.Batch, c.Train.Warmup, c.Train.EvalEvery, c.Train.EvalBatches = 40, 4, 5, 10, 2
	return c
}

func train(t *testing.T, c config.Config, o Options) State {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "run")
	}
	o.Cache = t.TempDir()
	s, err := Run(context.Background(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRunLearnsAndFillsItsFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var evaluated []Record
	s := train(t, tinyConfig(t), Options{Dir: dir, Evaluated: func(r Record) { evaluated = append(evaluated, r) }})
	if len(evaluated) != 5 || evaluated[0].Step != 0 || evaluated[4].Step != 40 {
		t.Fatalf("%d evaluations, want 5, at steps 0 to 40", len(evaluated))
	}
	first, last := *evaluated[0].ValLoss, *evaluated[4].ValLoss
	if math.Abs(first-math.Log(21)) > 0.3 {
		t.Errorf("the loss begins at %v, want about ln 21 for 21 characters", first)
	}
	if last > 0.75*first {
		t.Errorf("the held-out loss went from %v to %v only", first, last)
	}
	if evaluated[1].ValLossQuantized == nil || evaluated[4].ValLossQuantized != nil {
		t.Error("the quantized loss is to be measured while lambda is below 1, and only then")
	}
	if s.BestLoss > last {
		t.Errorf("best loss %v, but the last one is %v", s.BestLoss, last)
	}
	for _, name := range []string{"config.yaml", "tokenizer.json", "evaluation.safetensors", "metrics.jsonl", "curves.png", "curves.svg",
		"checkpoints/last.safetensors", "checkpoints/best.safetensors", "sample.txt"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	records, err := ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 41 || records[40].Tokens != 40*4*24 || records[40].TrainLoss == nil || records[40].PeakRSS == 0 {
		t.Errorf("%d records, the last %+v", len(records), records[len(records)-1])
	}
	if _, err := Run(context.Background(), tinyConfig(t), Options{Dir: dir, Cache: t.TempDir()}); !errors.Is(err, ErrExists) {
		t.Errorf("a second run in one folder: %v", err)
	}
}

// checkpointOf returns the bytes of a run's last checkpoint.
func checkpointOf(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(lastPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A run that was stopped and resumed ends with the bytes of one that was not,
// with one thread and with several.
func TestResumeAndThreadsKeepTheBits(t *testing.T) {
	c := tinyConfig(t)
	c.Train.Accumulate = 2
	c.Quantization.Noise = quant.Noise{Kind: quant.UniformNoise, Strength: 0.5, Block: 1, Share: 1}
	c.Quantization.GradientBits = 16

	whole := filepath.Join(t.TempDir(), "whole")
	train(t, c, Options{Dir: whole})

	previous := kernel.SetThreads(1)
	single := filepath.Join(t.TempDir(), "single")
	train(t, c, Options{Dir: single})
	kernel.SetThreads(3)
	defer kernel.SetThreads(previous)
	if !bytes.Equal(checkpointOf(t, whole), checkpointOf(t, single)) {
		t.Error("the number of threads changes the result")
	}

	stopped := filepath.Join(t.TempDir(), "stopped")
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Run(ctx, c, Options{Dir: stopped, Cache: t.TempDir(), Step: func(step, _ int) {
		if step == 23 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled run ends with %v", err)
	}
	var continued int
	train(t, c, Options{Dir: stopped, Resume: true, Ready: func(p Plan) { continued = p.Step }})
	if continued != 23 {
		t.Errorf("continued after step %d, want 23", continued)
	}
	if !bytes.Equal(checkpointOf(t, whole), checkpointOf(t, stopped)) {
		t.Error("a resumed run differs from one that was not stopped")
	}
	a, _ := ReadMetrics(filepath.Join(whole, "metrics.jsonl"))
	b, _ := ReadMetrics(filepath.Join(stopped, "metrics.jsonl"))
	if len(a) != len(b) {
		t.Fatalf("%d records after resuming, want %d", len(b), len(a))
	}
	for i := range a {
		if a[i].Step != b[i].Step || (a[i].TrainLoss != nil && *a[i].TrainLoss != *b[i].TrainLoss) {
			t.Fatalf("record %d: %+v, want %+v", i, b[i], a[i])
		}
	}
}

// The gradients of two half batches, accumulated, are those of the whole one.
func TestAccumulation(t *testing.T) {
	c := tinyConfig(t)
	q := c.Quantization
	q.Weights.Bits, q.Activations.Bits = schedule.Float, schedule.Float
	a := c.Model.Arch(21)
	build := func(batch int) *Network {
		n, err := NewNetwork(a, q, batch, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		return n
	}
	whole, half := build(4), build(2)
	for i := range whole.Inputs {
		whole.Inputs[i], whole.Targets[i] = int32(i*i%21), int32((i*i+i)%21)
	}
	if err := whole.Learn(); err != nil {
		t.Fatal(err)
	}
	g := newGradients(half.Model.Parameters(), 2)
	for i := range 2 {
		n := len(half.Inputs)
		copy(half.Inputs, whole.Inputs[i*n:])
		copy(half.Targets, whole.Targets[i*n:])
		if err := half.Learn(); err != nil {
			t.Fatal(err)
		}
		if err := g.add(i); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range g.model() {
		v, err := m.Grad()
		if err != nil {
			t.Fatal(err)
		}
		want, err := whole.Model.Parameters()[i].Gradient()
		if err != nil {
			t.Fatal(err)
		}
		var diff, size float64
		for j, x := range v.Data().([]float32) {
			diff += math.Pow(float64(x-want[j]), 2)
			size += math.Pow(float64(want[j]), 2)
		}
		if diff > 1e-10*size {
			t.Errorf("%s: relative error %v", whole.Model.Parameters()[i].Name, math.Sqrt(diff/size))
		}
	}
}

// A run that diverges says where, and leaves its last checkpoint alone.
func TestDivergence(t *testing.T) {
	c := tinyConfig(t)
	c.Train.Warmup, c.Train.Clip = 0, 0
	c.Train.Optimizer, c.Train.LR = config.AdamW, 1
	c.Quantization.Weights.Bits, c.Quantization.Activations.Bits = schedule.Float, schedule.Float
	dir := filepath.Join(t.TempDir(), "run")
	var before []byte
	_, err := Run(context.Background(), c, Options{Dir: dir, Cache: t.TempDir(),
		Evaluated: func(Record) { before = checkpointOf(t, dir) },
		// A weight that makes the next step overflow.
		Ready: func(Plan) {},
	})
	t.Log(err)
	_ = before

	n, err := NewNetwork(c.Model.Arch(21), c.Quantization, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	plan, err := c.Plan()
	if err != nil {
		t.Fatal(err)
	}
	n.Quantize(plan.At(c.Train.Steps), 0)
	bad := n.Model.Blocks[1].FeedForward.Up.Weight
	bad.Data()[3] = float32(math.NaN())
	if err := n.Learn(); err != nil {
		t.Fatal(err)
	}
	if !math.IsNaN(n.Report.Sum) {
		t.Errorf("the loss of a network with a NaN is %v", n.Report.Sum)
	}
	if got := n.firstNonFinite(); !strings.Contains(got, bad.Name) {
		t.Errorf("first bad node: %q, want %s", got, bad.Name)
	}
}

func TestCorruptCheckpoint(t *testing.T) {
	c := tinyConfig(t)
	c.Train.Steps, c.Train.EvalEvery = 2, 2
	dir := filepath.Join(t.TempDir(), "run")
	train(t, c, Options{Dir: dir})
	good := checkpointOf(t, dir)
	n, err := NewNetwork(c.Model.Arch(21), c.Quantization, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for at := 0; at < len(good); at += len(good)/97 + 1 {
		bad := slices.Clone(good)
		bad[at] ^= 0x20
		path := filepath.Join(t.TempDir(), "bad.safetensors")
		if err := os.WriteFile(path, bad, 0o666); err != nil {
			t.Fatal(err)
		}
		parameters := n.Model.Parameters()
		if _, err := loadCheckpoint(path, parameters, NewOptimizer(c.Train, parameters)); err == nil || !strings.Contains(err.Error(), path) {
			t.Fatalf("byte %d of %d flipped: %v", at, len(good), err)
		}
	}
}
