package data

import (
	"slices"
	"strings"
	"testing"
)

func countingTokens(t *testing.T, n, vocab int) *Tokens {
	t.Helper()
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(i % vocab)
	}
	tokens, err := NewTokens(ids, vocab)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestTokensRead(t *testing.T) {
	for _, vocab := range []int{1 << 16, 1<<16 + 1} { // two and four bytes an id
		tokens := countingTokens(t, vocab, vocab)
		dst := []int32{-1, -1, -1}
		for _, c := range []struct{ offset, n int }{{0, 3}, {vocab - 3, 3}, {vocab - 2, 2}, {vocab, 0}, {vocab + 9, 0}} {
			if n := tokens.Read(dst, c.offset); n != c.n || n > 0 && dst[n-1] != int32(c.offset+n-1) {
				t.Errorf("Read at %d of %d gives %d tokens %v", c.offset, tokens.Len(), n, dst)
			}
		}
	}
	if _, err := NewTokens([]int32{0, 7}, 7); err == nil || !strings.Contains(err.Error(), "token 1 of 2 is id 7") {
		t.Errorf("an id outside the vocabulary gives %v", err)
	}
	if _, err := NewTokens([]int32{-1}, 7); err == nil {
		t.Error("id -1 is accepted")
	}
}

func TestSamplerTargetsFollowInputs(t *testing.T) {
	const context, batch = 8, 5
	tokens := countingTokens(t, 20, 100)
	s, err := NewSampler(tokens, context, 1)
	if err != nil {
		t.Fatal(err)
	}
	inputs, targets := make([]int32, batch*context), make([]int32, batch*context)
	starts := map[int32]int{}
	for range 400 {
		s.Next(inputs, targets)
		for i := range inputs {
			if targets[i] != inputs[i]+1 || i%context > 0 && inputs[i] != inputs[i-1]+1 {
				t.Fatalf("inputs %v, targets %v", inputs, targets)
			}
		}
		for row := range batch {
			starts[inputs[row*context]]++
		}
	}
	for start := range int32(20 - context) { // 12 places, 2000 windows: 167 each, give or take 5 deviations
		if n := starts[start]; n < 100 || n > 234 {
			t.Errorf("%d windows begin at %d, want about 167", n, start)
		}
	}
	if len(starts) != 20-context {
		t.Errorf("windows begin at %d places, want %d", len(starts), 20-context)
	}
}

func TestSamplerGoesOn(t *testing.T) {
	tokens := countingTokens(t, 1000, 1000)
	next := func(s *Sampler) []int32 {
		inputs, targets := make([]int32, 32), make([]int32, 32)
		s.Next(inputs, targets)
		return inputs
	}
	a, _ := NewSampler(tokens, 16, 7)
	b, _ := NewSampler(tokens, 16, 8)
	if slices.Equal(next(a), next(b)) {
		t.Error("two seeds give the same batch")
	}
	state := a.State()
	want := next(a)
	if err := b.Restore(state); err != nil {
		t.Fatal(err)
	}
	if got := next(b); !slices.Equal(got, want) {
		t.Errorf("after Restore the batch is %v, want %v", got, want)
	}
	if err := b.Restore([]byte("nonsense")); err == nil || !strings.Contains(err.Error(), "checkpoint") {
		t.Errorf("a damaged state gives %v", err)
	}
}

func TestWindows(t *testing.T) {
	tokens := countingTokens(t, 1000, 1000)
	const context, n = 10, 9
	w, err := Windows(tokens, context, n, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		window := w[i*(context+1) : (i+1)*(context+1)]
		if low, high := int32(990*i/n), int32(990*(i+1)/n); window[0] < low || window[0] >= high {
			t.Errorf("window %d begins at %d, want %d to %d", i, window[0], low, high-1)
		}
		if window[context] != window[0]+context {
			t.Errorf("window %d is %v", i, window)
		}
	}
	if again, _ := Windows(tokens, context, n, 3); !slices.Equal(w, again) {
		t.Error("the windows of one seed differ")
	}
	if many, err := Windows(countingTokens(t, 4, 10), 2, 50, 3); err != nil || len(many) != 150 {
		t.Errorf("more windows than places: %d ids, %v", len(many), err)
	}
}

func TestTooShortForContext(t *testing.T) {
	tokens := countingTokens(t, 8, 10)
	if _, err := NewSampler(tokens, 8, 1); err == nil || !strings.Contains(err.Error(), "8 tokens, but a context of 8 needs 9") {
		t.Errorf("NewSampler gives %v", err)
	}
	if _, err := Windows(tokens, 8, 1, 1); err == nil {
		t.Error("Windows of a text that is too short")
	}
	if _, err := Windows(tokens, 4, 0, 1); err == nil {
		t.Error("no windows")
	}
	if s, err := NewSampler(tokens, 7, 1); err != nil {
		t.Error(err)
	} else {
		s.Next(make([]int32, 7), make([]int32, 7)) // the only window
	}
}
