package export

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"trefoil/arch"
	"trefoil/infer"
	"trefoil/internal/atomicfile"
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
	Zeros      float64 // share of codes that are 0
	Scale      float32 // of the codes, if there is one for all
	Scales     int     // number of scales, 0 for floats
	Activation *packed.Activation
	Bytes      int
}

// BitsPerWeight is the size of the layer in the file.
func (l Layer) BitsPerWeight() float64 { return 8 * float64(l.Bytes) / float64(l.Weights) }

// Float32Bytes is the size of the layer's weights in float32.
func (l Layer) Float32Bytes() int { return packed.Float32.Bytes(l.Weights) }

// Export freezes and calibrates the run, writes the file at path, opens it and
// measures it on the held-out windows. It fails if a file in float32 then
// predicts otherwise than the training graph did. Writing has one tensor in memory at a
// time. Calibrating and measuring run the model: there its ternary layers are
// in memory packed, and beside them the floats of what is not ternary.
func (r *Run) Export(ctx context.Context, path string, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := r.checkPlace(path, Trefoil); err != nil {
		return nil, err
	}
	m := r.emptyModel()
	integers := r.Config.Quantization.Activations.Bits != schedule.Float && r.Calibration.N > 0
	var bounds map[string]packed.Activation
	if integers {
		var err error
		if bounds, err = r.calibrate(ctx, &m.Config, o); err != nil {
			return nil, err
		}
	}
	report := &Report{
		Path: path, Checkpoint: r.Checkpoint, Step: r.State.Step, Float: o.Float, Percentile: o.Percentile,
		HeldoutTokens: r.Heldout.predicted(), GraphLoss: r.State.ValLoss,
	}
	r.begin(2*r.Model.ParameterCount(), "writing %s", filepath.Base(path))
	err := atomicfile.Write(path, func(w io.Writer) (err error) {
		report.FileBytes, err = packed.EncodeFrom(w, m, r.tensors(ctx, o, bounds, report))
		return err
	})
	if err != nil || r.Heldout.N == 0 {
		return report, err
	}
	if err := r.measure(ctx, report, integers); err != nil {
		return nil, fmt.Errorf("%s was written, but cannot be measured: %w", path, err)
	}
	if off := report.DynamicLoss - report.GraphLoss; r.measured(report) && !(math.Abs(off) <= maxLossDifference) {
		return nil, fmt.Errorf("%s was written, but is not the model that was trained: its held-out loss is %.5f, that of the graph was %.5f: files of the run have changed since, so bring them back, or train anew",
			path, report.DynamicLoss, report.GraphLoss)
	}
	return report, nil
}

func describe(p arch.Parameter, t *packed.Tensor) Layer {
	l := Layer{
		Name: p.Name, Kind: p.Kind, Shape: p.Shape, Weights: p.Size(), Type: t.Type,
		Scale: t.Scale, Activation: t.Activation, Bytes: t.Type.Bytes(p.Size()),
	}
	codes := t.Codes
	switch m := t.Matrix; {
	case m != nil:
		scales, _ := m.Scales()
		l.Scales, l.Bytes, codes = len(scales), m.Size(), make([]int8, l.Weights)
		if m.Codes(codes, 0); l.Scales == 1 {
			l.Scale = scales[0]
		}
	case t.Type == packed.Ternary:
		l.Scales = 1
	}
	zeros := 0
	for _, c := range codes {
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
	modes := []infer.Activations{infer.Dynamic}
	if integers {
		modes = append(modes, infer.StaticAbsMax, infer.StaticPercentile)
	}
	var losses []float64
	for i, mode := range modes {
		view, err := model.WithActivations(mode)
		if err != nil {
			return err
		}
		before, all := i*report.HeldoutTokens, len(modes)*report.HeldoutTokens
		view = view.WithWatch(func(tokens int) error {
			r.evaluated("measuring on held-out text", before+tokens, all)
			return ctx.Err()
		})
		loss, err := view.Loss(r.Heldout.Tokens, r.Heldout.N)
		if err != nil {
			return err
		}
		losses = append(losses, loss)
	}
	report.DynamicLoss = losses[0]
	if integers {
		report.StaticAbsMaxLoss, report.StaticPercentileLoss = &losses[1], &losses[2]
	}
	return nil
}
