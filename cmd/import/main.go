// Command import turns a model of others, a Hugging Face folder or a GGUF
// file, into a run folder.
//
//	go run ./cmd/import SmolLM-135M
//	go run ./cmd/import model-tq2_0.gguf -o runs/ternary -data text.txt
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"trefoil/convert"
	"trefoil/internal/command"
	"trefoil/internal/progress"
)

const usage = `usage: import MODEL [-o DIR] [-data PATH] [-context N] [-tokenizer FILE]

Turns a Hugging Face folder or a GGUF file of the architecture llama, qwen2 or
bitnet into a run folder, which cmd/export packs, evaluates and writes in other
formats, and from which cmd/train goes on with -from. A model with parts that
Trefoil has no place for is refused, and the parts are named: biases that are
not zero (most qwen2), norms of queries and keys (all qwen3), scaled rotary
embeddings, sliding windows, experts.

`

func main() {
	command.Main("import", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	var o convert.Options
	out := flags.String("o", "", "run `folder` (default runs/NAME, by the name of the model)")
	tokenizer := flags.String("tokenizer", "", "tokenizer.json to use in place of the model's own, as `file`")
	flags.StringVar(&o.Text, "data", "", "text to evaluate and calibrate the model on, as `path` of a file or folder (default: none)")
	flags.IntVar(&o.Context, "context", 0, "longest sequence in `tokens` (default: the model's own)")
	models, err := command.Parse(flags, args, usage, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case len(models) != 1:
		return command.Usagef("%d models: name one Hugging Face folder or GGUF file", len(models))
	case o.Context < 0:
		return command.Usagef("-context %d: use 1 or more tokens", o.Context)
	}
	o.Name = runName(models[0])
	if *out == "" {
		*out = filepath.Join("runs", o.Name)
	} else {
		o.Name = runName(*out)
	}
	m, err := convert.Open(models[0], *tokenizer)
	if err != nil {
		return err
	}
	shown := progress.New()
	o.Progress = shown.Show
	err = m.Write(ctx, *out, o)
	shown.Clear()
	if errors.Is(err, convert.ErrExists) {
		err = fmt.Errorf("%w with -o, or delete it", err)
	}
	if err == nil {
		err = report(stdout, m, *out, o)
	}
	return errors.Join(err, m.Close())
}

var unusual = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// runName makes the name of a run of a path.
func runName(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs // for a path such as "."
	}
	name := strings.TrimSuffix(filepath.Base(path), ".gguf")
	name = strings.TrimLeft(unusual.ReplaceAllString(name, "-"), "._-")
	if name == "" {
		return "imported"
	}
	return name[:min(len(name), 100)]
}

// report tells what was imported, and what comes next.
func report(w io.Writer, m *convert.Model, dir string, o convert.Options) error {
	c := m.Arch
	var b bytes.Buffer
	kind := "float32"
	if m.Ternary {
		kind = "ternary weights, 8-bit activations"
	}
	fmt.Fprintf(&b, "%s: %s parameters (%s), %d layers of width %d, %d heads of %d, %s ids\n",
		m.Path, command.Group(c.ParameterCount()), kind, c.Layers, c.Dim, c.Heads, c.HeadDim(), command.Group(c.Vocab))
	for _, note := range m.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	slashed := filepath.ToSlash(dir)
	fmt.Fprintf(&b, "\n%s\nnext: go run ./cmd/export %s\n", dir, slashed)
	text, context := "PATH", c.Context
	if o.Text != "" {
		text = o.Text
	}
	if o.Context > 0 {
		context = o.Context
	}
	fmt.Fprintf(&b, "  or: go run ./cmd/train -from %s -set name=%s-ternary -set data.path=%s -set model.context=%d\n",
		slashed, o.Name, text, min(context, trainingContext))
	_, err := w.Write(b.Bytes())
	return err
}

// trainingContext is a length of sequence that most computers can train on.
const trainingContext = 256
