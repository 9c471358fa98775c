package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"trefoil/arch"
	"trefoil/convert"
	"trefoil/data"
	"trefoil/export"
	"trefoil/internal/command"
	"trefoil/quant/packed"
)

var update = flag.Bool("update", false, "write testdata anew")

func sample() *export.Report {
	absMax, percentile := 2.10500, 2.11000
	linear := func(name string, out, in int) export.Layer {
		return export.Layer{
			Name: name, Kind: arch.Linear, Shape: []int{out, in}, Weights: out * in, Type: packed.Ternary,
			Zeros: 0.3141, Scales: 1, Scale: 0.0213, Activation: &packed.Activation{Bits: 8, AbsMax: 4.5, Percentile: 3}, Bytes: (out*in + 4) / 5,
		}
	}
	norm := export.Layer{Name: "norm", Kind: arch.Norm, Shape: []int{256}, Weights: 256, Type: packed.Float32, Bytes: 1024}
	return &export.Report{
		Path: filepath.Join("runs", "gocode", "model.trefoil"), Checkpoint: "runs/gocode/checkpoints/best.safetensors", Step: 3000,
		Layers: []export.Layer{
			{Name: "embedding", Kind: arch.Embedding, Shape: []int{4096, 256}, Weights: 1 << 20, Type: packed.Float32, Bytes: 4 << 20},
			norm, linear("blocks.0.attention.q", 256, 256), linear("blocks.0.ffn.gate", 704, 256), norm,
		},
		FileBytes: 4<<20 + 150_000, Float: packed.Float32, HeldoutTokens: 20480,
		GraphLoss: 2.1, DynamicLoss: 2.1, StaticAbsMaxLoss: &absMax, StaticPercentileLoss: &percentile, Percentile: 99.9,
	}
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	if err := errors.Join(write(&out, sample(), 0), writeNext(&out, sample().Path, "func ")); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/report.txt"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the report is\n%s\nwant\n%s", out.String(), want)
	}
}

// On a terminal of usual width no line is wrapped, and what matters most stays on
// a narrow one.
func TestReportFitsTheTerminal(t *testing.T) {
	r := sample()
	r.Layers[2].Name = "blocks.10.attention.q"
	for _, columns := range []int{120, 80, 60} {
		var out bytes.Buffer
		if err := write(&out, r, columns); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("%d columns: a line of %d: %q", columns, n, line)
			}
		}
		if full := strings.Contains(out.String(), "input up to"); full != (columns > 80) || !strings.Contains(out.String(), "13,108") || !strings.Contains(out.String(), "2.10500") {
			t.Errorf("%d columns:\n%s", columns, &out)
		}
	}
}

// imported returns a run made of a model of others.
func imported(t *testing.T) string {
	t.Helper()
	m, err := convert.Open("../../convert/testdata/llama", "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := filepath.Join(t.TempDir(), "run")
	if err := m.Write(t.Context(), dir, convert.Options{Name: "llama"}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// That the report could not be written is an error.
func TestFailedReport(t *testing.T) {
	dir := imported(t)
	full := errors.New("no space")
	for _, f := range []string{"trefoil", "safetensors"} {
		if err := run(t.Context(), []string{dir, "-format", f}, failing{full}); !errors.Is(err, full) {
			t.Errorf("%s: %v", f, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// That the report could not be written hides neither the error of an earlier
// format nor that of verifying this one.
func TestFailedReportHidesNoError(t *testing.T) {
	dir := imported(t)
	full, stopped := errors.New("no space"), errors.New("stopped")
	ctx := &stopsOnce{Context: t.Context(), when: filepath.Join(dir, "model.safetensors"), err: stopped}
	err := run(ctx, []string{dir, "-format", "hf-packed,safetensors", "-verify"}, failing{full})
	if !errors.Is(err, full) || !errors.Is(err, stopped) || !strings.Contains(err.Error(), "2 bits would make them ternary") {
		t.Errorf("got %v, want the errors of hf-packed, of verifying safetensors and of its report", err)
	}
}

// stopsOnce is a context that has ended the first time that it is asked with a
// file in place.
type stopsOnce struct {
	context.Context
	when string
	err  error
	told bool
}

func (c *stopsOnce) Err() error {
	if _, err := os.Stat(c.when); err == nil && !c.told {
		c.told = true
		return c.err
	}
	return c.Context.Err()
}

func TestReportOfAFloatRun(t *testing.T) {
	r := sample()
	r.StaticAbsMaxLoss, r.StaticPercentileLoss, r.GraphLoss, r.Float = nil, nil, 0, packed.Float16
	var out bytes.Buffer
	if err := write(&out, r, 0); err != nil {
		t.Fatal(err)
	}
	for _, without := range []string{"static", "training graph", "with -float", "NaN", "Inf"} {
		if strings.Contains(out.String(), without) {
			t.Errorf("the report tells of %q:\n%s", without, out.String())
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for says, args := range map[string][]string{
		"0 run folders: name one": {},
		"2 run folders":           {"a", "b"},
		"float type \"int8\"":     {"a", "-float", "int8"},
		"percentile 10":           {"a", "-percentile", "10"},
		"not defined: -x":         {"a", "-x"},
	} {
		if err := run(t.Context(), args, &bytes.Buffer{}); !errors.As(err, new(command.UsageError)) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", args, err)
		}
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-h"}, &out); err != nil || !strings.Contains(out.String(), "usage: export RUN") || !strings.Contains(out.String(), "-percentile") {
		t.Errorf("-h: %q, %v", out.String(), err)
	}
}

// Several formats are written and verified in one call, and one that cannot
// carry the run does not keep the others from it.
func TestSeveralFormats(t *testing.T) {
	dir := imported(t)
	var out bytes.Buffer
	err := run(t.Context(), []string{dir, "-format", "hf-packed,hf", "-format", "safetensors", "-verify"}, &out)
	if err == nil || !strings.Contains(err.Error(), "2 bits would make them ternary") || strings.Contains(err.Error(), "hf:") {
		t.Errorf("got %v", err)
	}
	if n := strings.Count(out.String(), "verified: all 21 tensors are equal to the run's, to the last bit"); n != 2 {
		t.Errorf("verified %d times, want 2:\n%s", n, &out)
	}
	for _, path := range []string{"hf/config.json", "hf/model.safetensors", "model.safetensors"} {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(path))); err != nil {
			t.Error(err)
		}
	}
	checkpoint := export.Folder(dir).Last()
	err = run(t.Context(), []string{dir, "-format", "safetensors", "-o", checkpoint}, &out)
	if err == nil || !strings.Contains(err.Error(), "is a file of the run") {
		t.Errorf("over the checkpoint: %v", err)
	}
	if err = run(t.Context(), []string{dir, "-format", "hf", "-o", filepath.Join(dir, "config.yaml")}, &out); err == nil || !strings.Contains(err.Error(), "is a file, and the format a folder") {
		t.Errorf("a folder over a file: %v", err)
	}
	if err := run(t.Context(), []string{dir, "-format", "hf,safetensors", "-o", "x"}, &out); !errors.As(err, new(command.UsageError)) {
		t.Errorf("one place for two formats: %v", err)
	}
}

// The prompt that is suggested is of the run's text, in characters that its
// tokenizer has.
func TestExamplePrompt(t *testing.T) {
	for text, want := range map[string]string{
		"nd of it\n  to be, or not to be\nthat": "to be",
		"über $(rm) allem":                      "über",
		"of $5\n$$\n":                           "of",
		"日本語 テスト\n":                             "日本語 テスト",
		"?!\n":                                  "",
	} {
		if got := firstWords([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	path := filepath.Join(t.TempDir(), "lower.txt")
	if err := os.WriteFile(path, []byte(strings.Repeat("to be or not\n", 20)), 0o644); err != nil {
		t.Fatal(err)
	}
	c := data.DefaultConfig()
	c.Path, c.Tokenizer.Kind = path, data.Char
	d, err := data.Open(t.Context(), c, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r := &export.Run{Tokenizer: d.Tokenizer.JSON()}
	ids := d.Tokenizer.Encode(nil, []byte("ot\nto be or n"))
	r.Heldout = export.Windows{Tokens: append(ids, ids...), N: 2}
	if got := examplePrompt(r); got != "to be or" {
		t.Errorf("prompt %q of lower-case text, want its words", got)
	}
	r.Config.Data.Path = data.GoSource // the tokenizer has no f, so "func " would fail
	if got := examplePrompt(r); got != "to be or" {
		t.Errorf("prompt %q, want one that the tokenizer can read", got)
	}
}

func TestNoRun(t *testing.T) {
	err := run(t.Context(), []string{t.TempDir(), "-o", "x"}, &bytes.Buffer{})
	if err == nil || errors.As(err, new(command.UsageError)) || !strings.Contains(err.Error(), "go run ./cmd/train") {
		t.Errorf("got %v", err)
	}
}

// That there is no place for the file is said before the work is done.
func TestNoPlace(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	err := run(t.Context(), []string{t.TempDir(), "-o", filepath.Join(missing, "x")}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "there is no folder "+missing) {
		t.Errorf("got %v", err)
	}
}
