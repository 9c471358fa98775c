package train

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"trefoil/export"
)

func metricsPath(dir string) string { return filepath.Join(dir, "metrics.jsonl") }

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

// begin makes a run of the folder.
func (t *trainer) begin() error {
	if err := t.task.Begin(t.Dir); err != nil {
		return err
	}
	return WriteMetrics(metricsPath(t.Dir), nil)
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
	if err := t.task.Seek(t.state.Sampler); err != nil {
		return fmt.Errorf("%s: %w", last, err)
	}
	if t.records, err = ReadMetrics(metricsPath(t.Dir)); err != nil {
		return err
	}
	// What was recorded after the checkpoint will happen again.
	t.records = slices.DeleteFunc(t.records, func(r Record) bool { return r.Step > t.state.Step })
	return WriteMetrics(metricsPath(t.Dir), t.records)
}
