package data

import (
	"fmt"
	"math/rand/v2"
)

// Sampler draws random windows of a sequence of tokens: the batches of training.
// The same seed gives the same batches on every machine. It is not safe for
// concurrent use.
type Sampler struct {
	tokens  *Tokens
	context int
	pcg     *rand.PCG
	random  *rand.Rand
	window  []int32 // [context+1]
}

// NewSampler draws windows of context tokens, each with the token that follows.
// It is an error if t is shorter than context+1.
func NewSampler(t *Tokens, context int, seed uint64) (*Sampler, error) {
	if err := checkContext(t, context); err != nil {
		return nil, err
	}
	pcg := rand.NewPCG(seed, 0)
	return &Sampler{t, context, pcg, rand.New(pcg), make([]int32, context+1)}, nil
}

// Next fills inputs and targets: [batch, context] each, the batch being
// len(inputs)/context. The targets are the inputs moved on by one token. Every
// window of the sequence is as likely as any other.
func (s *Sampler) Next(inputs, targets []int32) {
	if len(inputs)%s.context != 0 || len(inputs) != len(targets) {
		panic(fmt.Sprintf("data: a batch of %d inputs and %d targets for a context of %d", len(inputs), len(targets), s.context))
	}
	for row := 0; row < len(inputs); row += s.context {
		start := s.random.IntN(s.tokens.Len() - s.context)
		s.tokens.Read(s.window, start)
		copy(inputs[row:row+s.context], s.window)
		copy(targets[row:row+s.context], s.window[1:])
	}
}

// State is the state of the random numbers: a sampler that gets it by
// [Sampler.Restore] goes on with the same batches.
func (s *Sampler) State() []byte {
	state, err := s.pcg.MarshalBinary()
	if err != nil {
		panic(err) // a PCG always has a state
	}
	return state
}

// Restore takes a state from [Sampler.State].
func (s *Sampler) Restore(state []byte) error {
	if err := s.pcg.UnmarshalBinary(state); err != nil {
		return fmt.Errorf("state of the sampler (%d bytes): %w: the checkpoint is damaged or not from this version", len(state), err)
	}
	return nil
}

// Windows returns n fixed windows, [n, context+1], for evaluation: the sequence is
// cut into n equal stretches and a window begins at a random place of each, so
// that together they see all of it. Same tokens, sizes and seed: same windows.
// It is an error if t is shorter than context+1.
func Windows(t *Tokens, context, n int, seed uint64) ([]int32, error) {
	if n < 1 {
		return nil, fmt.Errorf("%d evaluation windows: use 1 or more", n)
	}
	if err := checkContext(t, context); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(seed, 1))
	starts := uint64(t.Len() - context)
	windows := make([]int32, n*(context+1))
	for i := range n {
		low := starts * uint64(i) / uint64(n)
		high := max(low+1, starts*uint64(i+1)/uint64(n))
		start := low + random.Uint64N(high-low)
		t.Read(windows[i*(context+1):(i+1)*(context+1)], int(start))
	}
	return windows, nil
}

func checkContext(t *Tokens, context int) error {
	if context < 1 {
		return fmt.Errorf("a context of %d tokens: use 1 or more", context)
	}
	if t.Len() < context+1 {
		return fmt.Errorf("the text has %d tokens, but a context of %d needs %d: use a longer text, another data.holdout, or a shorter context", t.Len(), context, context+1)
	}
	return nil
}
