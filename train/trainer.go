package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"trefoil/config"
	"trefoil/data"
	"trefoil/export"
	"trefoil/schedule"
)

// Options are what a caller of [Run] may follow and decide.
type Options struct {
	Dir    string // the run folder
	Resume bool   // continue the run that the folder holds
	Cache  string // folder of the token cache; "" for the user's own

	// Prepare is told how far reading and encoding the corpus is, Ready what
	// will be trained, Step each update, and Evaluated each evaluation, with
	// training loss and speed since the one before. All may be nil.
	Prepare   func(stage string, done, total int64)
	Ready     func(Plan)
	Step      func(step, steps int)
	Evaluated func(Record)
}

// Plan is what a run is going to do.
type Plan struct {
	Config     config.Config
	Data       *data.Dataset
	Parameters int // learned numbers
	Ternary    int // how many of them become ternary
	Mixed      int // how many get a quantizer of quantization.mixed
	Step       int // updates already made, of a resumed run
}

// ErrExists is the error of a run folder that holds a run already.
var ErrExists = errors.New("the folder holds a run already")

// trainer is a run in progress.
type trainer struct {
	Options
	Recipe
	task Task

	graph     *Graph
	optimizer *Optimizer
	gradients *gradients
	rate      schedule.LearningRate

	state   State
	records []Record
	metrics *MetricsWriter
	unlock  func() error  // gives the run folder back
	spent   time.Duration // learning, since the last record
	learned int64         // tokens, since the last record
	total   struct {
		spent   time.Duration // learning, since this process began
		learned int64
	}
}

// Result is how a run ended.
type Result struct {
	State
	// TokensPerSecond is the speed of learning in this process, evaluations
	// and checkpoints left out.
	TokensPerSecond float64
}

// Run trains a model and leaves the run folder behind. When ctx is cancelled
// it finishes the update at hand, saves a checkpoint and returns ctx's error.
func Run(ctx context.Context, c config.Config, o Options) (Result, error) {
	if err := checkFolder(o); err != nil {
		return Result{}, err
	}
	if o.Resume {
		if err := sameConfig(c, o.Dir); err != nil {
			return Result{}, err
		}
	}
	if most, ok := availableMemory(); ok {
		if err := fitsMemory(c, most); err != nil {
			return Result{}, err
		}
	}
	d, err := data.Open(ctx, c.Data, o.Cache, orNothing(o.Prepare))
	if err != nil {
		return Result{}, err
	}
	defer d.Close()
	task, err := newTextTask(c, d)
	if err != nil {
		return Result{}, err
	}
	defer task.network.Close()
	if !o.Resume {
		if err := task.startFrom(); err != nil {
			return Result{}, err
		}
	}
	r, err := recipeOf(c)
	if err != nil {
		return Result{}, err
	}
	r.TokenizerSum = export.TokenizerSum(d.Tokenizer.JSON())
	t, err := newTrainer(r, task, o)
	if err != nil {
		return Result{}, err
	}
	defer t.close()
	if t.Ready != nil {
		t.Ready(task.describe(t.state.Step))
	}
	err = t.run(ctx)
	if err == nil {
		err = writeSample(ctx, o.Dir, c.Seed)
	}
	return t.result(), err
}

// recipeOf returns the recipe of a run's configuration.
func recipeOf(c config.Config) (Recipe, error) {
	plan, err := c.Plan()
	return Recipe{Name: c.Name, Train: c.Train, Plan: plan, Config: c.Text()}, err
}

func (t *trainer) result() Result {
	return Result{t.state, float64(t.total.learned) / max(t.total.spent.Seconds(), 1e-9)}
}

func orNothing(f func(string, int64, int64)) func(string, int64, int64) {
	if f == nil {
		return func(string, int64, int64) {}
	}
	return f
}

// newTrainer takes the run folder, in which nothing that could fail is left to
// prepare.
func newTrainer(r Recipe, task Task, o Options) (*trainer, error) {
	t := &trainer{Options: o, Recipe: r, task: task, graph: task.Graph(), rate: r.Train.LearningRate()}
	t.state.BestLoss = math.Inf(1)
	t.state.Config, t.state.TokenizerSum = r.Config, r.TokenizerSum
	t.optimizer = NewOptimizer(r.Train, t.graph.Parameters())
	t.gradients = newGradients(t.graph.Parameters(), r.Train.Accumulate)
	err := t.claim()
	switch {
	case err != nil:
	case o.Resume:
		err = t.restore()
	default:
		err = t.begin()
	}
	if err == nil {
		t.metrics, err = OpenMetrics(metricsPath(o.Dir))
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *trainer) close() {
	if t.metrics != nil {
		t.metrics.Close()
	}
	if t.unlock != nil {
		t.unlock()
	}
}

// run makes the updates that are left, with an evaluation and a checkpoint
// before the first, at every eval_every-th and after the last.
func (t *trainer) run(ctx context.Context) error {
	steps := t.Train.Steps
	if len(t.records) == 0 {
		if err := t.evaluate(); err != nil {
			return err
		}
	}
	for t.state.Step < steps {
		if ctx.Err() != nil {
			if err := t.save(); err != nil {
				return fmt.Errorf("stopping after step %d: %w", t.state.Step, err)
			}
			return ctx.Err()
		}
		if err := t.update(); err != nil {
			return err
		}
		if t.Step != nil {
			t.Step(t.state.Step, steps)
		}
		switch {
		case t.evaluatesAt(t.state.Step):
			if err := t.evaluate(); err != nil {
				return err
			}
		case t.state.Step%t.recordEvery() == 0:
			if err := t.record(t.newRecord()); err != nil {
				return err
			}
		}
	}
	return nil
}

// evaluatesAt tells whether the network is evaluated after so many updates.
func (t *trainer) evaluatesAt(step int) bool {
	return step%t.Train.EvalEvery == 0 || step == t.Train.Steps
}

// recordEvery is the number of updates behind one line of metrics.
func (t *trainer) recordEvery() int { return max(1, t.Train.Steps/1000) }

// update makes one step of the optimizer.
func (t *trainer) update() error {
	began := time.Now()
	step, g := t.state.Step, t.graph
	t.task.Quantize(t.Plan.At(step), step)
	loss := 0.0
	for i := range t.Train.Accumulate {
		t.task.Next()
		if err := g.Learn(); err != nil {
			return fmt.Errorf("step %d: %w", step+1, err)
		}
		mean := g.Report.Sum / float64(g.Report.Tokens)
		if !isFinite(mean) {
			return t.diverged(fmt.Sprintf("the loss is %v", mean), g.firstNonFinite())
		}
		loss += mean / float64(t.Train.Accumulate)
		if err := t.gradients.add(i); err != nil {
			return err
		}
	}
	rate, decay := t.rate.At(step)
	t.optimizer.LR, t.optimizer.MuonLR = t.Train.LR*rate, t.Train.MuonLR*rate
	t.optimizer.WeightDecay = t.Train.WeightDecay * decay
	if err := t.optimizer.Step(t.gradients.model); err != nil {
		var bad *NonFinite
		if errors.As(err, &bad) {
			return t.diverged("the gradient is not finite", bad.Parameter)
		}
		return err
	}
	t.state.Step++
	tokens := int64(t.task.Examples() * t.Train.Accumulate)
	t.state.Tokens += tokens
	t.state.PendingLoss += loss
	t.state.PendingSteps++
	t.learned += tokens
	spent := time.Since(began)
	t.spent += spent
	t.total.learned += tokens
	t.total.spent += spent
	return nil
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// diverged says where a run broke and what is left of it.
func (t *trainer) diverged(what, where string) error {
	if where != "" {
		what += "; first in " + where
	}
	kept := "There is no checkpoint yet"
	if isFinite(t.state.BestLoss) {
		kept = fmt.Sprintf("The best checkpoint, of step %d with a held-out loss of %.4g, is %s",
			t.state.BestStep, t.state.BestLoss, export.Folder(t.Dir).Best())
	}
	rates, clip := "train.lr", "a lower train.clip"
	if t.Train.Optimizer == config.Muon {
		rates += " and train.muon_lr"
	}
	if t.Train.Clip == 0 {
		clip = "train.clip=1"
	}
	return fmt.Errorf("step %d: %s. %s. Begin anew with a lower %s, a longer train.warmup or %s", t.state.Step+1, what, kept, rates, clip)
}

// frozenStep is the step at which stochastic rounding draws what exporting does.
const frozenStep = 0

// evaluate measures the network on the held-out windows, records it, and
// saves checkpoints and curves.
func (t *trainer) evaluate() error {
	step := t.state.Step
	states := withoutNoise(t.Plan.At(step))
	t.task.Quantize(states, frozenStep)
	now, err := t.task.Evaluate()
	if err != nil {
		return fmt.Errorf("evaluation at step %d: %w", step, err)
	}
	r := t.newRecord()
	r.ValLoss, r.ValAccuracy = &now.Loss, &now.Accuracy
	if now.BitsPerByte > 0 {
		r.BitsPerByte = &now.BitsPerByte
	}
	final := now
	if !t.Plan.Complete(step) {
		t.task.Quantize(withoutNoise(t.Plan.At(t.Train.Steps)), frozenStep)
		if final, err = t.task.Evaluate(); err != nil {
			return fmt.Errorf("evaluation at step %d: %w", step, err)
		}
		r.ValLossQuantized = &final.Loss
	}
	if !isFinite(now.Loss) || !isFinite(final.Loss) {
		return t.diverged("the held-out loss is not finite", t.graph.firstNonFinite())
	}
	t.state.ValLoss, t.state.ValAccuracy, t.state.BitsPerByte = final.Loss, final.Accuracy, final.BitsPerByte
	if err := t.record(r); err != nil {
		return err
	}
	if final.Loss < t.state.BestLoss {
		t.state.BestStep, t.state.BestLoss = step, final.Loss
		if err := saveCheckpoint(export.Folder(t.Dir).Best(), t.state, t.graph.Parameters(), nil); err != nil {
			return err
		}
	}
	if err := t.save(); err != nil {
		return err
	}
	if err := DrawCurves(t.Dir, t.Name, t.Train, t.records); err != nil {
		return err
	}
	if t.Evaluated != nil {
		t.Evaluated(sinceEvaluation(t.records))
	}
	return nil
}

// newRecord returns the line of metrics for the present step, with what has
// been learned since the one before.
func (t *trainer) newRecord() Record {
	step := t.state.Step
	rate, _ := t.rate.At(min(step, t.Train.Steps-1))
	lambda := t.Plan.Lambda(step)
	_, phase := t.Plan.Phase(step)
	r := Record{Step: step, Tokens: t.state.Tokens, LR: t.Train.LR * rate, Lambda: lambda, Phase: phase, PeakRSS: PeakRSS()}
	if t.state.PendingSteps > 0 {
		loss := t.state.PendingLoss / float64(t.state.PendingSteps)
		r.TrainLoss = &loss
		t.state.PendingLoss, t.state.PendingSteps = 0, 0
	}
	if t.spent > 0 {
		speed := float64(t.learned) / t.spent.Seconds()
		r.TokensPerSecond = &speed
		t.spent, t.learned = 0, 0
	}
	return r
}

func (t *trainer) record(r Record) error {
	t.records = append(t.records, r)
	return t.metrics.Append(r)
}

// save writes the checkpoint from which the run can continue, after the records
// up to it.
func (t *trainer) save() error {
	if err := t.metrics.Sync(); err != nil {
		return err
	}
	t.state.Sampler, t.state.OptimizerSteps = t.task.Position(), t.optimizer.steps
	return saveCheckpoint(export.Folder(t.Dir).Last(), t.state, t.graph.Parameters(), t.optimizer)
}
