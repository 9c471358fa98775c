package export

import (
	"context"
	"errors"
	"fmt"

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
func (r *Run) Freeze(o Options) *packed.Model {
	m := r.emptyModel()
	for _, p := range r.Model.Parameters() {
		m.Tensors = append(m.Tensors, r.freeze(p, r.Weights[p.Name], o))
	}
	return m
}

// freezeFromDisk is Freeze without the weights in memory: of ternary layers
// there are only the codes.
func (r *Run) freezeFromDisk(ctx context.Context, o Options) (*packed.Model, error) {
	m := r.emptyModel()
	for _, p := range r.Model.Parameters() {
		t, err := r.frozen(ctx, p, o)
		if err != nil {
			return nil, err
		}
		m.Tensors = append(m.Tensors, t)
	}
	return m, nil
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
func (r *Run) freeze(p arch.Parameter, w []float32, o Options) packed.Tensor {
	q := r.Config.Quantization
	t := packed.Tensor{Name: p.Name, Type: o.Float, Shape: p.Shape, Values: w}
	if p.Kind != arch.Linear {
		return t
	}
	t.Activation = &packed.Activation{Bits: q.Activations.Bits}
	if r.ternary() {
		t.Type, t.Codes = packed.Ternary, make([]int8, p.Size())
		t.Scale, t.Values = quant.Ternarize(t.Codes, w, q.Weights.Scale), nil
	}
	return t
}

// frozen reads and quantizes one parameter.
func (r *Run) frozen(ctx context.Context, p arch.Parameter, o Options) (packed.Tensor, error) {
	w, err := r.weight(ctx, p)
	if err != nil {
		return packed.Tensor{}, err
	}
	return r.freeze(p, w, o), nil
}

// calibrate runs m over the calibration windows and sets the static
// activation scales of its linear layers.
func (r *Run) calibrate(m *packed.Model, percentile float64) error {
	model, err := infer.New(m)
	if err != nil {
		return err
	}
	sources := inputs(r.Model)
	sites := calib.Sites{}
	model = model.WithTap(func(name string, x, _ []float32, _ int) {
		if sources[name] == name {
			sites.Observe(name, x)
		}
	})
	if _, err := model.Loss(r.Calibration.Tokens, r.Calibration.N); err != nil {
		return fmt.Errorf("calibration: %w", err)
	}
	for i := range m.Tensors {
		t := &m.Tensors[i]
		if t.Activation == nil {
			continue
		}
		site := sites[sources[t.Name]]
		if err := site.Err(); err != nil {
			return fmt.Errorf("calibration: input of %s: %w", t.Name, err)
		}
		t.Activation.AbsMax, t.Activation.Percentile = site.AbsMax(), site.Percentile(percentile)
	}
	m.Config.Quantization.Percentile = percentile
	m.Config.Quantization.CalibrationTokens = len(r.Calibration.Tokens) - r.Calibration.N
	return nil
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
