// Package command is what the programs in cmd have in common: flags before
// and after the arguments, mistakes on the command line, exit codes, numbers
// for people, and the width of their terminal.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/term"
)

// A UsageError is a mistake on the command line.
type UsageError struct{ error }

// Usagef returns a UsageError with a formatted message.
func Usagef(format string, args ...any) error { return UsageError{fmt.Errorf(format, args...)} }

// Main runs a program and ends the process: with code 0 if it went well, 1
// after an error, 2 after a [UsageError], and 130, which a shell reports of an
// interrupted program, if it ended because its context was cancelled. The
// first interrupt cancels the context, the second one ends the process.
func Main(name string, run func(ctx context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(exitCode(os.Stderr, name, run(ctx)))
}

// exitCode reports an error and returns the code of the process.
func exitCode(stderr io.Writer, name string, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(UsageError)):
		fmt.Fprintf(stderr, "%s: %v\nrun it with -h to see its usage\n", name, err)
		return 2
	case errors.Is(err, context.Canceled):
		return 130
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	return 1
}

// Parse parses flags before and after the positional arguments, and returns
// those. A mistake is a [UsageError]. When help is asked for it prints usage
// and the flags to stdout and returns [flag.ErrHelp].
func Parse(flags *flag.FlagSet, args []string, usage string, stdout io.Writer) (positional []string, err error) {
	flags.SetOutput(io.Discard) // mistakes are told by Main
	for {
		err := flags.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			fmt.Fprint(stdout, usage)
			flags.SetOutput(stdout)
			flags.PrintDefaults()
			return nil, err
		case err != nil:
			return nil, UsageError{err}
		case flags.NArg() == 0:
			return positional, nil
		}
		positional, args = append(positional, flags.Arg(0)), flags.Args()[1:]
	}
}

// Columns returns the width of the terminal that w is, 0 if it is none.
func Columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			return columns
		}
	}
	return 0
}

// Count writes a number of things: 1 step, 2,000 steps.
func Count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return Group(n) + " " + thing
}

// Group writes a number with its thousands apart: 1,234,567.
func Group(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
