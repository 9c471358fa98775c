package infer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"trefoil/internal/kernel"
)

// Sampling says how the next token is drawn from the logits. The zero value
// takes the likeliest token.
type Sampling struct {
	Temperature float64 // divides the logits; 0 always takes the likeliest token
	TopK        int     // draw from the k likeliest tokens; 0: from all
	TopP        float64 // draw from the fewest tokens that have this probability together (arXiv:1904.09751); 0 or 1: from all
	Seed        uint64  // same seed, same draws
}

// Validate reports fields outside their range.
func (s Sampling) Validate() error {
	var errs []error
	if !(s.Temperature >= 0) || math.IsInf(s.Temperature, 0) {
		errs = append(errs, fmt.Errorf("temperature %v: use 0 (always the likeliest token) or more; 0.8 is usual", s.Temperature))
	}
	if s.TopK < 0 {
		errs = append(errs, fmt.Errorf("top-k %d: use 0 (off) or more; 40 is usual", s.TopK))
	}
	if !(s.TopP >= 0 && s.TopP <= 1) {
		errs = append(errs, fmt.Errorf("top-p %v: use a probability from 0 to 1; 0.95 is usual", s.TopP))
	}
	return errors.Join(errs...)
}

// A Sampler draws tokens. Top-k goes before top-p, and both see the
// probabilities at the sampler's temperature. It must not be used by several
// goroutines at once.
type Sampler struct {
	Sampling
	random *rand.Rand
	tokens []candidate
}

type candidate struct {
	id    int32
	logit float32
	p     float64 // not normalized
}

// NewSampler returns a sampler for settings that Validate accepts.
func NewSampler(s Sampling) *Sampler {
	return &Sampler{Sampling: s, random: rand.New(rand.NewPCG(s.Seed, 0x7265666f696c))}
}

// Sample draws the index of one of the logits, which it leaves as they are.
func (s *Sampler) Sample(logits []float32) (int32, error) {
	if i := kernel.FirstNonFinite(logits); i >= 0 {
		return 0, fmt.Errorf("the logit of token %d is %v: the model's weights are of no use", i, logits[i])
	}
	if s.Temperature == 0 {
		return int32(kernel.Argmax(logits)), nil
	}
	s.tokens = s.tokens[:0]
	for i, v := range logits {
		s.tokens = append(s.tokens, candidate{id: int32(i), logit: v})
	}
	if s.TopK > 0 && s.TopK < len(s.tokens) {
		keepLikeliest(s.tokens, s.TopK)
		s.tokens = s.tokens[:s.TopK]
	}
	total := s.weigh()
	if s.TopP > 0 && s.TopP < 1 {
		total = s.nucleus(total)
	}
	return s.draw(total), nil
}

// likelier orders candidates from the likeliest on, of equal ones the lower
// id first.
func likelier(a, b candidate) int {
	return cmp.Or(cmp.Compare(b.logit, a.logit), cmp.Compare(a.id, b.id))
}

// keepLikeliest moves the k likeliest candidates to the front, in order, by
// insertion: k is small.
func keepLikeliest(c []candidate, k int) {
	slices.SortFunc(c[:k], likelier)
	for i := k; i < len(c); i++ {
		if likelier(c[i], c[k-1]) >= 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(c[:k], c[i], likelier)
		x := c[i]
		c[i] = c[k-1]
		copy(c[at+1:k], c[at:k-1])
		c[at] = x
	}
}

// weigh sets every p to exp((logit - largest)/temperature) and returns their
// sum.
func (s *Sampler) weigh() (total float64) {
	top := slices.MinFunc(s.tokens, likelier).logit
	for i := range s.tokens {
		c := &s.tokens[i]
		c.p = math.Exp(float64(c.logit-top) / s.Temperature)
		total += c.p
	}
	return total
}

// nucleus keeps the fewest tokens that have the probability TopP together and
// returns their sum. Tokens below the mean of what may be cut are cut before
// sorting: all of them together are less than that.
func (s *Sampler) nucleus(total float64) (kept float64) {
	least := (1 - s.TopP) * total / float64(len(s.tokens))
	s.tokens = slices.DeleteFunc(s.tokens, func(c candidate) bool { return c.p < least })
	slices.SortFunc(s.tokens, likelier)
	for i, c := range s.tokens {
		if kept += c.p; kept >= s.TopP*total {
			s.tokens = s.tokens[:i+1]
			break
		}
	}
	return kept
}

func (s *Sampler) draw(total float64) int32 {
	u := s.random.Float64() * total
	for _, c := range s.tokens {
		if u -= c.p; u < 0 {
			return c.id
		}
	}
	return s.tokens[len(s.tokens)-1].id // rounding
}
