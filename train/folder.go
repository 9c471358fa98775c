package train

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"trefoil/config"
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
	width := t.config.Model.Context + 1
	return atomicfile.Write(folder.Evaluation(), func(w io.Writer) error {
		return safetensors.Write(w, nil, []safetensors.Tensor{
			{Name: export.HeldoutName, Shape: []int{len(t.heldout) / width, width}, Data: t.heldout},
			{Name: export.CalibrationName, Shape: []int{calibrationWindows, width}, Data: t.calibration},
		})
	})
}

// windows draws the fixed windows [n, context+1] of both sides of the corpus.
func (t *trainer) windows() (err error) {
	context, n := t.config.Model.Context, t.config.Train.EvalBatches*t.config.Train.Batch
	if t.heldout, err = data.Windows(t.data.Heldout, context, n, heldoutSeed); err != nil {
		return fmt.Errorf("held-out text: %w", err)
	}
	if t.calibration, err = data.Windows(t.data.Train, context, calibrationWindows, calibrationSeed); err != nil {
		return fmt.Errorf("training text: %w", err)
	}
	return nil
}

// restore takes up a run where its last checkpoint left it.
func (t *trainer) restore() error {
	last := export.Folder(t.Dir).Last()
	err := t.sameText()
	if err != nil {
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

// sameText checks that the corpus still is what the run began with, by the
// fixed windows and by the tokenizer. Another text would go on with ids that
// mean something else.
func (t *trainer) sameText() error {
	folder := export.Folder(t.Dir)
	tokenizer, err := os.ReadFile(folder.Tokenizer())
	if err != nil {
		return err
	}
	if _, err := data.ParseTokenizer(tokenizer); err != nil {
		return fmt.Errorf("%s: %w: the file is damaged: bring it back, or begin a new run", folder.Tokenizer(), err)
	}
	f, err := safetensors.Open(folder.Evaluation())
	if err != nil {
		return err
	}
	defer f.Close()
	for name, want := range map[string][]int32{export.HeldoutName: t.heldout, export.CalibrationName: t.calibration} {
		have, err := f.Int32(name)
		if err != nil {
			return fmt.Errorf("%s: %w", folder.Evaluation(), err)
		}
		if !slices.Equal(have, want) {
			return fmt.Errorf("data.path: %s is not the text any more that the run in %s began with: bring that text back, or begin a new run", t.config.Data.Path, t.Dir)
		}
	}
	if !bytes.Equal(tokenizer, t.data.Tokenizer.JSON()) {
		return fmt.Errorf("%s is not the tokenizer of %s: bring back the one that the run began with, or begin a new run", folder.Tokenizer(), t.config.Data.Path)
	}
	return nil
}

// sameConfig checks that a configuration is the one that the run in a folder
// began with. The name may change, and so may the place of the text: sameText
// looks at the text itself.
func sameConfig(now config.Config, dir string) error {
	folder := export.Folder(dir)
	f, s, err := openCheckpoint(folder.Last())
	if err != nil {
		return err
	}
	defer f.Close()
	if s.Config == "" { // a checkpoint of an earlier version
		return nil
	}
	then, err := config.Parse(folder.Last(), []byte(s.Config))
	if err != nil {
		return err
	}
	then.Name, then.Data.Path = now.Name, now.Data.Path
	had := configLines(then)
	for i, line := range configLines(now) {
		if i >= len(had) || line != had[i] {
			return fmt.Errorf("%s was changed since the run began (first difference: now %q, then %q): undo the change, or begin a new run",
				folder.Config(), strings.TrimSpace(line), strings.TrimSpace(had[min(i, len(had)-1)]))
		}
	}
	return nil
}

// configLines returns a configuration as lines of YAML without comments.
func configLines(c config.Config) []string {
	var b strings.Builder
	c.Print(&b) // a Builder takes everything
	lines := strings.Split(b.String(), "\n")
	for i, line := range lines {
		line, _, _ = strings.Cut(line, "  # ")
		lines[i] = strings.TrimRight(line, " ")
	}
	return lines
}
