// Command speed measures training steps, forward, backward, clip and update,
// of b1.58 models of four sizes, of their float32 twins, and, where a Python
// with PyTorch is given, of the same models there, and prints tables:
//
//	go run ./experiments/speed -torch python3 -peer torch_speed.py
//	go run ./experiments/speed -profile base
//
// Both sides get two threads and random windows or ids of one shape. Each
// figure is the better of two rounds, so that a disturbed minute does not
// decide, and a round's is the median of its steps. The peer is a program
// that takes --size, --quant, --mode, --amp, --threads and --steps, and ends
// its line with "median MS tokens/s N".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// threads that every measured program may use.
const threads = 2

// size is a shape of model, the name of a configuration in this folder.
type size struct {
	name string
	more int // how many times as many steps make up for their being short
}

var sizes = []size{{"tiny", 8}, {"small", 2}, {"base", 1}, {"large", 1}}

func (s size) config() string { return filepath.Join("experiments", "speed", s.name+".yaml") }

func main() {
	var s study
	names := flag.String("sizes", "tiny,small,base,large", "sizes to measure")
	steps := flag.Int("steps", 10, "measured steps of base and large; small takes twice, tiny eight times as many")
	flag.StringVar(&s.python, "torch", "", "a Python that has PyTorch (default: PyTorch is left out)")
	flag.StringVar(&s.peer, "peer", "torch_speed.py", "the program that trains the same models in PyTorch")
	profile := flag.String("profile", "", "print where the time of a step of this size goes, and nothing else")
	own := flag.Bool("gorgonia", false, "train the tiny model of Gorgonia's own operations, and nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case *own:
		err = trainBuiltIn(ctx, os.Stdout, *steps)
	case *profile != "":
		err = profileStep(ctx, os.Stdout, *profile, *steps)
	default:
		err = s.run(ctx, os.Stdout, *names, *steps)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
}

// study measures all programs at all sizes.
type study struct {
	python, peer string

	trainer string // the built train command
	self    string // this program
	dir     string // for runs
	results results
}

// rounds of the whole study.
const rounds = 2

func (s *study) run(ctx context.Context, out io.Writer, names string, steps int) error {
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "speed"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	if err := s.build(ctx); err != nil {
		return err
	}
	if err := s.prepare(ctx, chosen); err != nil {
		return err
	}
	err = s.measureAll(ctx, chosen, steps)
	return errors.Join(err, s.report(context.WithoutCancel(ctx), out, chosen))
}

// measureAll goes on where a program fails, and returns all that failed.
func (s *study) measureAll(ctx context.Context, chosen []size, steps int) error {
	s.results = results{}
	var errs []error
	for range rounds {
		for _, z := range chosen {
			for _, p := range programs {
				if !p.runs(s, z) {
					continue
				}
				err := s.measure(ctx, p, z, steps*z.more)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					errs = append(errs, fmt.Errorf("%s at %s: %w", p.name, z.name, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// report prints what was measured, be it all or what an interrupted study has.
func (s *study) report(ctx context.Context, out io.Writer, chosen []size) error {
	machine, err := s.machine(ctx)
	if err != nil {
		return err
	}
	products, err := s.products(ctx)
	if err != nil {
		return err
	}
	r := s.results
	_, err = fmt.Fprintf(out, "%s\n%s\n%s\n%s\n%s", machine, r.speeds(chosen), r.comparisons(chosen), r.memory(chosen), products)
	return err
}

// choose finds the sizes of a list of names.
func choose(names string) ([]size, error) {
	var chosen []size
	for name := range strings.SplitSeq(names, ",") {
		z, err := sizeNamed(name)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, z)
	}
	return chosen, nil
}

func sizeNamed(name string) (size, error) {
	for _, z := range sizes {
		if z.name == name {
			return z, nil
		}
	}
	return size{}, fmt.Errorf("there is no size %q: use tiny, small, base or large", name)
}

// build compiles the train command.
func (s *study) build(ctx context.Context) error {
	s.trainer = filepath.Join(s.dir, "train")
	if _, err := s.execute(ctx, "go", "build", "-o", s.trainer, "./cmd/train"); err != nil {
		return err
	}
	var err error
	s.self, err = os.Executable()
	return err
}

// prepare makes the tokenizers and token caches, which would count in the
// peak memory of the run that made them.
func (s *study) prepare(ctx context.Context, chosen []size) error {
	for _, z := range chosen {
		if _, err := trefoil("model.layers=1")(s, ctx, z, 1); err != nil {
			return fmt.Errorf("preparing %s: %w", z.name, err)
		}
	}
	return nil
}

// measure runs a program once, tells of it, and keeps what is better than
// before.
func (s *study) measure(ctx context.Context, p program, z size, steps int) error {
	m, err := p.measure(s, ctx, z, steps)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%-6s %-44s %8.0f tokens/s %6d MB\n", z.name, p.name, m.tokensPerSecond, m.peakMemory/1e6)
	s.results.keep(p.name, z.name, m)
	return nil
}

var errNoSpeed = errors.New("its output has no speed")

// number parses the first word of text after a mark.
func number(text, mark string) (float64, error) {
	_, rest, found := strings.Cut(text, mark)
	words := strings.Fields(rest)
	if !found || len(words) == 0 {
		return 0, fmt.Errorf("%w: %q", errNoSpeed, text)
	}
	return strconv.ParseFloat(words[0], 64)
}
