package train

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"

	"trefoil/config"
	"trefoil/data"
	"trefoil/export"
	"trefoil/internal/atomicfile"
	"trefoil/internal/safetensors"
	"trefoil/schedule"
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

// textTask is the task of a language model.
type textTask struct {
	config  config.Config
	data    *data.Dataset
	network *Network
	sampler *data.Sampler

	heldout, calibration []int32 // windows [n, context+1]
}

var _ Task = (*textTask)(nil)

func newTextTask(c config.Config, d *data.Dataset) (*textTask, error) {
	t := &textTask{config: c, data: d}
	if err := t.windows(); err != nil {
		return nil, err
	}
	var err error
	if t.sampler, err = data.NewSampler(d.Train, c.Model.Context, c.Seed); err != nil {
		return nil, fmt.Errorf("training text: %w", err)
	}
	t.network, err = NewNetwork(c.Model.Arch(d.Tokenizer.Vocab()), c.Quantization, c.Train.Batch, c.Seed)
	return t, err
}

func (t *textTask) Graph() *Graph { return t.network.Graph }
func (t *textTask) Examples() int { return len(t.network.Inputs) }
func (t *textTask) Next()         { t.sampler.Next(t.network.Inputs, t.network.Targets) }

func (t *textTask) Quantize(states []schedule.State, step int) { t.network.Quantize(states, step) }

func (t *textTask) Evaluate() (Evaluation, error) {
	return t.network.EvaluateWindows(t.heldout, t.data.Tokenizer.TokenBytes)
}

func (t *textTask) Position() []byte           { return t.sampler.State() }
func (t *textTask) Seek(position []byte) error { return t.sampler.Restore(position) }

// windows draws the fixed windows [n, context+1] of both sides of the corpus.
func (t *textTask) windows() (err error) {
	context, n := t.config.Model.Context, t.config.Train.EvalBatches*t.config.Train.Batch
	if t.heldout, err = data.Windows(t.data.Heldout, context, n, heldoutSeed); err != nil {
		return fmt.Errorf("held-out text: %w", err)
	}
	if t.calibration, err = data.Windows(t.data.Train, context, calibrationWindows, calibrationSeed); err != nil {
		return fmt.Errorf("training text: %w", err)
	}
	return nil
}

// Begin writes the configuration, the tokenizer and the fixed windows.
func (t *textTask) Begin(dir string) error {
	folder := export.Folder(dir)
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
	width := t.config.Model.Context + 1
	return atomicfile.Write(folder.Evaluation(), func(w io.Writer) error {
		return safetensors.Write(w, nil, []safetensors.Tensor{
			{Name: export.HeldoutName, Shape: []int{len(t.heldout) / width, width}, Data: t.heldout},
			{Name: export.CalibrationName, Shape: []int{calibrationWindows, width}, Data: t.calibration},
		})
	})
}

// Check reports whether the corpus is not what the run began with any more, by the
// fixed windows and by the tokenizer. Another text would go on with ids that
// mean something else.
func (t *textTask) Check(dir string) error {
	folder := export.Folder(dir)
	if err := whole(folder.Tokenizer(), folder.Evaluation()); err != nil {
		return err
	}
	tokenizer, err := os.ReadFile(folder.Tokenizer())
	if err != nil {
		return err
	}
	if _, err := data.ParseTokenizer(tokenizer); err != nil {
		return fmt.Errorf("%s: %w: the file is damaged: bring it back, or begin a new run", folder.Tokenizer(), err)
	}
	f, err := safetensors.Open(folder.Evaluation())
	if err != nil {
		return fmt.Errorf("%w: bring the file back, or begin a new run", err)
	}
	defer f.Close()
	for name, want := range map[string][]int32{export.HeldoutName: t.heldout, export.CalibrationName: t.calibration} {
		have, err := f.Int32(name)
		if err != nil {
			return fmt.Errorf("%s: %w: bring the file back, or begin a new run", folder.Evaluation(), err)
		}
		if !slices.Equal(have, want) {
			return fmt.Errorf("data.path: %s is not the text any more that the run in %s began with: bring that text back, or begin a new run", t.config.Data.Path, dir)
		}
	}
	if !bytes.Equal(tokenizer, t.data.Tokenizer.JSON()) {
		return fmt.Errorf("%s is not the tokenizer of %s: bring back the one that the run began with, or begin a new run", folder.Tokenizer(), t.config.Data.Path)
	}
	return nil
}

// describe says what a run that stands at a step is going to do.
func (t *textTask) describe(step int) Plan {
	p := Plan{Config: t.config, Data: t.data, Step: step}
	for _, q := range t.network.Model.Parameters() {
		p.Parameters += q.Size()
	}
	for _, l := range t.network.Model.Linears() {
		switch {
		case l.Weights != nil && l.Weights.Rule != nil:
			p.Mixed += l.Weight.Size()
		case t.config.Quantization.Weights.Bits != schedule.Float:
			p.Ternary += l.Weight.Size()
		}
	}
	return p
}
