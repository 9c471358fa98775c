package train

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"trefoil/data"
	"trefoil/internal/atomicfile"
	"trefoil/internal/safetensors"
)

// Names of the tensors in evaluation.safetensors, int32 [n, context+1]: the
// held-out windows of every evaluation, and windows of the training text for
// calibrating activations.
const (
	HeldoutName     = "heldout"
	CalibrationName = "calibration"
)

// calibrationWindows is the number of windows kept for calibration: some
// thousands of tokens, enough for a percentile of every layer's input.
const calibrationWindows = 64

// Seeds of the fixed windows, so that runs of one corpus, context and number
// of windows are measured on the same text whatever their own seed is.
const (
	heldoutSeed     = 99
	calibrationSeed = 98
)

func metricsPath(dir string) string    { return filepath.Join(dir, "metrics.jsonl") }
func evaluationPath(dir string) string { return filepath.Join(dir, "evaluation.safetensors") }

// begin fills a new run folder with what does not change any more.
func (t *trainer) begin() error {
	if err := os.MkdirAll(filepath.Join(t.Dir, "checkpoints"), 0o777); err != nil {
		return err
	}
	if err := t.config.Write(filepath.Join(t.Dir, "config.yaml")); err != nil {
		return err
	}
	err := atomicfile.Write(filepath.Join(t.Dir, "tokenizer.json"), func(w io.Writer) error {
		_, err := w.Write(t.data.Tokenizer.JSON())
		return err
	})
	if err != nil {
		return err
	}
	if err := WriteMetrics(metricsPath(t.Dir), nil); err != nil {
		return err
	}
	context, batches := t.config.Model.Context, t.config.Train.EvalBatches
	t.heldout, err = data.Windows(t.data.Heldout, context, batches*t.config.Train.Batch, heldoutSeed)
	if err != nil {
		return fmt.Errorf("held-out text: %w", err)
	}
	calibration, err := data.Windows(t.data.Train, context, calibrationWindows, calibrationSeed)
	if err != nil {
		return fmt.Errorf("training text: %w", err)
	}
	return atomicfile.Write(evaluationPath(t.Dir), func(w io.Writer) error {
		return safetensors.Write(w, nil, []safetensors.Tensor{
			{Name: HeldoutName, Shape: []int{len(t.heldout) / (context + 1), context + 1}, Data: t.heldout},
			{Name: CalibrationName, Shape: []int{calibrationWindows, context + 1}, Data: calibration},
		})
	})
}

// restore takes up a run where its last checkpoint left it.
func (t *trainer) restore() error {
	var err error
	t.state, err = loadCheckpoint(lastPath(t.Dir), t.network.Model.Parameters(), t.optimizer)
	if err != nil {
		return err
	}
	if err := t.sampler.Restore(t.state.Sampler); err != nil {
		return fmt.Errorf("%s: %w", lastPath(t.Dir), err)
	}
	f, err := safetensors.Open(evaluationPath(t.Dir))
	if err != nil {
		return err
	}
	defer f.Close()
	if t.heldout, err = f.Int32(HeldoutName); err != nil {
		return fmt.Errorf("%s: %w", evaluationPath(t.Dir), err)
	}
	if t.records, err = ReadMetrics(metricsPath(t.Dir)); err != nil {
		return err
	}
	// What was recorded after the checkpoint will happen again.
	t.records = slices.DeleteFunc(t.records, func(r Record) bool { return r.Step > t.state.Step })
	return WriteMetrics(metricsPath(t.Dir), t.records)
}
