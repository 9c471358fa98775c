// Command export writes a trained run in the formats of those who run models:
// Trefoil's own packed file, GGUF, Hugging Face folders and plain safetensors.
//
//	go run ./cmd/export runs/gocode
//	go run ./cmd/export runs/gocode -o model.trefoil -float float16
//	go run ./cmd/export runs/gocode -format gguf,hf-packed -type tq1_0 -verify
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
	"runtime/debug"
	"slices"
	"strings"

	"trefoil/data"
	"trefoil/export"
	"trefoil/internal/command"
	"trefoil/internal/progress"
	"trefoil/quant/packed"
)

const usage = `usage: export RUN [-format FORMAT,...] [-type TYPE] [-o PATH] [-float TYPE] [-percentile P] [-verify]

Writes a run's best checkpoint in one or more formats:

  trefoil      one .trefoil file: ternary weights at 1.6 bits, the tokenizer, and
               activation scales calibrated on training text. The file is then
               measured on the run's held-out text
  gguf         one file for llama.cpp, bitnet.cpp or ik_llama.cpp
  hf           a folder for Hugging Face's transformers, with the weights that
               learned, to be rounded there and trained further
  hf-packed    the same with weights of 2 bits
  safetensors  one file of ternary codes, scales and floats

`

// gcPercent is how far garbage may grow beyond what is in use: little, for
// what is in use is a tensor or two, and a tensor can be large.
const gcPercent = 25

func main() {
	debug.SetGCPercent(gcPercent)
	command.Main("export", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

// request is what the command line asks for.
type request struct {
	dir     string
	path    string // "" for the format's place in the run folder
	formats []export.Format
	options export.Options
	verify  bool
}

// formatList collects the -format flags.
type formatList []export.Format

func (l *formatList) String() string { return strings.Trim(fmt.Sprint(*l), "[]") }

func (l *formatList) Set(s string) error {
	for name := range strings.SplitSeq(s, ",") {
		f := export.Format(strings.TrimSpace(name))
		if !slices.Contains(export.Formats(), f) {
			return fmt.Errorf("format %q is not supported: use some of %v", name, export.Formats())
		}
		if !slices.Contains(*l, f) {
			*l = append(*l, f)
		}
	}
	return nil
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("export", flag.ContinueOnError)
	var q request
	flags.Var((*formatList)(&q.formats), "format", "`format` to write, or several with commas between (default trefoil)")
	ggufType := flags.String("type", "", "`type` of the linear layers in a GGUF file: tq1_0, tq2_0, q2_0, i2_s or f16 (default: one that fits)")
	flags.StringVar(&q.path, "o", "", "file or folder to write, as `path` (default: in the run folder)")
	float := flags.String("float", string(packed.Float32), "`type` of the embedding and the norms: float32, bit for bit what was trained, or float16")
	flags.Float64Var(&q.options.Percentile, "percentile", 99.9, "per cent of the activations that the clipping static scales keep whole")
	flags.BoolVar(&q.verify, "verify", false, "read what was written again and compare every tensor with the run")
	runs, err := command.Parse(flags, args, usage, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case len(runs) != 1:
		return command.Usagef("%d run folders: name one, such as runs/gocode", len(runs))
	}
	q.dir, q.options.Float = runs[0], packed.Type(*float)
	if err := q.check(*ggufType); err != nil {
		return command.Usagef("%w", err)
	}
	return q.export(ctx, stdout)
}

func (q *request) check(ggufType string) error {
	if len(q.formats) == 0 {
		q.formats = []export.Format{export.Trefoil}
	}
	if q.path != "" && len(q.formats) > 1 {
		return fmt.Errorf("-o %s names one place for %d formats: leave it out, or export one format at a time", q.path, len(q.formats))
	}
	if ggufType != "" {
		t, err := export.ParseGGUFType(ggufType)
		if err != nil {
			return err
		}
		if !slices.Contains(q.formats, export.GGUF) {
			return fmt.Errorf("-type %s is of the format gguf: add -format gguf", ggufType)
		}
		q.options.GGUF = &t
	}
	return q.options.Validate()
}

// export writes each format and reports it. A format that cannot carry the run
// does not keep the others from being written.
func (q *request) export(ctx context.Context, stdout io.Writer) error {
	if folder := filepath.Dir(q.path); q.path != "" {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return fmt.Errorf("-o %s: there is no folder %s: make it first", q.path, folder)
		}
	}
	r, err := export.Open(q.dir)
	if err != nil {
		return err
	}
	defer r.Close()
	shown := progress.New()
	r.Progress = shown.Show
	var errs []error
	gap := ""
	for _, f := range q.formats {
		path := q.path
		if path == "" {
			path = r.DefaultPath(f, q.options)
		}
		var report bytes.Buffer
		errs = append(errs, q.write(ctx, r, f, path, &report, command.Columns(stdout)))
		shown.Clear()
		if report.Len() > 0 {
			if _, err := fmt.Fprint(stdout, gap, &report); err != nil {
				errs = append(errs, fmt.Errorf("%s was written, but not its report: %w", path, err))
			}
			gap = "\n"
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(errs...)
}

// write writes one format, verifies it if that was asked for, and reports both
// to w, for a terminal of so many columns.
func (q *request) write(ctx context.Context, r *export.Run, f export.Format, path string, w io.Writer, columns int) error {
	if f == export.Trefoil {
		report, err := r.Export(ctx, path, q.options)
		if err != nil {
			return err
		}
		if err := write(w, report, columns); err != nil {
			return err
		}
	} else {
		output, err := r.Write(ctx, path, f, q.options)
		if err != nil {
			return err
		}
		if err := writeOutput(w, r, output); err != nil {
			return err
		}
	}
	if q.verify {
		v, err := r.Verify(ctx, path, f, q.options)
		if err != nil {
			return err
		}
		if err := writeVerification(w, v); err != nil {
			return err
		}
	}
	if f == export.Trefoil {
		return writeNext(w, path, examplePrompt(r))
	}
	return nil
}

// examplePrompt is a prompt that the model can read, and of a kind that it has
// learned if the run has text.
func examplePrompt(r *export.Run) string {
	prompts := []string{"The ", "the "}
	t, err := data.ParseTokenizer(r.Tokenizer)
	if err != nil {
		return prompts[0]
	}
	if r.Heldout.N > 0 {
		first := r.Heldout.Tokens[:len(r.Heldout.Tokens)/r.Heldout.N]
		prompts = append([]string{firstWords(t.Decode(first))}, prompts...)
		if r.Config.Data.Path == data.GoSource {
			prompts = append([]string{"func "}, prompts...)
		}
	}
	for _, p := range prompts {
		if p != "" && t.Check([]byte(p)) == nil {
			return p
		}
	}
	return prompts[0]
}

// words are up to three words with one space between them: what no shell takes
// for more than text.
var words = regexp.MustCompile(`[\pL\pM\pN]+(?: [\pL\pM\pN]+){0,2}`)

// firstWords returns the first words of a text, of a whole line if there is one.
func firstWords(text []byte) string {
	if _, rest, ok := bytes.Cut(text, []byte("\n")); ok && words.Match(rest) {
		text = rest
	}
	return string(words.Find(text))
}
