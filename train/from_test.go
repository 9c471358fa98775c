package train

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/export"
	"trefoil/schedule"
)

// plainRun trains a small float32 model without sub-norms, and returns its
// folder and its configuration.
func plainRun(t *testing.T) (string, config.Config) {
	t.Helper()
	c := tinyConfig(t)
	c.Model.SubNorms, c.Model.TiedHead, c.Model.HeadDim = false, false, 24
	c.Quantization.Weights.Bits, c.Quantization.Activations.Bits, c.Quantization.Phases = schedule.Float, schedule.Float, nil
	dir := filepath.Join(t.TempDir(), "plain")
	train(t, c, Options{Dir: dir})
	return dir, c
}

// 16 to 1.58: a network that goes on from a float32 model with sub-norms put
// in begins near that model's loss, and the ternary loss falls.
func TestFromAFloatModel(t *testing.T) {
	dir, plain := plainRun(t)
	assignments, err := From(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	c := tinyConfig(t)
	c.Data.Path = plain.Data.Path
	if err := c.Set(assignments...); err != nil {
		t.Fatal(err)
	}
	if c.Name != "tiny-from" || !c.Model.SubNorms || c.Model.TiedHead || c.Model.HeadDim != 24 || c.Model.Context != 24 || c.Data.Tokenizer.Kind != "file" {
		t.Errorf("%+v, name %s", c.Model, c.Name)
	}
	c.Train.Steps, c.Train.EvalEvery = 60, 30
	to := filepath.Join(t.TempDir(), "ternary")
	train(t, c, Options{Dir: to})
	records, err := ReadMetrics(metricsPath(to))
	if err != nil {
		t.Fatal(err)
	}
	before, err := export.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, last := records[0], records[len(records)-1]
	if start := *first.ValLoss; start > before.State.ValLoss+0.4 {
		t.Errorf("with sub-norms put in the loss is %.3f; of the model it came from %.3f", start, before.State.ValLoss)
	}
	if !(*last.ValLoss < *first.ValLossQuantized-0.2) {
		t.Errorf("ternary loss %.3f at first, %.3f at last", *first.ValLossQuantized, *last.ValLoss)
	}
	// It can be resumed and exported when the model it came from is gone.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	run, err := export.Load(to)
	if err != nil {
		t.Fatal(err)
	}
	if g := run.Weights[arch.BlockNames(1).FFNSubNorm]; len(g) != c.Model.FF {
		t.Errorf("%d gains of the sub-norm", len(g))
	}
}

// All weights are taken over, sub-norms apart.
func TestTakeWeights(t *testing.T) {
	dir, c := plainRun(t)
	c.Model.From, c.Train.Steps, c.Train.EvalEvery, c.Train.LR, c.Train.MuonLR = dir, 1, 1, 1e-12, 1e-12
	to := filepath.Join(t.TempDir(), "same")
	train(t, c, Options{Dir: to})
	was, err := export.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	is, err := export.Load(to)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range was.Weights {
		for i, v := range is.Weights[name] {
			if d := v - w[i]; d > 1e-6 || d < -1e-6 {
				t.Fatalf("%s: element %d is %v, was %v", name, i, v, w[i])
			}
		}
	}
	if len(is.Weights) != len(was.Weights) || !slices.Contains(was.Model.Parameters()[len(was.Weights)-1].Shape, 32) {
		t.Errorf("%d parameters, were %d", len(is.Weights), len(was.Weights))
	}
}

func TestFromErrors(t *testing.T) {
	dir, plain := plainRun(t)
	for says, change := range map[string]func(*config.Config){
		"model.dim is 64, but 32 in":            func(c *config.Config) { c.Model.Dim = 64 },
		"model.head_dim is 16, but 24 in":       func(c *config.Config) { c.Model.HeadDim = 0 },
		"model.tied_head is true, but false in": func(c *config.Config) { c.Model.TiedHead = true },
		"model.embedding_rows is 256, but":      func(c *config.Config) { c.Data.Tokenizer.Kind = "byte" },
		"mean other text than those of data.tokenizer": func(c *config.Config) {
			text, err := os.ReadFile(c.Data.Path)
			if err != nil {
				t.Fatal(err)
			}
			c.Data.Path = filepath.Join(t.TempDir(), "other.txt")
			os.WriteFile(c.Data.Path, []byte(strings.ReplaceAll(string(text), ".", "!")), 0o644)
		},
		"is not the folder of a run": func(c *config.Config) { c.Model.From = t.TempDir() },
	} {
		c := plain
		c.Model.From = dir
		change(&c)
		_, err := Run(t.Context(), c, Options{Dir: filepath.Join(t.TempDir(), "x"), Cache: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "model.from: ") {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
}
