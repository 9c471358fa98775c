// Package schedule says what changes in the course of a run: the learning
// rate and the weight decay ([LearningRate]), and how far each linear layer is
// quantized ([Quantization], resolved for one model and one number of steps
// into a [Plan]).
//
// Everything here is a pure function of the step, so that a run that is
// resumed at any step continues exactly as if it had never stopped.
//
// An error of a Validate method is one or more errors joined; the message of
// each starts with the path of the field, as in
//
//	phases[1].lambda.to: 1.5 is outside 0..1: use 1 for full quantization
package schedule

import (
	"fmt"
	"slices"
	"strings"
)

// oneOf returns an error when value is not among the allowed ones.
func oneOf[T ~string](path string, value T, allowed ...T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s: %q is not known: use %s", path, value, alternatives(allowed))
}

// within returns an error when value is outside lo..hi (or NaN).
func within(path string, value, lo, hi float64) error {
	if value >= lo && value <= hi {
		return nil
	}
	return fmt.Errorf("%s: %v is outside %v..%v: use a value in that range", path, value, lo, hi)
}

// alternatives writes "a, b or c".
func alternatives[T ~string](words []T) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i > 0 && i == len(words)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}
