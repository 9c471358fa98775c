package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"trefoil/arch"
	"trefoil/export"
	"trefoil/internal/command"
	"trefoil/quant/packed"
)

// literatureSize is what publications on ternary networks give as the size of
// a million weights, in MB: 3 bits a weight.
const literatureSize = 0.375

// write prints the report.
func write(w io.Writer, r *export.Report) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, step %s\n\n", r.Checkpoint, command.Group(r.Step))
	writeLayers(&b, r)
	b.WriteByte('\n')
	writeTotals(&b, r)
	b.WriteByte('\n')
	if r.HeldoutTokens > 0 {
		writeLosses(&b, r)
	}
	fmt.Fprintf(&b, "\n%s\n", r.Path)
	_, err := w.Write(b.Bytes())
	return err
}

// writeNext prints the command that comes after the export.
func writeNext(w io.Writer, path, prompt string) error {
	_, err := fmt.Fprintf(w, "next: go run ./cmd/generate %s -prompt %q\n", filepath.ToSlash(path), prompt)
	return err
}

// A table is rows of cells: the first column and the last (remarks) begin at
// the left, the others end at the right.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

func (t table) write(w io.Writer) {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t {
		line := ""
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch i {
			case 0, len(t[0]): // a remark has no heading
				line += cell + space + "  "
			default:
				line += space + cell + "  "
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// writeLayers prints a row for each matrix, and one for all norms.
func writeLayers(w io.Writer, r *export.Report) {
	t := table{{"layer", "shape", "type", "bits/weight", "zeros", "scale", "input up to", "bytes"}}
	norms, bytes := 0, 0
	for _, l := range r.Layers {
		if l.Kind == arch.Norm {
			norms, bytes = norms+1, bytes+l.Bytes
			continue
		}
		zeros, scale, input := "-", "-", "-"
		if l.Scales > 0 {
			zeros, scale = fmt.Sprintf("%.1f%%", 100*l.Zeros), fmt.Sprintf("%.5f", l.Scale)
		}
		if l.Scales > 1 {
			scale = command.Group(l.Scales) + " of them"
		}
		if l.Activation != nil && l.Activation.AbsMax > 0 {
			input = fmt.Sprintf("%.2f", l.Activation.AbsMax)
		}
		t.row(l.Name, fmt.Sprintf("%d x %d", l.Shape[0], l.Shape[1]), string(l.Type),
			fmt.Sprintf("%.2f", l.BitsPerWeight()), zeros, scale, input, command.Group(l.Bytes))
	}
	t.row(fmt.Sprintf("%d norms", norms), "", string(r.Float), fmt.Sprintf("%d.00", 8*r.Float.Bytes(1)), "-", "-", "-", command.Group(bytes))
	t.write(w)
}

// A total adds layers up.
type total struct{ weights, bytes, half int }

func (t *total) add(l export.Layer) {
	t.weights += l.Weights
	t.bytes += l.Bytes
	t.half += min(l.Bytes, packed.Float16.Bytes(l.Weights)) // with -float float16
}

func (t total) row(to *table, name, remark string) {
	if t.weights == 0 {
		return
	}
	full := packed.Float32.Bytes(t.weights)
	to.row(name, command.Group(t.weights), megabytes(full), megabytes(t.bytes), fmt.Sprintf("%.1fx", float64(full)/float64(t.bytes)), remark)
}

// writeTotals compares the file with float32.
func writeTotals(w io.Writer, r *export.Report) {
	var ternary, mixed, embedding, float, all total
	for _, l := range r.Layers {
		all.add(l)
		switch {
		case l.Type == packed.Ternary:
			ternary.add(l)
		case l.Scales > 0:
			mixed.add(l)
		case l.Kind == arch.Embedding:
			embedding.add(l)
		default:
			float.add(l)
		}
	}
	rest := int(r.FileBytes) - all.bytes
	t := table{{"", "weights", "float32", "this file", "smaller"}}
	ternary.row(&t, "ternary layers", fmt.Sprintf("%.3f MB per million weights (literature: %.3f)",
		float64(ternary.bytes)/float64(max(1, ternary.weights)), literatureSize))
	mixed.row(&t, "layers by quantization.mixed", fmt.Sprintf("%.2f bits a weight", 8*float64(mixed.bytes)/float64(max(1, mixed.weights))))
	share := fmt.Sprintf("%.0f%% of the file", 100*float64(embedding.bytes)/float64(r.FileBytes))
	if hasHead(r.Layers) {
		embedding.row(&t, "embedding, head", share)
	} else {
		embedding.row(&t, "embedding", "is the head too; "+share)
	}
	float.row(&t, "other layers", "")
	all.row(&t, "all layers", "")
	t.row("tokenizer, index", "", "", megabytes(rest))
	t.row("file", "", "", megabytes(int(r.FileBytes)))
	if r.Float == packed.Float32 {
		t.row("with -float float16", "", "", megabytes(all.half+rest))
	}
	t.write(w)
	if ternary.weights > 0 {
		fmt.Fprintf(w, "literature: %.3f MB are 3 bits a weight, the usual packing of published ternary models\n", literatureSize)
	}
}

// hasHead reports whether the model has a head beside the embedding.
func hasHead(layers []export.Layer) bool {
	return slices.ContainsFunc(layers, func(l export.Layer) bool { return l.Name == arch.HeadName })
}

// writeLosses prints the held-out loss in every way to compute it.
func writeLosses(w io.Writer, r *export.Report) {
	t := table{{fmt.Sprintf("held-out, %s tokens", command.Group(r.HeldoutTokens)), "loss", "perplexity", "against the graph"}}
	row := func(name string, loss float64) {
		difference := "-"
		switch {
		case loss == r.GraphLoss:
			difference = "equal"
		case r.GraphLoss > 0:
			difference = fmt.Sprintf("%+.5f", loss-r.GraphLoss)
		}
		t.row(name, fmt.Sprintf("%.5f", loss), fmt.Sprintf("%.3f", math.Exp(loss)), difference)
	}
	if r.GraphLoss > 0 {
		t.row("training graph", fmt.Sprintf("%.5f", r.GraphLoss), fmt.Sprintf("%.3f", math.Exp(r.GraphLoss)))
	}
	if r.StaticAbsMaxLoss == nil {
		row("this file", r.DynamicLoss)
	} else {
		row("this file, a scale for each token", r.DynamicLoss)
		row("static scales, the largest input", *r.StaticAbsMaxLoss)
		row(fmt.Sprintf("static scales, %g%% of inputs", r.Percentile), *r.StaticPercentileLoss)
	}
	t.write(w)
}

func megabytes(n int) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }
