package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trefoil/export"
	"trefoil/quant/packed"
)

// A Llama that transformers made computes here what it computes there, and
// learns to be ternary.
func TestLlamaOfTransformers(t *testing.T) {
	python := have(t, installPython)
	dir := t.TempDir()
	folder, run, ternary := filepath.Join(dir, "llama"), filepath.Join(dir, "run"), filepath.Join(dir, "ternary")
	text := filepath.Join(goText(), "parser", "parser.go")
	output(t, exec.Command(python, "make_llama.py", text, folder))
	trefoil(t, "import", folder, "-o", run, "-data", text, "-context", "64")

	m := open(t, func() (string, error) { return run, nil }, export.Options{Float: packed.Float32})
	j := m.task(folder, windowsToCompare)
	j.Prompts = nil
	r := transformers(t, j)
	c := m.compare(t, r.logits)
	c.log(t, "imported Llama")
	if c.worst > 1e-4 {
		t.Errorf("logits differ by up to %g, want at most 1e-4", c.worst)
	}

	trefoil(t, "train", "-from", run, "-out", ternary, "-set", "name=ternary", "-set", "data.path="+text,
		"-set", "model.context=64", "-set", "train.steps=100", "-set", "train.batch=4", "-set", "train.eval_every=100", "-set", "train.eval_batches=2")
	before, after := ternaryLosses(t, ternary)
	t.Logf("held-out loss of the ternary network: %.3f before 100 steps, %.3f after", before, after)
	if !(after < before-0.5) {
		t.Errorf("100 steps took the held-out loss of the ternary network from %g to %g", before, after)
	}
}

// ternaryLosses returns the first and the last held-out loss that a run
// measured with all weights and inputs quantized.
func ternaryLosses(t *testing.T, dir string) (first, last float64) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var m struct {
			Loss      float64 `json:"val_loss"`
			Quantized float64 `json:"val_loss_quantized"`
			Lambda    float64 `json:"lambda"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m.Loss == 0 {
			continue
		}
		last = m.Loss
		if m.Lambda < 1 {
			last = m.Quantized
		}
		if first == 0 {
			first = last
		}
	}
	return first, last
}
