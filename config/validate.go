package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"

	"trefoil/arch"
	"trefoil/internal/command"
	"trefoil/schedule"
)

// Validate checks every part, and whether the parts fit together. Each of the
// joined errors starts with the path of its field.
func (c Config) Validate() error {
	model := c.Model.Arch(1)
	errs := append([]error{validateName(c.Name)},
		under("data", c.Data.Validate()),
		under("model", errors.Join(model.Validate(), c.Model.validateRows())),
		under("train", c.Train.Validate()),
		under("quantization", c.Quantization.Validate()),
	)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := c.fits(); err != nil {
		return err
	}
	_, err := c.Quantization.Plan(linearLayers(model), c.Train.Steps)
	return under("quantization", errors.Join(err, c.mixedFits(model)))
}

// mixedFits reports the first layer whose shape its own quantizer does not suit.
func (c Config) mixedFits(model arch.Config) error {
	rules, err := c.Quantization.Mixed.Build(linearLayers(model))
	if err != nil {
		return nil // reported with the plan
	}
	for _, p := range model.Parameters() {
		if rule := rules[p.Name]; rule != nil {
			if _, err := rule.Config().Layout(p.Shape...); err != nil {
				return problem{"mixed", fmt.Sprintf("layer %s: %v", p.Name, err)}
			}
		}
	}
	return nil
}

func (m Model) validateRows() error {
	if m.Rows < 0 {
		return problem{"embedding_rows", fmt.Sprintf("%d is not a number of rows: use 0 for as many as the tokenizer has ids", m.Rows)}
	}
	return nil
}

// Bounds beyond which no computer has the memory, so that a slip of the finger
// is an error and not the end of the process.
const (
	maxParameters = 1 << 34 // of the blocks
	maxTokens     = 1 << 24 // of one pass
	maxHeldout    = 1 << 30 // of one evaluation
)

// fits checks that valid sizes make a run that fits into some memory.
func (c Config) fits() error {
	var errs []error
	if n := c.Model.Arch(1).ParameterCount(); n > maxParameters {
		errs = append(errs, problem{"model", fmt.Sprintf("%s parameters are more than %s: use a smaller dim, ff or layers", command.Group(n), command.Group(maxParameters))})
	}
	tokens := c.Train.Batch * c.Model.Context
	if tokens > maxTokens {
		errs = append(errs, problem{"train.batch", fmt.Sprintf("%s sequences of %s tokens are more than %s in one pass: use a smaller batch and train.accumulate", command.Group(c.Train.Batch), command.Group(c.Model.Context), command.Group(maxTokens))})
	} else if tokens*c.Train.EvalBatches > maxHeldout {
		errs = append(errs, problem{"train.eval_batches", fmt.Sprintf("%s batches of %s tokens are more than %s: use fewer", command.Group(c.Train.EvalBatches), command.Group(tokens), command.Group(maxHeldout))})
	}
	return errors.Join(errs...)
}

// linearLayers lists the names of the layers that can be quantized.
func linearLayers(model arch.Config) []string {
	var names []string
	for _, p := range model.Parameters() {
		if p.Kind == arch.Linear {
			names = append(names, p.Name)
		}
	}
	return names
}

// Plan resolves the quantization for the layers of the model and the steps of
// the run.
func (c Config) Plan() (*schedule.Plan, error) {
	return c.Quantization.Plan(linearLayers(c.Model.Arch(1)), c.Train.Steps)
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

func validateName(name string) error {
	if namePattern.MatchString(name) {
		return nil
	}
	return problem{"name", fmt.Sprintf("%q does not make a folder: use up to 100 letters, digits, dots, dashes and underscores, with a letter or digit first", name)}
}

// Validate checks every field; each of its joined errors starts with the name
// of the field.
func (t Train) Validate() error {
	var errs []error
	check := func(ok bool, field string, value any, want string) {
		if !ok {
			errs = append(errs, problem{field, fmt.Sprintf("%v is not supported: use %s", value, want)})
		}
	}
	count := func(field string, n, most int) {
		check(n >= 1, field, n, "at least 1")
		if n > most {
			errs = append(errs, problem{field, fmt.Sprintf("%d is too large: use at most %d", n, most)})
		}
	}
	const most = 1 << 24
	if t.Steps >= 1 { // what is less, the learning rate reports
		count("steps", t.Steps, 1<<40)
	}
	count("batch", t.Batch, most)
	count("accumulate", t.Accumulate, most)
	check(t.Optimizer == AdamW || t.Optimizer == Muon, "optimizer", fmt.Sprintf("%q", t.Optimizer), "muon or adamw")
	check(t.LR > 0 && t.LR <= 1, "lr", t.LR, "a rate above 0 and up to 1: 2e-3 is usual")
	check(t.MuonLR > 0 && t.MuonLR <= 1, "muon_lr", t.MuonLR, "a rate above 0 and up to 1: 0.01 is usual")
	check(t.MuonBlock >= 0, "muon_block", t.MuonBlock, "0 (whole matrices) or more: 128 is usual")
	check(t.WeightDecay >= 0 && t.WeightDecay <= 1, "weight_decay", t.WeightDecay, "0 (none) to 1: 0.1 is usual")
	check(t.Beta1 >= 0 && t.Beta1 < 1, "beta1", t.Beta1, "0 or more and less than 1: 0.9 is usual")
	check(t.Beta2 >= 0 && t.Beta2 < 1, "beta2", t.Beta2, "0 or more and less than 1: 0.99 is usual")
	check(t.Clip >= 0 && !math.IsInf(t.Clip, 0), "clip", t.Clip, "0 (never) or more: 1 is usual")
	check(t.EvalEvery >= 1, "eval_every", t.EvalEvery, "at least 1")
	count("eval_batches", t.EvalBatches, most)
	return errors.Join(t.LearningRate().Validate(), errors.Join(errs...))
}

// A problem is one thing that is wrong with a field.
type problem struct {
	path   string // as train.steps or quantization.phases[1].lambda
	reason string // what is wrong and what would be right
}

func (p problem) Error() string { return p.path + ": " + p.reason }

// leadingPath matches the field that an error message starts with.
var leadingPath = regexp.MustCompile(`^([a-z][a-z0-9_]*(?:\.[a-z0-9_]+|\[\d+\])*)(:?) `)

// under puts the errors of a part, joined or one, beneath its section. An
// error starts with its field ("tokenizer.kind: ..."), or with the whole path
// of its field ("data.path is empty"), or else concerns the section itself.
func under(section string, err error) error {
	var errs []error
	for _, leaf := range leaves(err) {
		p := problem{section, leaf.Error()}
		if m := leadingPath.FindStringSubmatch(p.reason); m != nil {
			switch {
			case strings.HasPrefix(m[1], section+"."):
				p = problem{m[1], p.reason[len(m[0]):]}
			case m[2] == ":":
				p = problem{section + "." + m[1], p.reason[len(m[0]):]}
			}
		}
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

// leaves takes joined errors apart.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, leaves(e)...)
	}
	return all
}
