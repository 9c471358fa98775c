// Command generate continues a text with the model of a .trefoil file.
//
//	go run ./cmd/generate runs/gocode/model.trefoil -prompt "func "
//	go run ./cmd/generate runs/gocode/model.trefoil -temperature 0 < beginning.txt
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"trefoil/infer"
	"trefoil/internal/command"
)

const usage = `usage: generate FILE [-prompt TEXT] [-n TOKENS] [-temperature T] [-top-k K] [-top-p P] [-seed S]

Continues a text with the model of a .trefoil file, which cmd/export writes.
The text goes to standard output as it comes, speed to standard error. Without
-prompt the beginning is read from standard input.

`

func main() {
	command.Main("generate", func(ctx context.Context) error {
		return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	})
}

// activations are the values of the flag of that name.
var activations = map[string]infer.Activations{
	"dynamic":    infer.Dynamic,
	"absmax":     infer.StaticAbsMax,
	"percentile": infer.StaticPercentile,
}

// request is what the command line asks for.
type request struct {
	path        string
	prompt      string
	n           int
	sampling    infer.Sampling
	activations infer.Activations
}

func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	var q request
	flags.StringVar(&q.prompt, "prompt", "", "`text` to continue (default: standard input)")
	flags.IntVar(&q.n, "n", 200, "`tokens` to generate at most")
	flags.Float64Var(&q.sampling.Temperature, "temperature", 0.8, "spread of the choice; 0 always takes the likeliest token")
	flags.IntVar(&q.sampling.TopK, "top-k", 0, "choose among the `k` likeliest tokens; 0: among all")
	flags.Float64Var(&q.sampling.TopP, "top-p", 0, "choose among the likeliest tokens that have `probability` p together; 0: among all")
	flags.Uint64Var(&q.sampling.Seed, "seed", 1, "same `seed`, same text")
	mode := flags.String("activations", "dynamic", "scales of activations: dynamic (by token), absmax or percentile (calibrated)")
	files, err := command.Parse(flags, args, usage, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case len(files) != 1:
		return command.Usagef("%d files: name one, such as runs/gocode/model.trefoil", len(files))
	}
	q.path = files[0]
	if err := q.check(*mode); err != nil {
		return command.Usagef("%w", err)
	}
	prompted := false
	flags.Visit(func(f *flag.Flag) { prompted = prompted || f.Name == "prompt" })
	if !prompted {
		if q.prompt, err = readPrompt(stdin); err != nil {
			return err
		}
	}
	return q.generate(ctx, stdout, stderr)
}

func (q *request) check(mode string) error {
	a, ok := activations[mode]
	if !ok {
		return fmt.Errorf("-activations %s: use dynamic, absmax or percentile", mode)
	}
	q.activations = a
	if q.n < 1 {
		return fmt.Errorf("-n %d: use 1 or more", q.n)
	}
	return q.sampling.Validate()
}

// examplePrompt is how messages say to give a prompt.
const examplePrompt = "-prompt TEXT"

// maxPrompt bounds what is read from standard input, in bytes.
const maxPrompt = 1 << 20

func readPrompt(stdin *os.File) (string, error) {
	if term.IsTerminal(int(stdin.Fd())) {
		return "", command.Usagef("no prompt: give one with %s or on standard input", examplePrompt)
	}
	b, err := io.ReadAll(io.LimitReader(stdin, maxPrompt+1))
	if err != nil {
		return "", fmt.Errorf("reading the prompt from standard input: %w", err)
	}
	if len(b) > maxPrompt {
		return "", fmt.Errorf("the prompt on standard input is longer than %d bytes: give its end only", maxPrompt)
	}
	return string(b), nil
}
