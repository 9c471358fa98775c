// Command export freezes a training run into one .trefoil file and reports
// what that did to its size and its loss.
//
//	go run ./cmd/export runs/gocode
//	go run ./cmd/export runs/gocode -o model.trefoil -float float16
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"

	"trefoil/data"
	"trefoil/export"
	"trefoil/internal/command"
	"trefoil/quant/packed"
)

const usage = `usage: export RUN [-o FILE] [-float TYPE] [-percentile P]

Freezes a run's best checkpoint into one .trefoil file: ternary weights at 1.6
bits, the tokenizer, and activation scales calibrated on training text. Then
measures the file on the run's held-out text.

`

func main() {
	command.Main("export", func(context.Context) error { return run(os.Args[1:], os.Stdout) })
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("export", flag.ContinueOnError)
	out := flags.String("o", "", "`file` to write (default RUN/model.trefoil)")
	float := flags.String("float", string(packed.Float32), "`type` of the embedding and the norms: float32, bit for bit what was trained, or float16")
	percentile := flags.Float64("percentile", 99.9, "per cent of the activations that the clipping static scales keep whole")
	runs, err := command.Parse(flags, args, usage, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case len(runs) != 1:
		return command.Usagef("%d run folders: name one, such as runs/gocode", len(runs))
	}
	options := export.Options{Float: packed.Type(*float), Percentile: *percentile}
	if err := options.Validate(); err != nil {
		return command.Usagef("%w", err)
	}
	return exportRun(runs[0], *out, options, stdout)
}

func exportRun(dir, path string, options export.Options, stdout io.Writer) error {
	r, err := export.Load(dir)
	if err != nil {
		return err
	}
	if path == "" {
		path = filepath.Join(dir, "model.trefoil")
	}
	report, err := r.Export(path, options)
	if err != nil {
		return err
	}
	prompt := "The "
	if r.Config.Data.Path == data.GoSource {
		prompt = "func "
	}
	return write(stdout, report, prompt)
}
