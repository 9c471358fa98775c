package schedule

import (
	"errors"
	"math"
)

// Step is the shape of a lambda that is To from the start of its phase on.
// The shapes [Linear] and [Cosine] exist for lambda too.
const (
	Step        = "step"
	Sigmoid     = "sigmoid"
	Exponential = "exponential"
)

// Lambda is the course of the blend x + lambda*(quantized(x) - x) in a phase.
// At the share p of the phase it is From + (To-From)*shape(p), where shape
// runs from 0 to 1:
//
//	step         1
//	linear       p
//	cosine       (1 - cos(pi p)) / 2
//	sigmoid      1/(1+exp(-10 (p-1/2))), stretched to reach 0 and 1
//	exponential  (1 - exp(-5 p)) / (1 - exp(-5)): fast at first, then slow
type Lambda struct {
	Shape string  `yaml:"shape" doc:"step (to at once), linear, cosine, sigmoid or exponential"`
	From  float64 `yaml:"from" doc:"lambda at the start of the phase"`
	To    float64 `yaml:"to" doc:"lambda at the end of the phase"`
}

// At returns lambda at the share p (0..1) of the phase.
func (l Lambda) At(p float64) float64 {
	switch {
	case l.Shape == Step || p >= 1:
		return l.To
	case p <= 0:
		return l.From
	}
	return l.From + (l.To-l.From)*l.shape(p)
}

func (l Lambda) shape(p float64) float64 {
	switch l.Shape {
	case Cosine:
		return (1 - math.Cos(math.Pi*p)) / 2
	case Sigmoid:
		const steepness = 10
		logistic := func(p float64) float64 { return 1 / (1 + math.Exp(-steepness*(p-0.5))) }
		return (logistic(p) - logistic(0)) / (logistic(1) - logistic(0))
	case Exponential:
		const rate = 5
		return math.Expm1(-rate*p) / math.Expm1(-rate)
	default:
		return p
	}
}

func (l Lambda) validate(at string) error {
	return errors.Join(
		oneOf(at+".shape", l.Shape, Step, Linear, Cosine, Sigmoid, Exponential),
		within(at+".from", l.From, 0, 1),
		within(at+".to", l.To, 0, 1),
	)
}
