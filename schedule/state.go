package schedule

import (
	"fmt"
	"slices"

	"trefoil/quant"
)

// State is how one linear layer computes at one step. With Lambda 0 it is
// float32, whatever the bits are. The Weights of a layer that
// [Quantization].Mixed names are in short its quantizer's.
type State struct {
	Weights     Weights
	Activations Activations
	Noise       quant.Noise
	Lambda      float64
}

// short says what a layer that ends in state s lacks of the final state.
func (s State) short(final State) string {
	switch {
	case s.Lambda != 1:
		return fmt.Sprintf("lambda %v, not 1", s.Lambda)
	case s.Weights.Bits != final.Weights.Bits:
		return fmt.Sprintf("weights of %v bits, not %v", s.Weights.Bits, final.Weights.Bits)
	case s.Weights != final.Weights:
		return fmt.Sprintf("weights scaled by %s, not %s", s.Weights.Scale, final.Weights.Scale)
	case s.Activations != final.Activations:
		return fmt.Sprintf("activations of %d bits, not %d", s.Activations.Bits, final.Activations.Bits)
	}
	return ""
}

// untouched is the state of the layers before the first phase: float32.
func (q Quantization) untouched(rules []*quant.Scalar) []State {
	states := make([]State, len(rules))
	for i := range states {
		states[i] = q.end(rules[i])
		states[i].Noise, states[i].Lambda = quant.Noise{Kind: quant.NoNoise}, 0
	}
	return states
}

// end is how a layer computes when the run has ended: as q says, or with the
// weights of its own rule, unless that is nil.
func (q Quantization) end(rule *quant.Scalar) State {
	s := State{q.Weights, q.Activations, q.Noise, 1}
	if rule != nil {
		c := rule.Config()
		s.Weights = Weights{c.Bits, c.Scale}
	}
	return s
}

// in returns what holds in a phase for a layer that it sets: its own settings
// where it has them, else those of q.
func (q Quantization) in(p Phase, rule *quant.Scalar) State {
	s := q.end(rule)
	s.Lambda = p.Lambda.To
	switch w := p.Weights; {
	case w == nil:
	case rule != nil && w.Bits == Float:
		s.Weights.Bits = Float
	case rule == nil:
		s.Weights = Weights{or(w.Bits, s.Weights.Bits), or(w.Scale, s.Weights.Scale)}
	}
	if a := p.Activations; a != nil {
		s.Activations.Bits = or(a.Bits, s.Activations.Bits)
	}
	if n := p.Noise; n != nil {
		s.Noise = quant.Noise{
			Kind: or(n.Kind, s.Noise.Kind), Strength: or(n.Strength, s.Noise.Strength),
			Block: or(n.Block, s.Noise.Block), Share: or(n.Share, s.Noise.Share),
		}
	}
	return s
}

// or returns own unless it is zero, that is left out.
func or[T comparable](own, inherited T) T {
	var zero T
	if own == zero {
		return inherited
	}
	return own
}

// after returns the states at the end of a phase that sets the layers of set.
func (q Quantization) after(p Phase, set []bool, rules []*quant.Scalar, before []State) []State {
	states := slices.Clone(before)
	for i := range states {
		if set[i] {
			states[i] = q.in(p, rules[i])
		}
	}
	return states
}
