package train

import (
	"context"

	"trefoil/config"
	"trefoil/schedule"
)

// Task is what [Fit] trains: a network with its examples, tokens of text or
// images.
type Task interface {
	// Graph is the loss of a batch.
	Graph() *Graph
	// Examples is the number of examples of a batch.
	Examples() int
	// Next puts the next batch to learn from into the graph.
	Next()
	// Quantize makes the next runs of the graph compute as the states say,
	// one for each layer that the recipe's plan names; step draws the noise
	// and stochastic rounding.
	Quantize(states []schedule.State, step int)
	// Evaluate measures the network on the held-out examples.
	Evaluate() (Evaluation, error)

	// Position is where Next stands; Seek goes there.
	Position() []byte
	Seek(position []byte) error
	// Begin writes to a new run folder what does not change any more, and
	// Check reports what keeps the run in a folder from going on with this
	// task.
	Begin(dir string) error
	Check(dir string) error
}

// Recipe is how a task is trained.
type Recipe struct {
	Name  string // the title of the curves
	Train config.Train
	Plan  *schedule.Plan
	// Config describes all that the run depends on, in lines of text.
	// Checkpoints keep it: a run that is resumed must have the same.
	Config string
	// TokenizerSum, of a language model, is the [export.TokenizerSum] that
	// checkpoints keep.
	TokenizerSum string
}

// Fit trains a task and leaves the run folder behind. When ctx is cancelled
// it finishes the update at hand, saves a checkpoint and returns ctx's error.
func Fit(ctx context.Context, r Recipe, task Task, o Options) (Result, error) {
	if err := checkFolder(o); err != nil {
		return Result{}, err
	}
	if o.Resume {
		if err := sameRecipe(r.Config, o.Dir); err != nil {
			return Result{}, err
		}
	}
	t, err := newTrainer(r, task, o)
	if err != nil {
		return Result{}, err
	}
	defer t.close()
	err = t.run(ctx)
	return t.result(), err
}
