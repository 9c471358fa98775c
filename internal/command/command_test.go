package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args, want []string
		n          int
	}{
		{nil, nil, 1},
		{[]string{"a"}, []string{"a"}, 1},
		{[]string{"a", "-n", "3"}, []string{"a"}, 3},
		{[]string{"-n=3", "a", "b"}, []string{"a", "b"}, 3},
		{[]string{"a", "-n", "2", "b", "-n", "4"}, []string{"a", "b"}, 4},
	} {
		flags := flag.NewFlagSet("test", flag.ContinueOnError)
		n := flags.Int("n", 1, "a `number`")
		var out bytes.Buffer
		got, err := Parse(flags, c.args, "usage\n", &out)
		if err != nil || !slices.Equal(got, c.want) || *n != c.n || out.Len() > 0 {
			t.Errorf("%q: %q, n %d, %v, printed %q; want %q, n %d", c.args, got, *n, err, out.String(), c.want, c.n)
		}
	}
}

func TestParseMistakesAndHelp(t *testing.T) {
	for _, args := range [][]string{{"-x"}, {"a", "-n"}, {"a", "-n", "many"}} {
		flags := flag.NewFlagSet("test", flag.ContinueOnError)
		flags.Int("n", 1, "a `number`")
		var out bytes.Buffer
		if _, err := Parse(flags, args, "usage\n", &out); !errors.As(err, new(UsageError)) || out.Len() > 0 {
			t.Errorf("%q: %v, printed %q", args, err, out.String())
		}
	}
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.Int("n", 1, "a `number`")
	var out bytes.Buffer
	if _, err := Parse(flags, []string{"a", "-h"}, "usage\n", &out); !errors.Is(err, flag.ErrHelp) ||
		!strings.HasPrefix(out.String(), "usage\n") || !strings.Contains(out.String(), "-n number") {
		t.Errorf("-h: %v, printed %q", err, out.String())
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		says string
	}{
		{nil, 0, ""},
		{errors.New("full"), 1, "test: full\n"},
		{fmt.Errorf("outer: %w", Usagef("%d files", 2)), 2, "test: outer: 2 files\nrun it with -h to see its usage\n"},
		{fmt.Errorf("outer: %w", context.Canceled), 130, ""},
	} {
		var out bytes.Buffer
		if code := exitCode(&out, "test", c.err); code != c.code || out.String() != c.says {
			t.Errorf("%v: code %d, printed %q; want %d, %q", c.err, code, out.String(), c.code, c.says)
		}
	}
}

func TestGroup(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := Group(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
