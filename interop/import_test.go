package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trefoil/convert"
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
	output(t, exec.Command(python, "make_model.py", "llama", text, folder))
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

// A qwen2 whose biases are zero computes here what it computes in transformers;
// one with biases, and any qwen3, is refused with the reason.
func TestQwensOfTransformers(t *testing.T) {
	python := have(t, installPython)
	text := filepath.Join(goText(), "parser", "parser.go")
	for kind, says := range map[string]string{
		"qwen2":        "",
		"qwen2-biases": "no place for the tensors model.layers.0.self_attn.k_proj.bias",
		"qwen3":        "qwen3 normalises the queries and keys of each head",
	} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			folder, run := filepath.Join(dir, "model"), filepath.Join(dir, "run")
			output(t, exec.Command(python, "make_model.py", kind, text, folder))
			if says != "" {
				if _, err := convert.Open(folder, ""); err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("got %v, want it to say %q", err, says)
				}
				return
			}
			trefoil(t, "import", folder, "-o", run, "-data", text, "-context", "64")
			m := open(t, func() (string, error) { return run, nil }, export.Options{Float: packed.Float32})
			j := m.task(folder, windowsToCompare)
			j.Prompts = nil
			c := m.compare(t, transformers(t, j).logits)
			c.log(t, "imported Qwen2")
			if c.worst > 1e-4 {
				t.Errorf("logits differ by up to %g, want at most 1e-4", c.worst)
			}
		})
	}
}

// A GGUF file that cmd/import reads computes what llama.cpp computes of the same
// file, whose layers are in half precision and whose inputs neither rounds.
func TestImportEqualsLlamaCpp(t *testing.T) {
	have(t, installNode)
	m := open(t, plainRun, export.Options{Float: packed.Float16})
	path := m.write(t, export.GGUF, "-type", "f16", "-float", "float16")
	run := filepath.Join(t.TempDir(), "run")
	out := trefoil(t, "import", path, "-o", run)
	if !strings.Contains(out, "whose readers do not round inputs to 8 bits") {
		t.Errorf("no word of the ternary weights that become floats:\n%s", out)
	}
	back := open(t, func() (string, error) { return run, nil }, export.Options{Float: packed.Float32})
	back.windows = m.windows
	c := back.compare(t, llamaCpp(t, m.task(path, windowsToCompare)).logits)
	c.log(t, "imported GGUF")
	if c.worst > 0.01 || c.cosine < 0.999999 {
		t.Errorf("logits differ by up to %g, cosine down to %g", c.worst, c.cosine)
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
