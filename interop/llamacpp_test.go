package interop

import (
	"math"
	"slices"
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
	same, _ := float.greedy(t, j.Prompts, r.Generated, 0.01)
	c.log(t, "F16, inputs not rounded")
	t.Logf("%d of %d greedy tokens are ours; the first text: %q", same, len(j.Prompts)*tokensToWrite, m.tokenizer.Decode(r.Generated[0]))
	if c.worst > 0.01 || c.cosine < 0.999999 {
		t.Errorf("logits differ by up to %g, cosine down to %g", c.worst, c.cosine)
	}
	m.checkRounded(t, "F16", j, r, func(j job) result { return llamaCpp(t, j) })
}

// The other types round the inputs by blocks of 256 or 32, where training
// rounds them by rows.
func TestLlamaCppReadsTernaryTypes(t *testing.T) {
	have(t, installNode)
	for name, run := range map[string]func() (string, error){"bitnet": siluRun, "llama": plainRun} {
		m := open(t, run, export.Options{Float: packed.Float16})
		for _, kind := range []string{"tq1_0", "tq2_0", "q2_0"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				j := m.task(m.write(t, export.GGUF, "-type", kind, "-float", "float16"), windowsToCompare)
				m.checkRounded(t, kind, j, llamaCpp(t, j), func(j job) result { return llamaCpp(t, j) })
			})
		}
	}
}

// checkRounded compares a reader that rounds inputs in another way with the
// model as it was trained: r is what it made of j, and ask lets it do another
// job.
func (m *model) checkRounded(t *testing.T, what string, j job, r result, ask func(job) result) {
	t.Helper()
	c := m.compare(t, r.logits)
	c.log(t, what)
	if c.cosine < minCosine {
		t.Errorf("cosine of the logits is %g, want %g", c.cosine, minCosine)
	}
	if math.Abs(c.theirs/c.ours-1) > 0.01 {
		t.Errorf("perplexity is %g, ours %g: more than 1%% apart", c.theirs, c.ours)
	}
	same, flips := m.greedy(t, j.Prompts, r.Generated, 0.25)
	t.Logf("%s: %d of %d greedy tokens are ours", what, same, len(j.Prompts)*tokensToWrite)
	if len(flips) > 0 {
		m.checkFlips(t, j, r.Generated, flips, ask)
	}
}

// minCosine is the least cosine of the logits of a position where inputs are
// rounded in another way.
const minCosine = 0.999

// checkFlips compares the logits of the positions at which a reader took
// another token than ours.
func (m *model) checkFlips(t *testing.T, j job, written [][]int32, flips []flip, ask func(job) result) {
	t.Helper()
	again := job{Model: j.Model}
	for i, prompt := range j.Prompts {
		again.Windows = append(again.Windows, slices.Concat(prompt, written[i]))
	}
	theirs := ask(again).logits
	for _, f := range flips {
		window := again.Windows[f.text]
		ours, err := m.Logits(window, 1)
		if err != nil {
			t.Fatal(err)
		}
		vocab, at := len(ours)/len(window), len(j.Prompts[f.text])+f.token-1
		got := cosine(ours[at*vocab:(at+1)*vocab], theirs[f.text][at*vocab:(at+1)*vocab])
		t.Logf("text %d, token %d is another, at a cosine of %.6f", f.text, f.token, got)
		if got < minCosine {
			t.Errorf("text %d, token %d: cosine of the logits is %g, want %g", f.text, f.token, got, minCosine)
		}
	}
}
