package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/schollz/progressbar/v3"

	"trefoil/config"
	"trefoil/data"
	"trefoil/internal/command"
	"trefoil/internal/progress"
	"trefoil/train"
)

// reporter writes what a run does: a line an evaluation to standard output,
// and on a terminal a progress bar below them.
type reporter struct {
	out     io.Writer
	dir     string
	columns int  // of the terminal that standard error is; 0 for none, or one too narrow for a bar
	float   bool // nothing is quantized
	begun   bool // the text has been read, and training begins
	table   table
	bar     *progressbar.ProgressBar
	first   int // step before the bar's
	stage   string
	seen    map[string]bool
}

// watch trains and reports.
func watch(ctx context.Context, stdout io.Writer, c config.Config, o train.Options) error {
	r := &reporter{out: stdout, dir: o.Dir, columns: command.Columns(os.Stderr), seen: map[string]bool{}}
	if r.columns < narrowest {
		r.columns = 0
	}
	o.Prepare, o.Ready, o.Step, o.Evaluated = r.prepare, r.ready, r.step, r.evaluated
	result, err := train.Run(ctx, c, o)
	r.endBar()
	switch {
	case errors.Is(err, train.ErrExists):
		return fmt.Errorf("%w: continue it with -resume %s, choose another folder with -out, or delete it", err, o.Dir)
	case errors.Is(err, context.Canceled) && !r.begun && o.Resume:
		fmt.Fprintf(stdout, "\nstopped before training went on, the run is as it was; continue with\n  go run ./cmd/train -resume %s\n", o.Dir)
		return err
	case errors.Is(err, context.Canceled) && !r.begun:
		fmt.Fprintln(stdout, "\nstopped before training began; no run was written")
		return err
	case errors.Is(err, context.Canceled) && saved(o.Dir):
		fmt.Fprintf(stdout, "\nstopped after step %d of %d, saved; continue with\n  go run ./cmd/train -resume %s\n", result.Step, c.Train.Steps, o.Dir)
		return err
	case errors.Is(err, syscall.ENOSPC) && (result.Step > 0 || o.Resume):
		return fmt.Errorf("%w: nothing up to the last checkpoint is lost: make room, and continue with -resume %s", err, o.Dir)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: make room there, or choose another folder with -out", err)
	case err != nil:
		return err
	}
	return r.summary(result)
}

// saved tells whether the folder of a run has a checkpoint to continue from.
func saved(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "checkpoints", "last.safetensors"))
	return err == nil
}

// A bar with its longest description and no details takes narrowest columns,
// one with details takes detailed.
const (
	narrowest = 40
	detailed  = 76
)

// newBar makes a bar that fits the terminal: a narrow one has no details. It
// appears when it knows its rate.
func (r *reporter) newBar(total int64, description string, details ...progressbar.Option) *progressbar.ProgressBar {
	options := []progressbar.Option{progressbar.OptionSetDescription(description), progressbar.OptionSetWriter(progress.Patient(os.Stderr)),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(r.columns >= detailed)}
	if r.columns >= detailed {
		options = append(options, details...)
	}
	bar := progressbar.NewOptions64(total, options...)
	bar.StartWithoutRender()
	return bar
}

// prepare shows how far reading and encoding the corpus is. Without a total
// there is no bar, but a line.
func (r *reporter) prepare(stage string, done, total int64) {
	if r.columns == 0 || total < 0 {
		if !r.seen[stage] {
			r.endBar()
			fmt.Fprintf(r.out, "%s ...\n", stages[stage])
			r.seen[stage] = true
		}
		return
	}
	if stage != r.stage {
		r.endBar()
		r.bar = r.newBar(total, stages[stage], progressbar.OptionShowBytes(stage != "merges"))
		r.stage = stage
	}
	r.bar.ChangeMax64(total)
	r.bar.Set64(done)
}

// stages are the stages of data.Open in words.
var stages = map[string]string{
	"index":      "reading the corpus",
	"vocabulary": "counting words",
	"merges":     "training the tokenizer",
	"encode":     "encoding",
}

func (r *reporter) endBar() {
	if r.bar != nil {
		r.bar.Clear()
		r.bar = nil
	}
}

func (r *reporter) ready(p train.Plan) {
	r.endBar()
	r.begun = true
	d, m, t, q := p.Data, p.Config.Model, p.Config.Train, p.Config.Quantization
	r.float = !q.Quantizes()
	for _, w := range d.Warnings {
		fmt.Fprintln(r.out, "note:", w)
	}
	if k := p.Config.Data.Tokenizer; k.Kind != data.BPE && k.Vocab != config.Default().Data.Tokenizer.Vocab {
		fmt.Fprintf(r.out, "note: data.tokenizer.vocab is not used: it is of the kind bpe, and data.tokenizer.kind is %s\n", k.Kind)
	}
	switch {
	case t.Warmup > t.Steps:
		fmt.Fprintf(r.out, "note: train.warmup %d is not shorter than train.steps %d: the learning rate never reaches its peak\n", t.Warmup, t.Steps)
	case t.Warmup == t.Steps:
		fmt.Fprintf(r.out, "note: train.warmup %d is not shorter than train.steps: the learning rate reaches its peak in the last step only\n", t.Warmup)
	}
	fmt.Fprintf(r.out, "%s: %s, %s of text; %s tokens to learn from, %s held out, vocabulary %d\n",
		p.Config.Data.Path, command.Count(d.Documents, "document"), size(d.Bytes), command.Group(d.Train.Len()), command.Group(d.Heldout.Len()), d.Tokenizer.Vocab())
	what := "all float32"
	switch mixed := command.Group(p.Mixed) + " by quantization.mixed"; {
	case p.Ternary > 0 && p.Mixed > 0:
		what = fmt.Sprintf("%s of them ternary, %s", command.Group(p.Ternary), mixed)
	case p.Mixed > 0:
		what = "of them " + mixed
	case p.Ternary > 0:
		what = fmt.Sprintf("%s of them ternary", command.Group(p.Ternary))
	}
	fmt.Fprintf(r.out, "model: %s parameters, %s; %s of width %d, context %d\n", command.Group(p.Parameters), what, command.Count(m.Layers, "layer"), m.Dim, m.Context)
	fmt.Fprintf(r.out, "run:   %s, %s of %s tokens by %s\n\n", r.dir, command.Count(t.Steps, "step"), command.Group(t.Batch*t.Accumulate*m.Context), t.Optimizer)
	switch {
	case p.Step >= t.Steps:
		fmt.Fprintf(r.out, "the run is finished already: %d of %s\n", p.Step, command.Count(t.Steps, "step"))
		return
	case p.Step > 0:
		fmt.Fprintf(r.out, "continuing after step %d\n", p.Step)
	}
	r.table = newTable(command.Columns(r.out), r.float)
	fmt.Fprintln(r.out, r.table.header())
	if r.columns > 0 {
		r.first = p.Step // a bar that began with the steps of earlier would count them into its rate
		what := "training"
		if r.first > 0 {
			what = fmt.Sprintf("after step %d", r.first)
		}
		r.bar = r.newBar(int64(t.Steps-r.first), what,
			progressbar.OptionShowIts(), progressbar.OptionShowCount(), progressbar.OptionSetItsString("steps"))
	}
}

func (r *reporter) step(step, steps int) {
	if r.bar != nil {
		r.bar.Set(step - r.first)
	}
}

func (r *reporter) evaluated(e train.Record) {
	if r.bar != nil {
		r.bar.Clear()
	}
	fmt.Fprintln(r.out, r.table.row(e))
	switch {
	case r.bar == nil:
	case e.Step > r.first:
		r.bar.RenderBlank()
	default: // the rate of steps begins here, and is not known yet
		r.bar.Reset()
	}
}

func (r *reporter) summary(s train.Result) error {
	format := "fully quantized"
	if r.float {
		format = "float32"
	}
	fmt.Fprintf(r.out, "\nbest: step %d, held-out loss %.4f, perplexity %s, %s\n",
		s.BestStep, s.BestLoss, strings.TrimSpace(fixed(math.Exp(s.BestLoss), 10, 2)), format)
	if s.TokensPerSecond > 0 {
		fmt.Fprintf(r.out, "speed: %.0f tokens/s, evaluations left out; peak memory %s\n", s.TokensPerSecond, size(train.PeakRSS()))
	}
	sample, err := os.ReadFile(filepath.Join(r.dir, "sample.txt"))
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "\na sample:\n%s\n\n", indent(printable(string(sample))))
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	for _, f := range []struct{ name, what string }{
		{"curves.png", "loss, accuracy, learning rate and lambda (also .svg)"},
		{"metrics.jsonl", "the same as numbers"},
		{"checkpoints", "best.safetensors and last.safetensors"},
		{"sample.txt", "the sample above"},
	} {
		fmt.Fprintf(w, "%s\t%s\n", filepath.Join(r.dir, f.name), f.what)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(r.out, "\nnext: go run ./cmd/export %s\n", r.dir)
	return nil
}
