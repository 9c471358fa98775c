package schedule

import (
	"errors"
	"fmt"
	"math"
)

// The schedules of a learning rate. With f = step/steps and
// anneal(x) = floor + (1-floor)*x:
const (
	Constant = "constant"  // 1
	Linear   = "linear"    // anneal(1-f)
	Cosine   = "cosine"    // anneal((1+cos(pi f))/2)
	WSD      = "wsd"       // warm-up, stable, decay: 1, then anneal((1-f)/decay) in the last share
	TwoStage = "two-stage" // anneal(1-f), times drop from half of the run on, where weight decay ends too
)

// LearningRate is the course of the learning rate and of the weight decay, as
// factors of their peaks. The two-stage schedule is that of BitNet b1.58 (The
// Era of 1-bit LLMs: Training Tips, Code and FAQ, section 2.1).
type LearningRate struct {
	Schedule string  // one of the constants above
	Steps    int     // steps of the whole run
	Warmup   int     // steps of linear warm-up: (step+1)/Warmup, instead of the schedule's own value
	Floor    float64 // what the schedule falls to, as a share of the peak
	Decay    float64 // wsd: share of the run in which the rate falls
	Drop     float64 // two-stage: factor of the rate in the second half
}

// At returns the factors by which the peak learning rate and the weight decay
// are multiplied at a step, counted from 0.
func (s LearningRate) At(step int) (rate, weightDecay float64) {
	f := min(float64(step)/float64(s.Steps), 1)
	weightDecay = 1
	if s.Schedule == TwoStage && f >= 0.5 {
		weightDecay = 0
	}
	if step < s.Warmup {
		return float64(step+1) / float64(s.Warmup), weightDecay
	}
	return s.shape(f), weightDecay
}

// shape is the factor at the share f of the run, without warm-up.
func (s LearningRate) shape(f float64) float64 {
	switch s.Schedule {
	case Linear:
		return s.anneal(1 - f)
	case Cosine:
		return s.anneal((1 + math.Cos(math.Pi*f)) / 2)
	case WSD:
		if s.Decay == 0 || f < 1-s.Decay {
			return 1
		}
		return s.anneal((1 - f) / s.Decay)
	case TwoStage:
		if f < 0.5 {
			return s.anneal(1 - f)
		}
		return s.Drop * s.anneal(1-f)
	default:
		return 1
	}
}

// anneal maps 1..0 to 1..Floor.
func (s LearningRate) anneal(x float64) float64 { return s.Floor + (1-s.Floor)*x }

// Validate checks every field; its errors name the fields schedule, steps,
// warmup, floor, decay and drop.
func (s LearningRate) Validate() error {
	errs := []error{
		oneOf("schedule", s.Schedule, Constant, Linear, Cosine, WSD, TwoStage),
		within("floor", s.Floor, 0, 1),
		within("decay", s.Decay, 0, 1),
		within("drop", s.Drop, 0, 1),
	}
	if s.Steps < 1 {
		errs = append(errs, fmt.Errorf("steps: %d is too few: a run has at least 1 step", s.Steps))
	}
	if s.Warmup < 0 {
		errs = append(errs, fmt.Errorf("warmup: %d is negative: use 0 for none", s.Warmup))
	}
	return errors.Join(errs...)
}
