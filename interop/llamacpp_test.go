package interop

import (
	"math"
	"testing"

	"trefoil/export"
	"trefoil/quant/packed"
)

// windowsToCompare is how many windows of 128 tokens readers compute.
const windowsToCompare = 8

func llamaCpp(t *testing.T, j job) result {
	t.Helper()
	return ask(t, j, "node", "llamacpp.mjs", have(t, installNode))
}

// llama.cpp takes the inputs of F16 layers as they are, and so must be very
// near our model without the rounding of inputs: what differs is the rounding
// of products to half precision.
func TestLlamaCppReadsF16(t *testing.T) {
	have(t, installNode)
	for name, run := range map[string]func() (string, error){"bitnet": siluRun, "llama": plainRun} {
		t.Run(name, func(t *testing.T) { readsF16(t, run) })
	}
}

func readsF16(t *testing.T, run func() (string, error)) {
	o := export.Options{Float: packed.Float16}
	m := open(t, run, o)
	j := m.task(m.write(t, export.GGUF, "-type", "f16", "-float", "float16"), windowsToCompare)
	r := llamaCpp(t, j)

	float := m.floatInputs(t, o)
	c := float.compare(t, r.logits)
	same := float.greedy(t, j.Prompts, r.Generated, 0.01)
	c.log(t, "F16, inputs not rounded")
	t.Logf("%d of %d greedy tokens are ours; the first text: %q", same, len(j.Prompts)*tokensToWrite, m.tokenizer.Decode(r.Generated[0]))
	if c.worst > 0.01 || c.cosine < 0.999999 {
		t.Errorf("logits differ by up to %g, cosine down to %g", c.worst, c.cosine)
	}
	m.checkRounded(t, "F16", j, r)
}

// The other types round the inputs by blocks of 256 or 32, where training
// rounds them by rows.
func TestLlamaCppReadsTernaryTypes(t *testing.T) {
	have(t, installNode)
	for name, run := range map[string]func() (string, error){"bitnet": siluRun, "llama": plainRun} {
		m := open(t, run, export.Options{Float: packed.Float32})
		for _, kind := range []string{"tq1_0", "tq2_0", "q2_0"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				j := m.task(m.write(t, export.GGUF, "-type", kind), windowsToCompare)
				m.checkRounded(t, kind, j, llamaCpp(t, j))
			})
		}
	}
}

// checkRounded compares a reader that rounds inputs in another way with the
// model as it was trained.
func (m *model) checkRounded(t *testing.T, what string, j job, r result) {
	t.Helper()
	c := m.compare(t, r.logits)
	c.log(t, what)
	same := m.greedy(t, j.Prompts, r.Generated, 0.25)
	t.Logf("%s: %d of %d greedy tokens are ours", what, same, len(j.Prompts)*tokensToWrite)
	if c.cosine < 0.999 {
		t.Errorf("cosine of the logits is %g, want 0.999", c.cosine)
	}
	if math.Abs(c.theirs/c.ours-1) > 0.01 {
		t.Errorf("perplexity is %g, ours %g: more than 1%% apart", c.theirs, c.ours)
	}
}
