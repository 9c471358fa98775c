//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package train

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// A second process in one folder would spoil the run of the first.
func TestTwoRunsInOneFolder(t *testing.T) {
	c := tinyConfig(t)
	c.Train.Steps, c.Train.EvalEvery = 2, 2
	dir := filepath.Join(t.TempDir(), "run")
	second := func(resume bool) error {
		_, err := Run(context.Background(), c, Options{Dir: dir, Resume: resume, Cache: t.TempDir()})
		return err
	}
	var early, late error
	train(t, c, Options{Dir: dir,
		Ready: func(Plan) { early = second(false) },
		Step:  func(int, int) { late = second(true) },
	})
	for name, err := range map[string]error{"a new run": early, "a resumed one": late} {
		if err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("%s beside the first: %v", name, err)
		}
	}
	if err := second(true); err != nil {
		t.Errorf("after the first run the folder is still taken: %v", err)
	}
}
