package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trefoil/config"
	"trefoil/data"
	"trefoil/export"
	"trefoil/internal/kernel"
	"trefoil/layers"
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
	c.Train.LR, c.Train.MuonLR = 2e-3, 0.01
	return c
}

func train(t *testing.T, c config.Config, o Options) Result {
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
	b, err := os.ReadFile(export.Folder(dir).Last())
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
	for i, m := range g.model {
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
	d, err := data.Open(context.Background(), c.Data, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, test := range []struct {
		name, want string
		poison     float32
		at         int  // step after which a weight goes bad
		gains      bool // the gains before it do, in a network that is quantized all along
	}{
		{"in an update", "step 13: the loss is NaN; first in ", float32(math.NaN()), 12, false},
		{"in an evaluation", "the held-out loss is not finite; first in ", float32(math.NaN()), 10, false},
		{"by an overflow", "blocks.1.ffn.up", float32(math.Inf(1)), 12, false},
		{"by finite gains", "first in Linear of ", 3e38, 12, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			var bad, gains *layers.Parameter
			var before []byte
			o := Options{Dir: dir, Evaluated: func(Record) { before = checkpointOf(t, dir) }}
			o.Step = func(step, _ int) {
				switch {
				case step != test.at:
				case test.gains:
					for i := range gains.Data() {
						gains.Data()[i] = test.poison
					}
				default:
					bad.Data()[3] = test.poison
				}
			}
			c := c
			if test.gains {
				c.Quantization.Phases = nil
			}
			task, err := newTextTask(c, d)
			if err != nil {
				t.Fatal(err)
			}
			defer task.network.Close()
			recipe, err := recipeOf(c)
			if err != nil {
				t.Fatal(err)
			}
			r, err := newTrainer(recipe, task, o)
			if err != nil {
				t.Fatal(err)
			}
			defer r.close()
			bad = task.network.Model.Blocks[1].FeedForward.Up.Weight
			gains = task.network.Model.Blocks[1].FFNNorm.Gain
			err = r.run(context.Background())
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), bad.Name) ||
				!strings.Contains(err.Error(), export.Folder(dir).Best()) {
				t.Errorf("the run ended with %v, want %q and %s", err, test.want, bad.Name)
			}
			if before == nil || !bytes.Equal(checkpointOf(t, dir), before) {
				t.Error("the last good checkpoint is not there any more")
			}
		})
	}
}

// A run goes on only with the text that it began with.
func TestResumeNeedsTheSameText(t *testing.T) {
	c := tinyConfig(t)
	c.Train.Steps, c.Train.EvalEvery = 2, 2
	dir := filepath.Join(t.TempDir(), "run")
	train(t, c, Options{Dir: dir})
	text, err := os.ReadFile(c.Data.Path)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string][]byte{
		"other letters, as many": bytes.ReplaceAll(text, []byte("odd"), []byte("off")),
		"a longer text":          append(slices.Clone(text), text...),
		"the same letters":       bytes.ReplaceAll(text, []byte("odd"), []byte("dod")),
	} {
		if err := os.WriteFile(c.Data.Path, other, 0o666); err != nil {
			t.Fatal(err)
		}
		before := checkpointOf(t, dir)
		_, err := Run(context.Background(), c, Options{Dir: dir, Resume: true, Cache: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "is not the text any more") {
			t.Errorf("%s: resumed with %v", name, err)
		}
		if !bytes.Equal(checkpointOf(t, dir), before) {
			t.Errorf("%s: the checkpoint has changed", name)
		}
	}
}

// A run does not go on with another configuration, nor in a folder that lost
// a file or holds a damaged one.
func TestResumeNeedsTheFolderAsItWas(t *testing.T) {
	c := tinyConfig(t)
	c.Train.Steps, c.Train.EvalEvery = 2, 2
	dir := filepath.Join(t.TempDir(), "run")
	train(t, c, Options{Dir: dir})
	fails := func(c config.Config, want string) {
		t.Helper()
		_, err := Run(context.Background(), c, Options{Dir: dir, Resume: true, Cache: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("resumed with %v, want %q", err, want)
		}
	}
	other := c
	other.Train.LR = 0.125
	fails(other, `(first difference: now "lr: 0.125", then "lr: `)
	other = c
	other.Model.Context = 20
	fails(other, `now "context: 20", then "context: 24"`)

	for _, path := range []string{export.Folder(dir).Tokenizer(), export.Folder(dir).Evaluation(), metricsPath(dir)} {
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		fails(c, "the run folder is not whole: stat "+path)
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
	best, metrics := export.Folder(dir).Best(), metricsPath(dir)
	for want, change := range map[string]struct {
		path string
		make func(good []byte) []byte
	}{
		"metrics.jsonl: the record of step 0 is missing":           {metrics, func([]byte) []byte { return nil }},
		"metrics.jsonl: the record of step 2 is missing":           {metrics, func(b []byte) []byte { return b[:bytes.Index(b, []byte(`{"step":2`))] }},
		"metrics.jsonl: the record of step 1 is missing":           {metrics, func(b []byte) []byte { return bytes.Replace(b, []byte(`"step":1,`), []byte(`"step":0,`), 1) }},
		`metrics.jsonl:2: is not a record: json: unknown field "s`: {metrics, func(b []byte) []byte { return bytes.Replace(b, []byte(`"step":1,`), []byte(`"stup":1,`), 1) }},
		"best.safetensors: tensor ":                                {best, func(b []byte) []byte { b[len(b)-2] ^= 4; return b }},
	} {
		good, err := os.ReadFile(change.path)
		if err != nil {
			t.Fatal(err)
		}
		write := func(b []byte) {
			t.Helper()
			if err := os.WriteFile(change.path, b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		write(change.make(slices.Clone(good)))
		fails(c, want)
		write(good)
	}
	tokenizer := export.Folder(dir).Tokenizer()
	good, err := os.ReadFile(tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	for want, bad := range map[string][]byte{
		"the file is damaged":  good[:len(good)/2],
		"is not the tokenizer": append(slices.Clone(good), '\n'),
	} {
		if err := os.WriteFile(tokenizer, bad, 0o666); err != nil {
			t.Fatal(err)
		}
		fails(c, want)
	}
}

// A new run replaces nothing that a start which failed has not left.
func TestNewRunReplacesNothing(t *testing.T) {
	c := tinyConfig(t)
	c.Train.Steps, c.Train.EvalEvery = 2, 2
	dir := filepath.Join(t.TempDir(), "run")
	folder := export.Folder(dir)
	attempt := func(resume bool, want string) {
		t.Helper()
		before := contentsOf(t, dir)
		_, err := Run(context.Background(), c, Options{Dir: dir, Resume: resume, Cache: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ended with %v, want %q", err, want)
		}
		if after := contentsOf(t, dir); !maps.Equal(before, after) {
			t.Errorf("after %q the folder holds other files or contents", want)
		}
	}
	train(t, c, Options{Dir: dir})
	remove := func(path string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	remove(folder.Last())
	for _, resume := range []bool{false, true} {
		attempt(resume, "begin a new run from the best one by -from "+dir)
	}
	remove(folder.Best())
	attempt(true, "has no checkpoint to resume from")
	attempt(false, metricsPath(dir)+" is there already")
	remove(metricsPath(dir))
	attempt(false, folder.Config()+" is there already")
	remove(folder.Config())
	attempt(false, folder.Tokenizer()+" is there already")

	// What a start leaves that is cut off before its first checkpoint.
	if err := c.Write(folder.Config()); err != nil {
		t.Fatal(err)
	}
	if err := WriteMetrics(metricsPath(dir), nil); err != nil {
		t.Fatal(err)
	}
	train(t, c, Options{Dir: dir})
}

// contentsOf returns the files below a folder.
func contentsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A start that fails leaves no folder behind.
func TestFailedStart(t *testing.T) {
	c := tinyConfig(t)
	c.Model.Context = 10000
	dir := filepath.Join(t.TempDir(), "run")
	_, err := Run(context.Background(), c, Options{Dir: dir, Cache: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "held-out text: ") {
		t.Errorf("a text that is too short: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the run folder is there")
	}
}

// A place where no folder can be is told before the text is read.
func TestNoPlaceForTheRun(t *testing.T) {
	c := tinyConfig(t)
	for _, dir := range []string{c.Data.Path, filepath.Join(c.Data.Path, "x", "y")} {
		read := false
		_, err := Run(context.Background(), c, Options{Dir: dir, Cache: t.TempDir(), Prepare: func(string, int64, int64) { read = true }})
		if want := dir + " cannot be made: "; err == nil || !strings.Contains(err.Error(), want) || read {
			t.Errorf("%v, want %q; the text was read: %v", err, want, read)
		}
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := checkPlace(dir); err != nil || exists(filepath.Dir(dir)) {
		t.Errorf("%v, and a folder was left: %v", err, exists(filepath.Dir(dir)))
	}
}

// A run that was stopped before its first update has one record of step 0.
func TestResumeFromTheStart(t *testing.T) {
	c := tinyConfig(t)
	c.Train.Steps, c.Train.EvalEvery = 2, 2
	dir := filepath.Join(t.TempDir(), "run")
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Run(ctx, c, Options{Dir: dir, Cache: t.TempDir(), Evaluated: func(Record) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled run ends with %v", err)
	}
	train(t, c, Options{Dir: dir, Resume: true})
	records, err := ReadMetrics(metricsPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 3 || records[0].Step != 0 || records[1].Step != 1 || records[2].Step != 2 {
		t.Errorf("records %+v, want one of each step from 0 to 2", records)
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
