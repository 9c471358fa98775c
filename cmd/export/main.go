// Command export freezes a training run into one .trefoil file and reports
// what that did to its size and its loss.
//
//	go run ./cmd/export runs/gocode
//	go run ./cmd/export runs/gocode -o model.trefoil -float float16
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"trefoil/data"
	"trefoil/export"
	"trefoil/quant/packed"
)

const usage = `usage: export RUN [-o FILE] [-float TYPE] [-percentile P]

Freezes a run's best checkpoint into one .trefoil file: ternary weights at 1.6
bits, the tokenizer, and activation scales calibrated on training text. Then
measures the file on the run's held-out text.

`

func main() {
	err := run(os.Args[1:], os.Stdout)
	switch {
	case err == nil:
	case errors.As(err, new(usageError)):
		fmt.Fprintf(os.Stderr, "export: %v\nrun it with -h to see its usage\n", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "export:", err)
		os.Exit(1)
	}
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("export", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are told by main
	out := flags.String("o", "", "`file` to write (default RUN/model.trefoil)")
	float := flags.String("float", string(packed.Float32), "`type` of the embedding and the norms: float32, bit for bit what was trained, or float16")
	percentile := flags.Float64("percentile", 99.9, "per cent of the activations that the clipping static scales keep whole")
	runs, err := parse(flags, args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return nil
	}
	if err != nil {
		return usageError{err}
	}
	if len(runs) != 1 {
		return usageError{fmt.Errorf("%d run folders: name one, such as runs/gocode", len(runs))}
	}
	options := export.Options{Float: packed.Type(*float), Percentile: *percentile}
	if err := options.Validate(); err != nil {
		return usageError{err}
	}
	return exportRun(runs[0], *out, options, stdout)
}

// parse parses flags before and after the positional arguments, and returns
// those.
func parse(flags *flag.FlagSet, args []string) (positional []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return positional, nil
		}
		positional, args = append(positional, flags.Arg(0)), flags.Args()[1:]
	}
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
