package export

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"trefoil/arch"
	"trefoil/infer"
	"trefoil/internal/gguf"
	"trefoil/quant"
	"trefoil/quant/calib"
	"trefoil/quant/packed"
	"trefoil/schedule"
)

// Options are the choices of an export.
type Options struct {
	// Float is the type of what is not ternary, Float32 or Float16. Float32
	// keeps every bit of what was trained.
	Float packed.Type
	// Percentile, from 50 to 100, is the quantile of |x| in per cent that
	// static activation scales clip at: 99.9 is usual.
	Percentile float64
	// GGUF is the type of the linear layers in a GGUF file: one of
	// [GGUFTypes], or nil for one that fits.
	GGUF *gguf.Type
}

// Validate reports choices outside their range.
func (o Options) Validate() error {
	var errs []error
	if o.Float != packed.Float32 && o.Float != packed.Float16 {
		errs = append(errs, fmt.Errorf("float type %q is not supported: use float32 or float16", o.Float))
	}
	if !(o.Percentile >= 50 && o.Percentile <= 100) {
		errs = append(errs, fmt.Errorf("percentile %v is not between 50 and 100: 99.9 is usual", o.Percentile))
	}
	return errors.Join(errs...)
}

// Freeze returns the model of a run that was loaded with its weights, the
// linear layers quantized as the run was to end, without static activation
// scales yet.
func (r *Run) Freeze(o Options) (*packed.Model, error) {
	m := r.emptyModel()
	for _, p := range r.Model.Parameters() {
		t, err := r.freeze(p, r.Weights[p.Name], o)
		if err != nil {
			return nil, err
		}
		m.Tensors = append(m.Tensors, t)
	}
	return m, nil
}

// Inference returns the model of [Run.Freeze], ready to run.
func (r *Run) Inference(o Options) (*infer.Model, error) {
	m, err := r.Freeze(o)
	if err != nil {
		return nil, err
	}
	return infer.New(m)
}

// tensors freezes one parameter after the other, so that no more than one is
// in memory, and gives linear layers their static bounds. It describes each to
// report.
func (r *Run) tensors(ctx context.Context, o Options, bounds map[string]packed.Activation, report *Report) iter.Seq2[*packed.Tensor, error] {
	return func(yield func(*packed.Tensor, error) bool) {
		report.Layers = nil
		for _, p := range r.Model.Parameters() {
			t, err := r.frozen(ctx, p, o)
			if err != nil {
				yield(nil, err)
				return
			}
			if b, ok := bounds[p.Name]; ok {
				t.Activation = &b
			}
			report.Layers = append(report.Layers, describe(p, &t))
			if !yield(&t, nil) {
				return
			}
		}
	}
}

// emptyModel is the run's model without tensors.
func (r *Run) emptyModel() *packed.Model {
	m := &packed.Model{
		Config: packed.Config{
			Model:      r.Model,
			Provenance: packed.Provenance{Run: r.Config.Name, Step: r.State.Step, Loss: r.State.ValLoss},
		},
		Tokenizer: r.Tokenizer,
	}
	if r.ternary() {
		m.Config.Quantization.WeightScale = string(r.Config.Quantization.Weights.Scale)
	}
	return m
}

// ternary reports whether the linear layers are.
func (r *Run) ternary() bool { return r.Config.Quantization.Weights.Bits != schedule.Float }

// freeze quantizes the values w of one parameter.
func (r *Run) freeze(p arch.Parameter, w []float32, o Options) (packed.Tensor, error) {
	q := r.Config.Quantization
	t := packed.Tensor{Name: p.Name, Type: o.Float, Shape: p.Shape, Values: w}
	if p.Kind != arch.Linear {
		return t, nil
	}
	t.Activation = &packed.Activation{Bits: q.Activations.Bits}
	own, ok := q.Mixed.Find(p.Name)
	switch {
	case ok:
		var err error
		if t.Matrix, err = matrix(own, w, p.Shape); err != nil {
			return t, fmt.Errorf("tensor %s: %w", p.Name, err)
		}
		t.Type, t.Values = packed.Codes(t.Matrix.Format()), nil
	case r.ternary():
		t.Type, t.Codes = packed.Ternary, make([]int8, p.Size())
		t.Scale, t.Values = quant.Ternarize(t.Codes, w, q.Weights.Scale), nil
	}
	return t, nil
}

// matrix quantizes weights by a rule of quantization.mixed.
func matrix(c quant.Config, w []float32, shape []int) (*packed.Matrix, error) {
	rule, err := quant.New(c)
	if err != nil {
		return nil, err
	}
	format, err := packed.Fitting(rule.Grid())
	if err != nil {
		return nil, err
	}
	return packed.Quantize(format, rule, w, shape[0], shape[1])
}

// frozen reads and quantizes one parameter.
func (r *Run) frozen(ctx context.Context, p arch.Parameter, o Options) (packed.Tensor, error) {
	w, err := r.weight(ctx, p)
	if err != nil {
		return packed.Tensor{}, err
	}
	return r.freeze(p, w, o)
}

// calibrate runs the model over the calibration windows, notes that in c, and
// returns how each linear layer reads its input, with static bounds.
func (r *Run) calibrate(ctx context.Context, c *packed.Config, o Options) (map[string]packed.Activation, error) {
	model, err := r.load(ctx, *c, o)
	if err != nil {
		return nil, err
	}
	sources := inputs(r.Model)
	sites := calib.Sites{}
	model = model.WithTap(func(name string, x, _ []float32, _ int) {
		if sources[name] == name {
			sites.Observe(name, x)
		}
	})
	total := r.Calibration.predicted()
	model = model.WithWatch(func(tokens int) error {
		r.evaluated("calibrating", tokens, total)
		return ctx.Err()
	})
	if _, err := model.Loss(r.Calibration.Tokens, r.Calibration.N); err != nil {
		return nil, fmt.Errorf("calibration: %w", err)
	}
	bounds := map[string]packed.Activation{}
	for name, source := range sources {
		site := sites[source]
		if err := site.Err(); err != nil {
			return nil, fmt.Errorf("calibration: input of %s: %w", name, err)
		}
		percentile, err := site.Percentile(o.Percentile)
		if err != nil {
			return nil, fmt.Errorf("calibration: %w", err)
		}
		bounds[name] = packed.Activation{Bits: r.Config.Quantization.Activations.Bits, AbsMax: site.AbsMax(), Percentile: percentile}
	}
	c.Quantization.Percentile, c.Quantization.CalibrationTokens = o.Percentile, total
	return bounds, nil
}

// load makes a model that runs of the weights on disk. It keeps them packed.
func (r *Run) load(ctx context.Context, c packed.Config, o Options) (*infer.Model, error) {
	parameters := map[string]arch.Parameter{}
	for _, p := range r.Model.Parameters() {
		parameters[p.Name] = p
	}
	r.begin(r.Model.ParameterCount(), "loading the model")
	return infer.Load(c, func(name string) (*packed.Tensor, error) {
		t, err := r.frozen(ctx, parameters[name], o)
		return &t, err
	})
}

// inputs maps each linear layer to the first layer that reads the same input.
func inputs(c arch.Config) map[string]string {
	sources := map[string]string{}
	for i := range c.Layers {
		b := arch.BlockNames(i)
		for _, names := range [][]string{{b.Q, b.K, b.V}, {b.O}, {b.Gate, b.Up}, {b.Down}} {
			for _, name := range names {
				sources[name] = names[0]
			}
		}
	}
	return sources
}
