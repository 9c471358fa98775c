package schedule

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"sort"

	"trefoil/quant"
)

// Plan is a [Quantization] resolved for the linear layers of one model and for
// one number of steps.
type Plan struct {
	layers []string
	spans  []span
	finals []State // [layers] in which the run ends
}

// span is a phase with its steps [start, end) and, for each layer, its state.
type span struct {
	name       string
	start, end int
	lambda     Lambda
	set        []bool  // [layers] whether the phase sets the layer
	states     []State // [layers] at the end of the phase
}

// Plan resolves q for the linear layers of a model, named as
// "blocks.0.attention.q", and for a number of steps. It reports, all at once,
// what [Quantization.Validate] reports, patterns that name no layer, phases
// without a step, and layers that would not end as q.Weights, q.Mixed and
// q.Activations ask with lambda 1.
func (q Quantization) Plan(layers []string, steps int) (*Plan, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	if steps < 1 {
		return nil, fmt.Errorf("steps: %d is too few: a run has at least 1 step", steps)
	}
	rules, err := q.rules(layers)
	if err != nil {
		return nil, err
	}
	p := &Plan{layers: layers}
	for _, rule := range rules {
		p.finals = append(p.finals, q.end(rule))
	}
	if len(q.Phases) == 0 {
		p.spans = []span{{end: steps, set: make([]bool, len(layers)), states: p.finals}}
		return p, nil
	}
	states := q.untouched(rules)
	var errs []error
	share, start := 0.0, 0
	for i, phase := range q.Phases {
		share += phase.Share
		end := int(math.Round(share * float64(steps)))
		if i == len(q.Phases)-1 {
			end = steps
		}
		if end <= start {
			errs = append(errs, fmt.Errorf("phases[%d].share: %v of %s is less than one step: raise the share, train for more steps, or leave the phases out (quantization.phases=[])", i, phase.Share, counted(steps)))
		}
		set, err := match(fmt.Sprintf("phases[%d].layers", i), phase.Layers, layers)
		errs = append(errs, err)
		states = q.after(phase, set, rules, states)
		p.spans = append(p.spans, span{phase.Name, start, end, phase.Lambda, set, states})
		start = end
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := q.reached(p); err != nil {
		return nil, err
	}
	return p, nil
}

func counted(steps int) string {
	if steps == 1 {
		return "1 step"
	}
	return fmt.Sprintf("%d steps", steps)
}

// rules returns the quantizer of each layer's weights, nil where it is that of
// q.Weights.
func (q Quantization) rules(layers []string) ([]*quant.Scalar, error) {
	named, err := q.Mixed.Build(layers)
	if err != nil {
		return nil, prefixed("mixed", err)
	}
	rules := make([]*quant.Scalar, len(layers))
	for i, layer := range layers {
		rules[i] = named[layer]
	}
	return rules, nil
}

// match returns which layers one of the patterns names; no patterns name all.
func match(at string, patterns, layers []string) ([]bool, error) {
	set := make([]bool, len(layers))
	if len(patterns) == 0 {
		for i := range set {
			set[i] = true
		}
		return set, nil
	}
	var errs []error
	for i, pattern := range patterns {
		used := false
		for j, layer := range layers {
			if ok, _ := path.Match(pattern, layer); ok {
				set[j], used = true, true
			}
		}
		if !used {
			errs = append(errs, fmt.Errorf("%s[%d]: %q names no linear layer: the first is %s, the last %s", at, i, pattern, layers[0], layers[len(layers)-1]))
		}
	}
	return set, errors.Join(errs...)
}

// reached checks that every layer ends as the whole network shall.
func (q Quantization) reached(p *Plan) error {
	ends := p.spans[len(p.spans)-1].states
	for i, s := range ends {
		reason := s.short(p.finals[i])
		if reason == "" {
			continue
		}
		j := p.lastSet(i)
		if j < 0 {
			return fmt.Errorf("phases: layer %s would stay float32, for no phase names it: add a pattern that does to the last phase, or leave its layers out", p.layers[i])
		}
		return fmt.Errorf("phases[%d]: layer %s would end with %s, as phase %q leaves it: end with a phase that sets it to lambda 1 and has no weights and activations of its own", j, p.layers[i], reason, q.Phases[j].Name)
	}
	return nil
}

// lastSet is the index of the last phase that sets a layer, or -1.
func (p *Plan) lastSet(layer int) int {
	for j := len(p.spans) - 1; j >= 0; j-- {
		if p.spans[j].set[layer] {
			return j
		}
	}
	return -1
}

// At returns the state of every layer at a step, in the order of the layers.
// From the last step on (step >= steps) it is the state in which the run ends.
func (p *Plan) At(step int) []State {
	i := p.index(step)
	s := p.spans[i]
	states := slices.Clone(s.states)
	lambda := s.lambda.At(float64(step-s.start) / float64(s.end-s.start))
	for j := range states {
		if s.set[j] {
			states[j].Lambda = lambda
		}
	}
	return states
}

// Lambda returns the mean lambda of all layers at a step.
func (p *Plan) Lambda(step int) float64 {
	sum := 0.0
	for _, s := range p.At(step) {
		sum += s.Lambda
	}
	return sum / float64(len(p.layers))
}

// Complete reports whether every layer is quantized at a step as it will be at
// the end of the run.
func (p *Plan) Complete(step int) bool {
	for i, s := range p.At(step) {
		if s.short(p.finals[i]) != "" {
			return false
		}
	}
	return true
}

// Phase returns the index and the name of the phase of a step. A run without
// phases has one without a name.
func (p *Plan) Phase(step int) (index int, name string) {
	index = p.index(step)
	return index, p.spans[index].name
}

// Boundaries returns the first step of each phase.
func (p *Plan) Boundaries() []int {
	starts := make([]int, len(p.spans))
	for i, s := range p.spans {
		starts[i] = s.start
	}
	return starts
}

// index finds the span of a step; steps past the end belong to the last one.
func (p *Plan) index(step int) int {
	i := sort.Search(len(p.spans), func(i int) bool { return step < p.spans[i].end })
	return min(i, len(p.spans)-1)
}
