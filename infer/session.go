package infer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// WindowStart returns the index of the first of n tokens that a model still
// sees. Up to its context that is 0. A token more, and it forgets all but the
// last context/2 of the tokens before, which take the positions from 0 on;
// then it sees more and more again, up to its context, and so on. Whoever
// generates text follows this rule, so that the same model, sampler and seed
// give the same text however the tokens arrive.
func WindowStart(n, context int) int {
	if n <= context {
		return 0
	}
	step := context - context/2
	return (n - context + step - 1) / step * step
}

// A Session is a sequence of tokens that a model has read, with the keys and
// values that reading on needs. It must not be used by several goroutines at
// once.
type Session struct {
	m      *Model
	w      workspace
	past   cache
	window []int32 // the tokens that the model sees
	total  int     // tokens appended since the beginning
	logits []float32
}

// NewSession returns a session that has read nothing.
func (m *Model) NewSession() *Session {
	s := &Session{m: m, logits: make([]float32, m.config.Model.Vocab)}
	s.past.k = make([][]float32, len(m.blocks))
	s.past.v = make([][]float32, len(m.blocks))
	return s
}

// Append reads tokens, at least one, and returns the logits [vocab] of what
// follows the last of them. They are valid until the next call. After an
// error the session is as before.
func (s *Session) Append(tokens ...int32) ([]float32, error) {
	if len(tokens) == 0 {
		return nil, errors.New("no tokens to read: begin with the end-of-text token, say")
	}
	if err := s.m.check(tokens); err != nil {
		return nil, err
	}
	context, dim := s.m.config.Model.Context, s.m.config.Model.Dim
	first := s.total - len(s.window)
	s.window = append(s.window, tokens...)
	s.total += len(tokens)
	fresh := tokens
	if start := WindowStart(s.total, context); start > first {
		s.window = slices.Delete(s.window, 0, start-first)
		s.forget()
		fresh = s.window
	}
	if err := s.m.forward(&s.w, fresh, 1, &s.past); err != nil {
		return nil, err
	}
	s.m.head(&s.w, s.logits, s.w.x[(len(fresh)-1)*dim:len(fresh)*dim], 1)
	return s.logits, nil
}

// forget empties the cache and keeps its memory.
func (s *Session) forget() {
	s.past.tokens = 0
	for i := range s.past.k {
		s.past.k[i], s.past.v[i] = s.past.k[i][:0], s.past.v[i][:0]
	}
}

// Generate reads the prompt and yields n sampled tokens, each as soon as it
// is known, and fewer if the caller stops or ctx ends: then the last error is
// ctx's. The session has read what was yielded but for the last token.
func (s *Session) Generate(ctx context.Context, prompt []int32, n int, sampler *Sampler) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		next := prompt
		for range n {
			id, err := s.step(ctx, next, sampler)
			if !yield(id, err) || err != nil {
				return
			}
			next = []int32{id}
		}
	}
}

// step reads tokens and samples what follows.
func (s *Session) step(ctx context.Context, tokens []int32, sampler *Sampler) (int32, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	logits, err := s.Append(tokens...)
	if err != nil {
		return 0, err
	}
	id, err := sampler.Sample(logits)
	if err != nil {
		return 0, fmt.Errorf("after %d tokens: %w", s.total, err)
	}
	return id, nil
}
