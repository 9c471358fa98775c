package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"trefoil/export"
	"trefoil/internal/safetensors"
)

func metricsPath(dir string) string { return filepath.Join(dir, "metrics.jsonl") }

// checkFolder refuses to begin a run where it would replace something, and to
// resume where there is no run.
func checkFolder(o Options) error {
	folder := export.Folder(o.Dir)
	last, best := exists(folder.Last()), exists(folder.Best())
	switch {
	case o.Resume && last:
		return whole(metricsPath(o.Dir))
	case best && !last:
		return fmt.Errorf("%s has lost its last checkpoint, %s, from which a run continues: bring it back, or begin a new run from the best one by -from %s",
			o.Dir, filepath.Base(folder.Last()), o.Dir)
	case o.Resume:
		return fmt.Errorf("%s has no checkpoint to resume from: begin a new run, without -resume", o.Dir)
	case last:
		return fmt.Errorf("%s: %w", o.Dir, ErrExists)
	}
	if err := checkNew(o.Dir); err != nil {
		return err
	}
	return checkPlace(o.Dir)
}

// checkNew refuses a folder without checkpoints that holds files of the names
// that a run writes, unless they are those of a start that failed: then
// metrics.jsonl, which [trainer.begin] writes first, has no update.
func checkNew(dir string) error {
	folder := export.Folder(dir)
	if exists(metricsPath(dir)) {
		records, err := ReadMetrics(metricsPath(dir))
		if err == nil && !slices.ContainsFunc(records, func(r Record) bool { return r.Step > 0 }) {
			return nil
		}
	}
	for _, path := range []string{metricsPath(dir), folder.Config(), folder.Tokenizer(), folder.Evaluation()} {
		if exists(path) {
			return fmt.Errorf("%s is there already, and a new run would replace it: choose another folder with -out, or move the file away", path)
		}
	}
	return nil
}

// checkPlace reports a run folder that cannot be made, before the text is read.
func checkPlace(dir string) error {
	at := filepath.Clean(dir)
	info, err := os.Stat(at)
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at {
		at = filepath.Dir(at)
		info, err = os.Stat(at)
	}
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is a file", at)
	}
	if err == nil {
		var probe string
		if probe, err = os.MkdirTemp(at, ".trefoil-*"); err == nil {
			err = os.Remove(probe)
		}
	}
	if err != nil {
		return fmt.Errorf("the run folder %s cannot be made: %w: choose another place", dir, err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// whole reports a file that a run folder lacks.
func whole(paths ...string) error {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("the run folder is not whole: %w: bring the file back, or begin a new run in another folder", err)
		}
	}
	return nil
}

// claim takes the run folder for this process: a second one in the same
// folder would mix its metrics and checkpoints with those of the first.
func (t *trainer) claim() error {
	if err := os.MkdirAll(export.Folder(t.Dir).Checkpoints(), 0o777); err != nil {
		return fmt.Errorf("making the run folder: %w: choose another place", err)
	}
	unlock, err := lockFolder(t.Dir)
	if err != nil {
		return err
	}
	t.unlock = unlock
	return checkFolder(t.Options) // another process may have begun a run in the meantime
}

// begin makes a run of the folder. An empty metrics.jsonl comes first: with it
// checkNew knows what is there as a start that failed, should this one fail.
func (t *trainer) begin() error {
	if err := WriteMetrics(metricsPath(t.Dir), nil); err != nil {
		return err
	}
	return t.task.Begin(t.Dir)
}

// restore takes up a run where its last checkpoint left it.
func (t *trainer) restore() error {
	last := export.Folder(t.Dir).Last()
	err := t.task.Check(t.Dir)
	if err != nil {
		return err
	}
	if t.state, err = loadCheckpoint(last, t.graph.Parameters(), t.optimizer); err != nil {
		return unreadable(err, t.Dir)
	}
	t.state.TokenizerSum = t.TokenizerSum // a checkpoint of an earlier version has none
	if err := t.task.Seek(t.state.Sampler); err != nil {
		return fmt.Errorf("%s: %w", last, err)
	}
	if t.records, err = ReadMetrics(metricsPath(t.Dir)); err != nil {
		return err
	}
	// What was recorded after the checkpoint will happen again.
	t.records = slices.DeleteFunc(t.records, func(r Record) bool { return r.Step > t.state.Step })
	if err := t.checkRecords(); err != nil {
		return err
	}
	if err := checkBest(export.Folder(t.Dir).Best()); err != nil {
		return err
	}
	return WriteMetrics(metricsPath(t.Dir), t.records)
}

// checkRecords reports a step up to the checkpoint's whose record is not there.
func (t *trainer) checkRecords() error {
	i := 0
	for step := 0; step <= t.state.Step; step++ {
		if !t.evaluatesAt(step) && step%t.recordEvery() != 0 {
			continue
		}
		if i == len(t.records) || t.records[i].Step != step {
			return fmt.Errorf("%s: the record of step %d is missing: bring the file back, or begin a new run from the best checkpoint: -from %s", metricsPath(t.Dir), step, t.Dir)
		}
		i++
	}
	if i < len(t.records) {
		return fmt.Errorf("%s: the record of step %d is not one of the run's: bring the file back, or begin a new run from the best checkpoint: -from %s", metricsPath(t.Dir), t.records[i].Step, t.Dir)
	}
	return nil
}

// checkBest reports a best checkpoint that is damaged: the run may not make a
// better one, and it is what will be exported.
func checkBest(path string) error {
	f, err := safetensors.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the last one is exported then
	}
	if err == nil {
		defer f.Close()
		if err = f.Verify(); err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%w: bring the file back, or delete it to go on without: the last checkpoint is exported until there is a better one", err)
}
