package train

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"trefoil/data"
	"trefoil/export"
	"trefoil/internal/atomicfile"
	"trefoil/internal/safetensors"
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

func metricsPath(dir string) string { return filepath.Join(dir, "metrics.jsonl") }

// claim takes the run folder for this process: a second one in the same
// folder would mix its metrics and checkpoints with those of the first.
func (t *trainer) claim() error {
	if err := os.MkdirAll(export.Folder(t.Dir).Checkpoints(), 0o777); err != nil {
		return err
	}
	unlock, err := lockFolder(t.Dir)
	if err != nil {
		return err
	}
	t.unlock = unlock
	return checkFolder(t.Options) // another process may have begun a run in the meantime
}

// begin fills a new run folder with what does not change any more.
func (t *trainer) begin() error {
	folder := export.Folder(t.Dir)
	if err := t.config.Write(folder.Config()); err != nil {
		return err
	}
	err := atomicfile.Write(folder.Tokenizer(), func(w io.Writer) error {
		_, err := w.Write(t.data.Tokenizer.JSON())
		return err
	})
	if err != nil {
		return err
	}
	if err := WriteMetrics(metricsPath(t.Dir), nil); err != nil {
		return err
	}
	heldout, calibration, err := t.windows()
	if err != nil {
		return err
	}
	t.heldout = heldout
	width := t.config.Model.Context + 1
	return atomicfile.Write(folder.Evaluation(), func(w io.Writer) error {
		return safetensors.Write(w, nil, []safetensors.Tensor{
			{Name: export.HeldoutName, Shape: []int{len(heldout) / width, width}, Data: heldout},
			{Name: export.CalibrationName, Shape: []int{calibrationWindows, width}, Data: calibration},
		})
	})
}

// windows draws the fixed windows [n, context+1] of both sides of the corpus.
func (t *trainer) windows() (heldout, calibration []int32, err error) {
	context, n := t.config.Model.Context, t.config.Train.EvalBatches*t.config.Train.Batch
	if heldout, err = data.Windows(t.data.Heldout, context, n, heldoutSeed); err != nil {
		return nil, nil, fmt.Errorf("held-out text: %w", err)
	}
	if calibration, err = data.Windows(t.data.Train, context, calibrationWindows, calibrationSeed); err != nil {
		return nil, nil, fmt.Errorf("training text: %w", err)
	}
	return heldout, calibration, nil
}

// restore takes up a run where its last checkpoint left it.
func (t *trainer) restore() error {
	last := export.Folder(t.Dir).Last()
	var err error
	if t.heldout, err = t.sameText(); err != nil {
		return err
	}
	if t.state, err = loadCheckpoint(last, t.network.Model.Parameters(), t.optimizer); err != nil {
		return err
	}
	if err := t.sampler.Restore(t.state.Sampler); err != nil {
		return fmt.Errorf("%s: %w", last, err)
	}
	if t.records, err = ReadMetrics(metricsPath(t.Dir)); err != nil {
		return err
	}
	// What was recorded after the checkpoint will happen again.
	t.records = slices.DeleteFunc(t.records, func(r Record) bool { return r.Step > t.state.Step })
	return WriteMetrics(metricsPath(t.Dir), t.records)
}

// sameText checks that the corpus still is what the run began with, by its
// tokenizer and by the fixed windows, and returns the held-out ones. Another
// text would go on with ids that mean something else.
func (t *trainer) sameText() ([]int32, error) {
	folder := export.Folder(t.Dir)
	tokenizer, err := os.ReadFile(folder.Tokenizer())
	if err != nil {
		return nil, err
	}
	heldout, calibration, err := t.windows()
	if err != nil {
		return nil, err
	}
	f, err := safetensors.Open(folder.Evaluation())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	same := bytes.Equal(tokenizer, t.data.Tokenizer.JSON())
	for name, want := range map[string][]int32{export.HeldoutName: heldout, export.CalibrationName: calibration} {
		have, err := f.Int32(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", folder.Evaluation(), err)
		}
		same = same && slices.Equal(have, want)
	}
	if !same {
		return nil, fmt.Errorf("data.path: %s is not the text any more that the run in %s began with: bring that text back, or begin a new run", t.config.Data.Path, t.Dir)
	}
	return heldout, nil
}
