package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"trefoil/arch"
	"trefoil/data"
	"trefoil/internal/command"
	"trefoil/quant"
	"trefoil/quant/packed"
)

// randomModel writes a model of random weights and returns its path.
func randomModel(t *testing.T, end bool) string {
	t.Helper()
	c := arch.Config{
		Vocab: 256, Dim: 32, Layers: 1, Heads: 2, KVHeads: 1, FF: 48, Context: 32,
		Activation: arch.SiLU, RopeBase: 10000, NormEps: 1e-5,
	}
	if end {
		c.Vocab = 257
	}
	tokenizer, err := data.NewBytes(end)
	if err != nil {
		t.Fatal(err)
	}
	m := &packed.Model{Config: packed.Config{Model: c}, Tokenizer: tokenizer.JSON()}
	r := rand.New(rand.NewPCG(61, 62))
	for _, p := range c.Parameters() {
		tensor := packed.Tensor{Name: p.Name, Type: packed.Float32, Shape: p.Shape, Values: make([]float32, p.Size())}
		for i := range tensor.Values {
			tensor.Values[i] = float32(r.NormFloat64() * 0.2)
		}
		if p.Kind == arch.Linear {
			tensor.Type, tensor.Codes = packed.Ternary, make([]int8, p.Size())
			tensor.Scale = quant.Ternarize(tensor.Codes, tensor.Values, quant.AbsMean)
			tensor.Values, tensor.Activation = nil, &packed.Activation{Bits: 8, AbsMax: 3, Percentile: 2}
		}
		m.Tensors = append(m.Tensors, tensor)
	}
	path := filepath.Join(t.TempDir(), "m.trefoil")
	if _, err := packed.Write(path, m); err != nil {
		t.Fatal(err)
	}
	return path
}

// call runs the command with text as standard input.
func call(t *testing.T, ctx context.Context, text string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stdin")
	os.WriteFile(path, []byte(text), 0o644)
	stdin, openErr := os.Open(path)
	if openErr != nil {
		t.Fatal(openErr)
	}
	defer stdin.Close()
	var out, log bytes.Buffer
	err = run(ctx, args, stdin, &out, &log)
	return out.String(), log.String(), err
}

func TestGenerates(t *testing.T) {
	file := randomModel(t, false)
	before, log, err := call(t, t.Context(), "", "-prompt", "func ", "-n", "60", file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(before, "func ") || len(before) < 20 || !utf8.ValidString(before) {
		t.Errorf("wrote %q", before)
	}
	if !strings.Contains(log, "60 tokens in ") || !strings.Contains(log, "tokens/s; prompt of 5 tokens") {
		t.Errorf("log %q", log)
	}
	after, _, err := call(t, t.Context(), "", file, "-prompt", "func ", "-n", "60")
	if err != nil || after != before {
		t.Errorf("flags behind the file: %v", err)
	}
	piped, _, err := call(t, t.Context(), "func ", file, "-n", "60")
	if err != nil || piped != before {
		t.Errorf("a prompt on standard input: %v", err)
	}
	other, _, _ := call(t, t.Context(), "func ", file, "-n", "60", "-seed", "2")
	static, _, _ := call(t, t.Context(), "func ", file, "-n", "60", "-activations", "percentile")
	if other == before || static == before {
		t.Error("the seed or the scales changed nothing")
	}
}

func TestLongPromptAndFolder(t *testing.T) {
	file := randomModel(t, false)
	if _, log, err := call(t, t.Context(), strings.Repeat("x", 100), file, "-n", "1"); err != nil || !strings.Contains(log, "only the last 20 of 100 tokens of the prompt are read: the context is 32") {
		t.Errorf("a long prompt: %q, %v", log, err)
	}
	dir := filepath.Dir(file)
	if err := os.Rename(file, filepath.Join(dir, "model.trefoil")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := call(t, t.Context(), "x", dir); err == nil || !strings.Contains(err.Error(), "is a folder: give the file") {
		t.Errorf("a folder: %v", err)
	}
	if _, _, err := call(t, t.Context(), "x", "m.gguf"); err == nil || !strings.Contains(err.Error(), "cmd/import makes a run") {
		t.Errorf("a GGUF file: %v", err)
	}
}

func TestEmptyPrompt(t *testing.T) {
	if _, _, err := call(t, t.Context(), "", randomModel(t, false)); err == nil || !strings.Contains(err.Error(), "give one with -prompt") {
		t.Errorf("no end of text: %v", err)
	}
	if out, _, err := call(t, t.Context(), "", randomModel(t, true), "-prompt", "", "-n", "3"); err != nil || len(out) < 2 {
		t.Errorf("with an end of text: %q, %v", out, err)
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, log, err := call(t, ctx, "func ", randomModel(t, false))
	if !errors.Is(err, context.Canceled) || out != "func \n" || !strings.Contains(log, "0 tokens") {
		t.Errorf("%q, %q, %v", out, log, err)
	}
}

func TestUsageErrors(t *testing.T) {
	for says, args := range map[string][]string{
		"0 files: name one":           {"-n", "3"},
		"2 files":                     {"a", "b"},
		"-n 0":                        {"a", "-n", "0"},
		"temperature -1":              {"a", "-temperature", "-1"},
		"top-p 2":                     {"a", "-top-p", "2"},
		"-activations static":         {"a", "-activations", "static"},
		"provided but not defined: -": {"a", "-x"},
		"invalid value":               {"a", "-n", "many"},
	} {
		_, _, err := call(t, t.Context(), "", args...)
		if !errors.As(err, new(command.UsageError)) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if out, _, err := call(t, t.Context(), "", "-h"); err != nil || !strings.Contains(out, "usage: generate FILE") || !strings.Contains(out, "-top-k") {
		t.Errorf("-h: %q, %v", out, err)
	}
}

func TestDamagedFile(t *testing.T) {
	file := randomModel(t, false)
	b, _ := os.ReadFile(file)
	b[len(b)-3] ^= 1
	os.WriteFile(file, b, 0o644)
	if _, _, err := call(t, t.Context(), "x", file); err == nil || errors.As(err, new(command.UsageError)) ||
		!strings.Contains(err.Error(), file+": tensor norm: its checksum") {
		t.Errorf("got %v", err)
	}
	if _, _, err := call(t, t.Context(), "x", filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Whatever the pieces, whole characters come out, and at once.
func TestTextWriter(t *testing.T) {
	const text = "a\u00e9\u4e16\U0001f600z"
	for size := 1; size <= 5; size++ {
		var out bytes.Buffer
		w := &textWriter{w: &out}
		for at := 0; at < len(text); at += size {
			read := text[:min(at+size, len(text))]
			if err := w.write([]byte(text[at:len(read)])); err != nil {
				t.Fatal(err)
			}
			for !utf8.ValidString(read) {
				read = read[:len(read)-1]
			}
			if out.String() != read {
				t.Fatalf("pieces of %d: wrote %q, want %q", size, out.String(), read)
			}
		}
		if w.close(); out.String() != text+"\n" {
			t.Errorf("pieces of %d: %q", size, out.String())
		}
	}
}

func TestTextWriterReplacesInvalidBytes(t *testing.T) {
	for in, want := range map[string]string{
		"a\xffb":     "a\uFFFDb\n",
		"a\xe4\xb8":  "a\uFFFD\n", // a character that never ends
		"\x80\x80x":  "\uFFFDx\n",
		"\xf0\x9fab": "\uFFFDab\n",
	} {
		var out bytes.Buffer
		w := &textWriter{w: &out}
		for i := range len(in) {
			w.write([]byte{in[i]})
		}
		if w.close(); strings.ReplaceAll(out.String(), "\uFFFD\uFFFD", "\uFFFD") != want {
			t.Errorf("%q: wrote %q, want %q", in, out.String(), want)
		}
	}
}
