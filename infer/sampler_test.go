package infer

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// frequencies draws n times and returns the share of each token.
func frequencies(t *testing.T, s Sampling, logits []float32, n int) []float64 {
	t.Helper()
	sampler := NewSampler(s)
	counts := make([]float64, len(logits))
	for range n {
		id, err := sampler.Sample(logits)
		if err != nil {
			t.Fatal(err)
		}
		counts[id] += 1 / float64(n)
	}
	return counts
}

// Shares must lie within five standard deviations of the probabilities.
func near(got, want []float64, n int) bool {
	for i, p := range want {
		if math.Abs(got[i]-p) > 5*math.Sqrt(p*(1-p)/float64(n))+1e-9 {
			return false
		}
	}
	return true
}

func TestSamplingStatistics(t *testing.T) {
	const n = 40_000
	p := []float64{0.4, 0.05, 0.3, 0.05, 0.2}
	logits := make([]float32, len(p))
	for i, v := range p {
		logits[i] = float32(math.Log(v)) + 3 // a constant changes nothing
	}
	square := []float64{0.16, 0.0025, 0.09, 0.0025, 0.04} // temperature 1/2
	for i := range square {
		square[i] /= 0.295
	}
	for name, c := range map[string]struct {
		s    Sampling
		want []float64
	}{
		"plain":         {Sampling{Temperature: 1}, p},
		"cold":          {Sampling{Temperature: 0.5}, square},
		"greedy":        {Sampling{}, []float64{1, 0, 0, 0, 0}},
		"top-k 2":       {Sampling{Temperature: 1, TopK: 2}, []float64{4. / 7, 0, 3. / 7, 0, 0}},
		"top-k 1":       {Sampling{Temperature: 1, TopK: 1}, []float64{1, 0, 0, 0, 0}},
		"top-k 9":       {Sampling{Temperature: 1, TopK: 9}, p},
		"top-p 0.69":    {Sampling{Temperature: 1, TopP: 0.69}, []float64{4. / 7, 0, 3. / 7, 0, 0}},
		"top-p 0.71":    {Sampling{Temperature: 1, TopP: 0.71}, []float64{4. / 9, 0, 3. / 9, 0, 2. / 9}},
		"top-p 1e-9":    {Sampling{Temperature: 1, TopP: 1e-9}, []float64{1, 0, 0, 0, 0}},
		"top-p 1":       {Sampling{Temperature: 1, TopP: 1}, p},
		"k 3 and p 0.6": {Sampling{Temperature: 1, TopK: 3, TopP: 0.6}, []float64{4. / 7, 0, 3. / 7, 0, 0}},
	} {
		if got := frequencies(t, c.s, logits, n); !near(got, c.want, n) {
			t.Errorf("%s: drew %.4v, want %.4v", name, got, c.want)
		}
	}
}

// Cutting before sorting must not change the nucleus.
func TestNucleusAgainstSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for range 200 {
		logits := make([]float32, 300)
		for i := range logits {
			logits[i] = float32(r.NormFloat64() * 3)
		}
		s := NewSampler(Sampling{Temperature: 0.3 + r.Float64(), TopP: r.Float64()})
		if _, err := s.Sample(logits); err != nil {
			t.Fatal(err)
		}
		sorted := make([]float64, len(logits))
		total := 0.0
		for i, v := range logits {
			sorted[i] = math.Exp(float64(v) / s.Temperature)
			total += sorted[i]
		}
		slices.SortFunc(sorted, func(a, b float64) int { return int(math.Copysign(1, b-a)) })
		want, sum := 0, 0.0
		for sum < s.TopP*total {
			sum += sorted[want]
			want++
		}
		if len(s.tokens) != want {
			t.Fatalf("top-p %v keeps %d tokens, want %d", s.TopP, len(s.tokens), want)
		}
	}
}

func TestTopKAgainstSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 44))
	for range 200 {
		c := make([]candidate, 100)
		for i := range c {
			c[i] = candidate{id: int32(i), logit: float32(r.IntN(30))} // with ties
		}
		want := slices.Clone(c)
		slices.SortFunc(want, likelier)
		k := 1 + r.IntN(99)
		keepLikeliest(c, k)
		if !slices.Equal(c[:k], want[:k]) {
			t.Fatalf("the %d likeliest are %v, want %v", k, c[:k], want[:k])
		}
	}
}

func TestSampleErrors(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		if _, err := NewSampler(Sampling{Temperature: 1}).Sample([]float32{1, bad}); err == nil || !strings.Contains(err.Error(), "token 1") {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for says, s := range map[string]Sampling{
		"temperature NaN": {Temperature: math.NaN()},
		"temperature -1":  {Temperature: -1},
		"top-k -2":        {TopK: -2},
		"top-p 1.5":       {TopP: 1.5},
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
	if err := (Sampling{Temperature: 0.8, TopK: 40, TopP: 0.95}).Validate(); err != nil {
		t.Error(err)
	}
}
