package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trefoil/export"
	"trefoil/internal/command"
)

const llama = "../../convert/testdata/llama"

func TestImports(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my_llama!")
	var out bytes.Buffer
	if err := run(t.Context(), []string{llama, "-o", dir, "-context", "32"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"10,332 parameters (float32), 2 layers of width 12, 4 heads of 8, 272 ids",
		"note: the embedding has", "next: go run ./cmd/export " + dir, "-from " + dir, "-set name=my_llama--ternary", "model.context=32",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	r, err := export.Load(dir)
	if err != nil || r.Config.Name != "my_llama-" || r.Model.Context != 32 || r.State.Imported != "llama" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestUsageErrors(t *testing.T) {
	for says, args := range map[string][]string{
		"0 models: name one": {}, "2 models": {"a", "b"}, "-context -1": {"a", "-context", "-1"}, "not defined: -x": {"a", "-x"},
	} {
		if err := run(t.Context(), args, &bytes.Buffer{}); !errors.As(err, new(command.UsageError)) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if err := run(t.Context(), []string{"nowhere"}, &bytes.Buffer{}); !errors.Is(err, os.ErrNotExist) || errors.As(err, new(command.UsageError)) {
		t.Errorf("no model: %v", err)
	}
}

func TestRunName(t *testing.T) {
	for path, want := range map[string]string{
		"/a/SmolLM 135M": "SmolLM-135M", "m.tq1.gguf": "m.tq1", "..x": "x", "/": "imported", strings.Repeat("n", 200): strings.Repeat("n", 100),
	} {
		if got := runName(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}
