package export

import (
	"context"
	"fmt"

	"trefoil/arch"
	"trefoil/infer"
	"trefoil/quant/packed"
	"trefoil/schedule"
)

// A Report tells what an export wrote and how well it predicts.
type Report struct {
	Path       string
	Checkpoint string
	Step       int
	Layers     []Layer
	FileBytes  int64 // with tokenizer, index and padding
	Float      packed.Type

	// Held-out loss, nats a token: of the training graph (0 if it was not
	// evaluated) and of the file, read back from disk. There is none without
	// held-out text.
	HeldoutTokens int
	GraphLoss     float64
	DynamicLoss   float64 // a scale for each token, as in training
	// Losses with static scales; nil if inputs are not quantized.
	StaticAbsMaxLoss, StaticPercentileLoss *float64
	Percentile                             float64
}

// A Layer is a tensor of the file.
type Layer struct {
	Name       string
	Kind       arch.Kind
	Shape      []int
	Weights    int
	Type       packed.Type
	Zeros      float64 // share of codes that are 0, of a ternary tensor
	Scale      float32 // gamma, of a ternary tensor
	Activation *packed.Activation
	Bytes      int
}

// BitsPerWeight is the size of the layer in the file.
func (l Layer) BitsPerWeight() float64 { return 8 * float64(l.Bytes) / float64(l.Weights) }

// Float32Bytes is the size of the layer's weights in float32.
func (l Layer) Float32Bytes() int { return packed.Float32.Bytes(l.Weights) }

// Export freezes and calibrates the run, writes the file at path, opens it and
// measures it on the held-out windows. The codes of all ternary layers are in
// memory, a byte each, and beside them the floats of what is not ternary.
func (r *Run) Export(ctx context.Context, path string, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m, err := r.freezeFromDisk(ctx, o)
	if err != nil {
		return nil, err
	}
	integers := r.Config.Quantization.Activations.Bits != schedule.Float && r.Calibration.N > 0
	if integers {
		if err := r.calibrate(m, o.Percentile); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	size, err := packed.Write(path, m)
	if err != nil {
		return nil, err
	}
	report := &Report{
		Path: path, Checkpoint: r.Checkpoint, Step: r.State.Step, FileBytes: size, Float: o.Float, Percentile: o.Percentile,
		HeldoutTokens: len(r.Heldout.Tokens) - r.Heldout.N, GraphLoss: r.State.ValLoss,
	}
	for i, p := range r.Model.Parameters() {
		report.Layers = append(report.Layers, describe(p, &m.Tensors[i]))
	}
	if r.Heldout.N == 0 {
		return report, nil
	}
	if err := r.measure(ctx, report, integers); err != nil {
		return nil, fmt.Errorf("%s was written, but cannot be measured: %w", path, err)
	}
	return report, nil
}

func describe(p arch.Parameter, t *packed.Tensor) Layer {
	l := Layer{
		Name: p.Name, Kind: p.Kind, Shape: p.Shape, Weights: p.Size(), Type: t.Type,
		Scale: t.Scale, Activation: t.Activation, Bytes: t.Type.Bytes(p.Size()),
	}
	zeros := 0
	for _, c := range t.Codes {
		if c == 0 {
			zeros++
		}
	}
	l.Zeros = float64(zeros) / float64(l.Weights)
	return l
}

// measure reads the file back and evaluates it on the held-out windows.
func (r *Run) measure(ctx context.Context, report *Report, integers bool) error {
	model, err := infer.Open(report.Path)
	if err != nil {
		return err
	}
	loss := func(a infer.Activations) (float64, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		view, err := model.WithActivations(a)
		if err != nil {
			return 0, err
		}
		return view.Loss(r.Heldout.Tokens, r.Heldout.N)
	}
	if report.DynamicLoss, err = loss(infer.Dynamic); err != nil || !integers {
		return err
	}
	absMax, err := loss(infer.StaticAbsMax)
	if err != nil {
		return err
	}
	percentile, err := loss(infer.StaticPercentile)
	report.StaticAbsMaxLoss, report.StaticPercentileLoss = &absMax, &percentile
	return err
}
