package interop

import (
	"math"
	"testing"

	"trefoil/internal/kernel"
)

// tokensToWrite is how many tokens a reader adds to a prompt.
const tokensToWrite = 50

// task asks for the logits of some held-out windows, and for text that follows
// their beginnings.
func (m *model) task(path string, windows int) job {
	j := job{Model: path, Tokens: tokensToWrite}
	for _, w := range m.windows[:windows] {
		j.Windows = append(j.Windows, w[:len(w)-1])
	}
	for _, w := range m.windows[:4] {
		j.Prompts = append(j.Prompts, w[:16])
	}
	return j
}

// A comparison is of a reader's logits with ours.
type comparison struct {
	rows               int
	worst              float64 // largest difference of a logit
	cosine             float64 // smallest cosine of the logits of a position, each less their mean
	ours, theirs       float64 // perplexity
	firsts, firstsSame int     // positions, and those with the same likeliest token
}

// compare compares logits on held-out windows.
func (m *model) compare(t *testing.T, theirs [][]float32) comparison {
	t.Helper()
	c := comparison{cosine: 1}
	ourLoss, theirLoss := 0.0, 0.0
	for i, logits := range theirs {
		w := m.windows[i]
		ours, err := m.Logits(w[:len(w)-1], 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(ours) != len(logits) {
			t.Fatalf("%d logits, want %d", len(logits), len(ours))
		}
		vocab := len(ours) / (len(w) - 1)
		for r, target := range w[1:] {
			a, b := ours[r*vocab:(r+1)*vocab], logits[r*vocab:(r+1)*vocab]
			c.rows++
			c.worst = max(c.worst, difference(a, b))
			c.cosine = min(c.cosine, cosine(a, b))
			ourLoss += crossEntropy(a, target)
			theirLoss += crossEntropy(b, target)
			if c.firsts++; kernel.Argmax(a) == kernel.Argmax(b) {
				c.firstsSame++
			}
		}
	}
	c.ours, c.theirs = math.Exp(ourLoss/float64(c.rows)), math.Exp(theirLoss/float64(c.rows))
	return c
}

func (c comparison) log(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %d positions; logits differ by at most %.2g, cosine at least %.6f, likeliest token the same at %.1f%%; perplexity %.4f, ours %.4f",
		what, c.rows, c.worst, c.cosine, 100*float64(c.firstsSame)/float64(c.firsts), c.theirs, c.ours)
}

// difference is the largest distance of elements, infinite if one is NaN.
func difference(a, b []float32) float64 {
	worst := 0.0
	for i := range a {
		d := math.Abs(float64(a[i]) - float64(b[i]))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		worst = max(worst, d)
	}
	return worst
}

// cosine is that of the angle between a and b, each less its mean: what all
// logits have in common says nothing about the next token.
func cosine(a, b []float32) float64 {
	var meanA, meanB float64
	for i := range a {
		meanA += float64(a[i]) / float64(len(a))
		meanB += float64(b[i]) / float64(len(b))
	}
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i])-meanA, float64(b[i])-meanB
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}

// crossEntropy is the loss of predicting a token, in nats.
func crossEntropy(logits []float32, token int32) float64 {
	top, sum := logits[kernel.Argmax(logits)], 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v - top))
	}
	return math.Log(sum) - float64(logits[token]-top)
}

// greedy checks text that a reader wrote by taking the likeliest token each
// time: it must be ours. It may take another token only where our logits of
// the two are less than tie apart. It returns how many tokens are ours, and
// where the others are.
func (m *model) greedy(t *testing.T, prompts, written [][]int32, tie float64) (same int, flips []flip) {
	t.Helper()
	if len(written) != len(prompts) {
		t.Fatalf("%d texts, want %d", len(written), len(prompts))
	}
	for i, text := range written {
		if len(text) != tokensToWrite {
			t.Fatalf("text %d has %d tokens, want %d", i, len(text), tokensToWrite)
		}
		s := m.NewSession()
		next := prompts[i]
		for n, id := range text {
			logits, err := s.Append(next...)
			if err != nil {
				t.Fatal(err)
			}
			best := kernel.Argmax(logits)
			if int32(best) == id {
				same++
			} else {
				flips = append(flips, flip{i, n})
				if gap := float64(logits[best] - logits[id]); gap >= tie {
					t.Errorf("text %d, token %d: %d, ours is %d, %.3g likelier in logits", i, n, id, best, gap)
				}
			}
			next = []int32{id}
		}
	}
	return same, flips
}

// A flip is a token of a text that a reader wrote and we would not.
type flip struct{ text, token int }
