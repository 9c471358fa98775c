package infer

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"trefoil/arch"
	"trefoil/internal/kernel"
	"trefoil/quant/packed"
)

// Reading token by token, or in pieces of any size, gives the very bits of
// the whole sequence.
func TestSessionEqualsSequence(t *testing.T) {
	relu2 := tiny()
	relu2.Activation, relu2.KVHeads, relu2.Dim, relu2.FF = arch.ReLU2, 1, 72, 100
	for _, c := range []arch.Config{tiny(), relu2} {
		for _, weights := range []packed.Type{packed.Ternary, packed.Float32} {
			for _, bits := range []int{8, 4, 32} {
				for _, mode := range []Activations{Dynamic, StaticPercentile} {
					if bits == 32 && mode != Dynamic {
						continue
					}
					m, err := load(t, random(c, weights, bits, 21)).WithActivations(mode)
					if err != nil {
						t.Fatal(err)
					}
					sessionEqualsSequence(t, m)
				}
			}
		}
	}
}

func sessionEqualsSequence(t *testing.T, m *Model) {
	t.Helper()
	c := m.config.Model
	tokens := randomTokens(c.Context, c, 22)
	whole, err := m.Logits(tokens, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(23, 24))
	for _, longest := range []int{1, 7, c.Context} {
		s := m.NewSession()
		for at := 0; at < len(tokens); {
			n := min(1+r.IntN(longest), len(tokens)-at)
			got, err := s.Append(tokens[at : at+n]...)
			if err != nil {
				t.Fatal(err)
			}
			at += n
			if want := whole[(at-1)*c.Vocab : at*c.Vocab]; !slices.Equal(got, want) {
				t.Fatalf("pieces of up to %d: after %d tokens the logits are %v..., the sequence's %v...", longest, at, got[:3], want[:3])
			}
		}
	}
}

func TestBitsDoNotDependOnThreads(t *testing.T) {
	m := load(t, random(tiny(), packed.Ternary, 8, 25))
	tokens := randomTokens(48, tiny(), 26)
	previous := kernel.SetThreads(1)
	defer kernel.SetThreads(previous)
	one, _ := m.Logits(tokens, 2)
	kernel.SetThreads(4)
	four, _ := m.Logits(tokens, 2)
	if !slices.Equal(one, four) {
		t.Error("1 and 4 threads give different logits")
	}
}

// WindowStart against the process that its comment tells.
func TestWindowStart(t *testing.T) {
	for _, context := range []int{1, 2, 3, 24, 25} {
		start := 0
		for n := range 5 * context {
			if n-start > context {
				start = n - 1 - context/2
			}
			if got := WindowStart(n, context); got != start {
				t.Fatalf("context %d, %d tokens: %d, want %d", context, n, got, start)
			}
		}
	}
}

// Past the end of the context a session sees the window and nothing else.
func TestSessionRollsOver(t *testing.T) {
	c := tiny()
	m := load(t, random(c, packed.Ternary, 8, 27))
	tokens := randomTokens(4*c.Context+5, c, 28)
	single, pieces := m.NewSession(), m.NewSession()
	for n := 1; n <= len(tokens); n++ {
		got, err := single.Append(tokens[n-1])
		if err != nil {
			t.Fatal(err)
		}
		window := tokens[WindowStart(n, c.Context):n]
		whole, err := m.Logits(window, 1)
		if err != nil {
			t.Fatal(err)
		}
		if want := whole[(len(window)-1)*c.Vocab:]; !slices.Equal(got, want) {
			t.Fatalf("after %d tokens the session differs from its window of %d", n, len(window))
		}
		if n%13 == 0 {
			if piece, err := pieces.Append(tokens[n-13 : n]...); err != nil || !slices.Equal(piece, got) {
				t.Fatalf("after %d tokens pieces of 13 differ from single ones: %v", n, err)
			}
		}
	}
	long, err := m.NewSession().Append(tokens...)
	if err != nil || !slices.Equal(long, single.logits) {
		t.Errorf("a prompt longer than the context: %v", err)
	}
}

func TestErrorLeavesSession(t *testing.T) {
	m := load(t, random(tiny(), packed.Ternary, 8, 29))
	a, b := m.NewSession(), m.NewSession()
	a.Append(1, 2, 3)
	b.Append(1, 2, 3)
	if _, err := b.Append(4, 1000); err == nil {
		t.Fatal("an unknown token was read")
	}
	want, _ := a.Append(5)
	if got, _ := b.Append(5); !slices.Equal(got, want) {
		t.Error("a refused token changed the session")
	}
}

func collect(t *testing.T, m *Model, prompt []int32, n int, s Sampling) []int32 {
	t.Helper()
	var out []int32
	for id, err := range m.NewSession().Generate(t.Context(), prompt, n, NewSampler(s)) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, id)
	}
	return out
}

func TestGenerate(t *testing.T) {
	m := load(t, random(tiny(), packed.Ternary, 8, 30))
	prompt := []int32{3, 1, 4}
	greedy := collect(t, m, prompt, 60, Sampling{})
	if len(greedy) != 60 {
		t.Fatalf("%d tokens instead of 60", len(greedy))
	}
	all := slices.Clone(prompt)
	for i, id := range greedy { // beyond the context too
		window := all[WindowStart(len(all), tiny().Context):]
		logits, err := m.Logits(window, 1)
		if err != nil {
			t.Fatal(err)
		}
		last := logits[(len(window)-1)*tiny().Vocab:]
		if last[id] != slices.Max(last) {
			t.Fatalf("token %d is not the likeliest", i)
		}
		all = append(all, id)
	}
	warm := Sampling{Temperature: 1, Seed: 5}
	if !slices.Equal(collect(t, m, prompt, 40, warm), collect(t, m, prompt, 40, warm)) {
		t.Error("the same seed gave different tokens")
	}
	other := warm
	other.Seed = 6
	if slices.Equal(collect(t, m, prompt, 40, warm), collect(t, m, prompt, 40, other)) {
		t.Error("another seed gave the same tokens")
	}
}

func TestGenerateStops(t *testing.T) {
	m := load(t, random(tiny(), packed.Ternary, 8, 31))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range m.NewSession().Generate(ctx, []int32{1}, 100, NewSampler(Sampling{})) {
		last = err
		if n++; n == 5 {
			cancel()
		}
	}
	if n != 6 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d steps, then %v", n, last)
	}
	n = 0
	for range m.NewSession().Generate(t.Context(), []int32{1}, 100, NewSampler(Sampling{})) {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d steps after a break", n)
	}
}

func TestSessionsShareAModel(t *testing.T) {
	m := load(t, random(tiny(), packed.Ternary, 8, 32))
	want := collect(t, m, []int32{2, 7}, 30, Sampling{Temperature: 1, Seed: 1})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got := collect(t, m, []int32{2, 7}, 30, Sampling{Temperature: 1, Seed: 1}); !slices.Equal(got, want) {
				t.Error("a session beside others gave other tokens")
			}
		})
	}
	wg.Wait()
}

func TestNaNWeightsAreReported(t *testing.T) {
	content := random(tiny(), packed.Ternary, 8, 33)
	content.Find("norm").Values[0] = float32(math.NaN())
	for _, err := range load(t, content).NewSession().Generate(t.Context(), []int32{1}, 5, NewSampler(Sampling{})) {
		if err == nil {
			t.Fatal("a token was drawn from NaNs")
		}
	}
}
