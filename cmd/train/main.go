// Command train trains a model and leaves a run folder behind.
//
//	go run ./cmd/train                                  the default: a small model of Go code
//	go run ./cmd/train -config FILE -set train.steps=30
//	go run ./cmd/train -resume runs/gocode
//	go run ./cmd/train -from runs/llama -set data.path=notes.txt
//	go run ./cmd/train -print-config
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"trefoil/config"
	"trefoil/internal/command"
	"trefoil/train"
)

const usage = `usage: train [-config FILE] [-set KEY=VALUE]... [-from DIR] [-out DIR]
       train -resume DIR
       train [-config FILE] [-set KEY=VALUE]... -print-config

Trains a model and leaves a run folder behind: configuration, metrics, curves,
checkpoints and a sample of text. Without flags it trains a small BitNet on the
Go source tree of your Go installation.

`

func main() {
	// Nearly all memory is the graph's and lives as long as the run, so little
	// garbage should be allowed beside it. GOGC overrides this.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(25)
	}
	command.Main("train", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

// assignments collects the -set flags.
type assignments []string

func (a *assignments) String() string     { return fmt.Sprint(*a) }
func (a *assignments) Set(s string) error { *a = append(*a, s); return nil }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("train", flag.ContinueOnError)
	var set assignments
	path := flags.String("config", "", "YAML `file`; what it leaves out is as -print-config shows")
	out := flags.String("out", "", "run `folder` (default runs/NAME)")
	from := flags.String("from", "", "start with the weights, sizes and tokenizer of the run in this `folder`, such as an imported model")
	resume := flags.String("resume", "", "continue the run in this `folder`")
	show := flags.Bool("print-config", false, "print every field with its value and meaning, and stop")
	flags.Var(&set, "set", "change one field, as `key=value`; may be repeated")
	rest, err := command.Parse(flags, args, usage, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case len(rest) > 0:
		return command.Usagef("unexpected argument %q: name a configuration with -config, a field with -set", rest[0])
	case *resume != "" && (*path != "" || *out != "" || *from != "" || len(set) > 0):
		return command.Usagef("-resume takes the configuration of the run that it continues: leave out -config, -from, -out and -set; -from %s instead begins a new run with its weights, and may have other steps", *resume)
	}
	if *from != "" {
		sizes, err := train.From(*from, *path != "")
		if err != nil {
			return err
		}
		set = append(sizes, set...)
	}
	options := train.Options{Dir: *out, Resume: *resume != ""}
	if options.Resume {
		options.Dir, *path = *resume, filepath.Join(*resume, "config.yaml")
	}
	c, err := load(*path, set)
	switch {
	case options.Resume && errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not the folder of a run, for it has no config.yaml: train one with go run ./cmd/train", *resume)
	case err != nil:
		return err
	}
	if *show {
		return c.Print(stdout)
	}
	if options.Dir == "" {
		options.Dir = filepath.Join("runs", c.Name)
	}
	return watch(ctx, stdout, c, options)
}

func load(path string, set []string) (config.Config, error) {
	if path == "" {
		return config.Parse("default", nil, set...)
	}
	return config.Load(path, set...)
}
