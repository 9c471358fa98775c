package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trefoil/internal/command"
)

func TestMistakesOnTheCommandLine(t *testing.T) {
	for _, args := range [][]string{
		{"-steps", "3"},
		{"config.yaml"},
		{"-resume", "runs/x", "-set", "train.steps=3"},
		{"-set"},
	} {
		var out bytes.Buffer
		if err := run(context.Background(), args, &out); !errors.As(err, new(command.UsageError)) {
			t.Errorf("%q: %v, want a usage error", args, err)
		}
	}
}

func TestMistakesInValues(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.txt")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-set", "train.step=3"}, "did you mean steps?"},
		{[]string{"-config", missing}, missing},
		{[]string{"-resume", "nope"}, "nope is not the folder of a run, for it has no config.yaml"},
		{[]string{"-set", "data.path=" + missing, "-out", filepath.Join(t.TempDir(), "run")}, missing},
	} {
		var out bytes.Buffer
		err := run(context.Background(), c.args, &out)
		if err == nil || errors.As(err, new(command.UsageError)) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q in an error", c.args, err, c.want)
		}
	}
}

func TestTrains(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("to be or not to be, that is the question\n", 200)), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	args := []string{"-out", filepath.Join(dir, "run")}
	for _, s := range []string{"data.path=" + text, "data.tokenizer.kind=char", "model.dim=32", "model.layers=1", "model.ff=64",
		"model.context=16", "train.steps=20", "train.batch=2", "train.eval_every=10", "train.eval_batches=1", "data.tokenizer.vocab=99"} {
		args = append(args, "-set", s)
	}
	var out bytes.Buffer
	if err := run(context.Background(), args, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{": 1 document, ", " 1 layer ", "note: train.warmup ", "note: data.tokenizer.vocab is not used", "parameters", "perplexity", "     20  ", "a sample:", "curves.png", "go run ./cmd/export"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, &out)
		}
	}
	err := run(context.Background(), args, &out)
	if err == nil || !strings.Contains(err.Error(), "-resume") {
		t.Errorf("a second run in the folder: %v", err)
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	for want, args := range map[string][]string{
		"\nstopped before training began; no run was written\n":        append(slices.Clone(args), "-out", filepath.Join(dir, "never")),
		"\nstopped before training went on, the run is as it was; con": {"-resume", filepath.Join(dir, "run")},
	} {
		out.Reset()
		if err := run(stopped, args, &out); !errors.Is(err, context.Canceled) || !strings.Contains(out.String(), want) {
			t.Errorf("%q: %v, want %q in\n%s", args, err, want, &out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "never")); err == nil {
		t.Error("a run that was stopped before it began is there")
	}
	out.Reset()
	err = run(context.Background(), []string{"-resume", filepath.Join(dir, "run")}, &out)
	if err != nil || !strings.Contains(out.String(), "finished already: 20 of 20 steps\n\nbest: ") {
		t.Errorf("a finished run resumed: %v\n%s", err, &out)
	}
}

func TestFixed(t *testing.T) {
	for _, c := range []struct {
		value           float64
		width, decimals int
		want            string
	}{
		{9.5, 5, 3, "9.500"},
		{10.5, 5, 3, " 10.5"},
		{1234.5, 5, 3, "1e+03"},
		{12.25, 10, 2, "     12.25"},
		{1e300, 10, 2, "    1e+300"},
		{math.Inf(1), 10, 2, "      +Inf"},
	} {
		if got := fixed(c.value, c.width, c.decimals); got != c.want {
			t.Errorf("%v: %q, want %q", c.value, got, c.want)
		}
	}
}
