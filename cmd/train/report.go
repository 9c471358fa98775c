package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"trefoil/config"
	"trefoil/internal/command"
	"trefoil/train"
)

// reporter writes what a run does: a line an evaluation to standard output,
// and on a terminal a progress bar below them.
type reporter struct {
	out      io.Writer
	dir      string
	terminal bool
	bar      *progressbar.ProgressBar
	stage    string
	seen     map[string]bool
}

// watch trains and reports.
func watch(ctx context.Context, stdout io.Writer, c config.Config, o train.Options) error {
	r := &reporter{out: stdout, dir: o.Dir, terminal: term.IsTerminal(int(os.Stderr.Fd())), seen: map[string]bool{}}
	o.Prepare, o.Ready, o.Step, o.Evaluated = r.prepare, r.ready, r.step, r.evaluated
	result, err := train.Run(ctx, c, o)
	r.endBar()
	switch {
	case errors.Is(err, train.ErrExists):
		return fmt.Errorf("%w: continue it with -resume %s, choose another folder with -out, or delete it", err, o.Dir)
	case errors.Is(err, context.Canceled) && result.Step > 0:
		fmt.Fprintf(stdout, "\nstopped after step %d of %d, saved; continue with\n  go run ./cmd/train -resume %s\n", result.Step, c.Train.Steps, o.Dir)
		return err
	case err != nil:
		return err
	}
	return r.summary(result)
}

// prepare shows how far reading and encoding the corpus is.
func (r *reporter) prepare(stage string, done, total int64) {
	if !r.terminal {
		if !r.seen[stage] {
			fmt.Fprintf(r.out, "%s ...\n", stages[stage])
			r.seen[stage] = true
		}
		return
	}
	if stage != r.stage {
		r.endBar()
		r.bar = progressbar.NewOptions64(total, progressbar.OptionSetDescription(stages[stage]),
			progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowBytes(stage != "merges"), progressbar.OptionClearOnFinish())
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
	d := p.Data
	for _, w := range d.Warnings {
		fmt.Fprintln(r.out, "note:", w)
	}
	fmt.Fprintf(r.out, "%s: %s documents, %s of text; %s tokens to learn from, %s held out, vocabulary %d\n",
		p.Config.Data.Path, command.Group(d.Documents), size(d.Bytes), command.Group(d.Train.Len()), command.Group(d.Heldout.Len()), d.Tokenizer.Vocab())
	what := "all float32"
	if p.Ternary > 0 {
		what = fmt.Sprintf("%s of them ternary", command.Group(p.Ternary))
	}
	m, t := p.Config.Model, p.Config.Train
	fmt.Fprintf(r.out, "model: %s parameters, %s; %d layers of width %d, context %d\n", command.Group(p.Parameters), what, m.Layers, m.Dim, m.Context)
	fmt.Fprintf(r.out, "run:   %s, %d steps of %s tokens by %s\n\n", r.dir, t.Steps, command.Group(t.Batch*t.Accumulate*m.Context), t.Optimizer)
	if p.Step > 0 {
		fmt.Fprintf(r.out, "continuing after step %d\n", p.Step)
	}
	fmt.Fprintln(r.out, "   step  train  held-out  perplexity  accuracy  bits/byte        lr  lambda  tokens/s")
	if r.terminal {
		r.bar = progressbar.NewOptions(t.Steps, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription("training"),
			progressbar.OptionShowIts(), progressbar.OptionShowCount(), progressbar.OptionSetItsString("steps"),
			progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
		r.bar.Set(p.Step)
	}
}

func (r *reporter) step(step, steps int) {
	if r.bar != nil {
		r.bar.Set(step)
	}
}

func (r *reporter) evaluated(e train.Record) {
	if r.bar != nil {
		r.bar.Clear()
	}
	quantized := ""
	if e.ValLossQuantized != nil {
		quantized = fmt.Sprintf("  (fully quantized: %.4f)", *e.ValLossQuantized)
	}
	fmt.Fprintf(r.out, "%7d  %s  %8.4f  %10.2f  %7.1f%%  %9.3f  %.2e  %6.2f  %s%s\n", e.Step, optional("%.3f", e.TrainLoss, 5),
		*e.ValLoss, math.Exp(*e.ValLoss), 100**e.ValAccuracy, *e.BitsPerByte, e.LR, e.Lambda, optional("%.0f", e.TokensPerSecond, 8), quantized)
	if r.bar != nil {
		r.bar.RenderBlank()
	}
}

func optional(format string, v *float64, width int) string {
	if v == nil {
		return fmt.Sprintf("%*s", width, "-")
	}
	return fmt.Sprintf("%*s", width, fmt.Sprintf(format, *v))
}

func (r *reporter) summary(s train.Result) error {
	fmt.Fprintf(r.out, "\nbest: step %d, held-out loss %.4f, perplexity %.2f, fully quantized\nspeed: %.0f tokens/s, evaluations left out; peak memory %s\n",
		s.BestStep, s.BestLoss, math.Exp(s.BestLoss), s.TokensPerSecond, size(train.PeakRSS()))
	sample, err := os.ReadFile(filepath.Join(r.dir, "sample.txt"))
	if err != nil {
		return err
	}
	fmt.Fprintf(r.out, "\na sample:\n%s\n\n", indent(string(sample)))
	for _, f := range []struct{ name, what string }{
		{"curves.png", "loss, accuracy, learning rate and lambda (also .svg)"},
		{"metrics.jsonl", "the same as numbers"},
		{"checkpoints", "best.safetensors and last.safetensors"},
		{"sample.txt", "the sample above"},
	} {
		fmt.Fprintf(r.out, "%-30s %s\n", filepath.Join(r.dir, f.name), f.what)
	}
	fmt.Fprintf(r.out, "\nnext: go run ./cmd/export %s\n", r.dir)
	return nil
}
