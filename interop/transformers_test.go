package interop

import (
	"math"
	"path/filepath"
	"testing"

	"trefoil/export"
	"trefoil/quant/packed"
)

// maxDifference is how far logits may be apart where transformers rounds as we
// do.
const maxDifference = 1e-3

// maxTie is how far from a rounding tie an input may be, in codes, that
// transformers and we round to different codes.
const maxTie = 5e-4

func transformers(t *testing.T, j job) result {
	t.Helper()
	return ask(t, j, have(t, installPython), "huggingface.py")
}

func TestTransformersReadsRuns(t *testing.T) {
	have(t, installPython)
	for name, run := range map[string]func() (string, error){"silu": siluRun, "relu2": relu2Run, "llama": plainRun} {
		for _, format := range []export.Format{export.HuggingFace, export.PackedHuggingFace} {
			t.Run(name+" "+string(format), func(t *testing.T) {
				m := open(t, run, export.Options{Float: packed.Float32})
				m.windows = short(m.windows)
				j := m.task(m.write(t, format), len(m.windows))
				j.Inputs = filepath.Join(t.TempDir(), "inputs")
				r := transformers(t, j)
				m.checkRows(t, r.logits, m.flips(t, readNumbers[float32](t, j.Inputs)))
				same, _ := m.greedy(t, j.Prompts, r.Generated, 0.02)
				t.Logf("%d of %d greedy tokens are ours", same, len(j.Prompts)*tokensToWrite)
				if same < len(j.Prompts)*tokensToWrite*98/100 {
					t.Errorf("only %d of %d greedy tokens are ours", same, len(j.Prompts)*tokensToWrite)
				}
			})
		}
	}
}

// short cuts windows to 24 tokens and the one after: a code that is rounded
// otherwise changes all that follows in its window.
func short(windows [][]int32) [][]int32 {
	var cut [][]int32
	for _, w := range windows {
		cut = append(cut, w[:25])
	}
	return cut
}

// flips compares the inputs of all linear layers, in codes before rounding,
// with ours: theirs has those of each window and of each layer, [tokens, in].
// It returns, for each window, the first position from which on the two no
// longer compute with the same codes. A code that differs although all that it
// is computed from is the same must be a rounding tie.
func (m *model) flips(t *testing.T, theirs []float32) []int {
	t.Helper()
	var first []int
	codes, ties, farthest := 0, 0, 0.0
	for _, w := range m.windows {
		same := len(w) - 1
		tapped := m.WithTap(func(name string, x, _ []float32, rows int) {
			in := len(x) / rows
			ours, scales := make([]int8, len(x)), make([]float32, rows)
			if err := (packed.Input{Bits: 8}).Quantize(ours, scales, x, rows, in); err != nil {
				t.Fatal(err)
			}
			their := theirs[:len(x)]
			theirs = theirs[len(x):]
			until := same
			for i, code := range ours[:until*in] {
				codes++
				if float64(code) == math.RoundToEven(float64(their[i])) {
					continue
				}
				between := math.Abs(float64(their[i]) - math.Trunc(float64(their[i]))) // 0.5 is a tie
				off := math.Abs(between - 0.5)
				ties++
				farthest = max(farthest, off)
				if d := math.Abs(float64(code) - float64(their[i])); off > maxTie || d > 0.5+maxTie {
					t.Errorf("%s, position %d: our code is %d, theirs is rounded from %g", name, i/in, code, their[i])
				}
				same = min(same, i/in)
			}
		})
		if _, err := tapped.Logits(w[:len(w)-1], 1); err != nil {
			t.Fatal(err)
		}
		first = append(first, same)
	}
	if len(theirs) != 0 {
		t.Fatalf("%d inputs more than our layers have", len(theirs))
	}
	t.Logf("%d codes compared, %d of them ties that are rounded otherwise, at most %.2g from 0.5", codes, ties, farthest)
	return first
}

// checkRows compares logits: before the first other code they must agree, and
// that must be most of all positions.
func (m *model) checkRows(t *testing.T, theirs [][]float32, first []int) {
	t.Helper()
	clean, rows, worst := 0, 0, 0.0
	for i, w := range m.windows {
		ours, err := m.Logits(w[:len(w)-1], 1)
		if err != nil {
			t.Fatal(err)
		}
		vocab := len(ours) / (len(w) - 1)
		clean, rows = clean+first[i], rows+len(w)-1
		worst = max(worst, difference(ours[:first[i]*vocab], theirs[i][:first[i]*vocab]))
	}
	c := m.compare(t, theirs)
	c.log(t, "all positions")
	t.Logf("%d of %d positions compute with the same codes: their logits differ by at most %.2g", clean, rows, worst)
	if worst > maxDifference {
		t.Errorf("logits differ by %g, want at most %g", worst, maxDifference)
	}
	if 2*clean < rows {
		t.Errorf("only %d of %d positions compute with the same codes", clean, rows)
	}
	if c.cosine < 0.999 || c.firstsSame*100 < c.firsts*99 {
		t.Errorf("cosine %g, likeliest token the same at %d of %d positions", c.cosine, c.firstsSame, c.firsts)
	}
}
