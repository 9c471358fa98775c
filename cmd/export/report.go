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

// write prints the report for a terminal of so many columns; 0 for a file,
// whose lines can have any length.
func write(w io.Writer, r *export.Report, columns int) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, step %s\n\n", r.Checkpoint, command.Group(r.Step))
	writeLayers(&b, r, columns)
	b.WriteByte('\n')
	writeTotals(&b, r, columns)
	b.WriteByte('\n')
	if r.HeldoutTokens > 0 {
		writeLosses(&b, r, columns)
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

// A table is rows of cells under headings: the first column begins at the left,
// the others end at the right.
type table struct {
	rows [][]string
	// expendable lists the columns, by their headings, that a narrow terminal
	// does without, the first one first.
	expendable []string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the columns for which there is room; 0 columns of text is room
// for all.
func (t *table) write(w io.Writer, columns int) {
	widths := make([]int, len(t.rows[0]))
	total := -len(between)
	for i := range widths {
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i] + len(between)
	}
	left := map[int]bool{}
	for _, heading := range t.expendable {
		if columns > 0 && total > columns {
			i := slices.Index(t.rows[0], heading)
			left[i] = true
			total -= widths[i] + len(between)
		}
	}
	for _, row := range t.rows {
		var cells []string
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case left[i]:
			case i == 0:
				cells = append(cells, cell+space)
			default:
				cells = append(cells, space+cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, between), " "))
	}
}

const between = "  " // columns

// writeLayers prints a row for each matrix, and one for all norms.
func writeLayers(w io.Writer, r *export.Report, columns int) {
	t := table{expendable: []string{"input up to", "zeros", "scale", "shape", "type"}}
	t.row("layer", "shape", "type", "bits/weight", "zeros", "scale", "input up to", "bytes")
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
	t.write(w, columns)
}

// A total adds layers up.
type total struct{ weights, bytes, half int }

func (t *total) add(l export.Layer) {
	t.weights += l.Weights
	t.bytes += l.Bytes
	t.half += min(l.Bytes, packed.Float16.Bytes(l.Weights)) // with -float float16
}

func (t total) row(to *table, name string) {
	if t.weights == 0 {
		return
	}
	full := packed.Float32.Bytes(t.weights)
	to.row(name, command.Group(t.weights), size(full), size(t.bytes), fmt.Sprintf("%.1fx", float64(full)/float64(t.bytes)))
}

// writeTotals compares the file with float32.
func writeTotals(w io.Writer, r *export.Report, columns int) {
	var ternary, mixed, embedding, linear, norms, all total
	for _, l := range r.Layers {
		all.add(l)
		switch {
		case l.Type == packed.Ternary:
			ternary.add(l)
		case l.Scales > 0:
			mixed.add(l)
		case l.Kind == arch.Embedding:
			embedding.add(l)
		case l.Kind == arch.Linear:
			linear.add(l)
		default:
			norms.add(l)
		}
	}
	rest := int(r.FileBytes) - all.bytes
	first := "embedding, the head too"
	if hasHead(r.Layers) {
		first = "embedding, head"
	}
	t := table{expendable: []string{"float32", "weights"}}
	t.row("", "weights", "float32", "this file", "smaller")
	ternary.row(&t, "ternary layers")
	mixed.row(&t, "layers by quantization.mixed")
	linear.row(&t, "linear layers")
	embedding.row(&t, first)
	norms.row(&t, "norms")
	all.row(&t, "all layers")
	t.row("tokenizer, index", "", "", size(rest), "")
	t.row("file", "", "", size(int(r.FileBytes)), "")
	if r.Float == packed.Float32 {
		t.row("with -float float16", "", "", size(all.half+rest), "")
	}
	t.write(w, columns)
	if ternary.weights > 0 {
		fmt.Fprintf(w, "\nternary layers: %.3f MB per million weights\n", float64(ternary.bytes)/float64(ternary.weights))
		fmt.Fprintf(w, "in the literature: %.3f MB, at the usual 3 bits a weight\n", literatureSize)
	}
	if mixed.weights > 0 {
		fmt.Fprintf(w, "layers by quantization.mixed: %.2f bits a weight\n", 8*float64(mixed.bytes)/float64(mixed.weights))
	}
	fmt.Fprintf(w, "%s: %.0f%% of the file\n", first, 100*float64(embedding.bytes)/float64(r.FileBytes))
}

// hasHead reports whether the model has a head beside the embedding.
func hasHead(layers []export.Layer) bool {
	return slices.ContainsFunc(layers, func(l export.Layer) bool { return l.Name == arch.HeadName })
}

// writeLosses prints the held-out loss in every way to compute it.
func writeLosses(w io.Writer, r *export.Report, columns int) {
	t := table{expendable: []string{"perplexity", "against the graph"}}
	t.row(fmt.Sprintf("held-out, %s tokens", command.Group(r.HeldoutTokens)), "loss", "perplexity", "against the graph")
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
		t.row("training graph", fmt.Sprintf("%.5f", r.GraphLoss), fmt.Sprintf("%.3f", math.Exp(r.GraphLoss)), "")
	}
	if r.StaticAbsMaxLoss == nil {
		row("this file", r.DynamicLoss)
	} else {
		row("this file, a scale for each token", r.DynamicLoss)
		row("static scales, the largest input", *r.StaticAbsMaxLoss)
		row(fmt.Sprintf("static scales, %g%% of inputs", r.Percentile), *r.StaticPercentileLoss)
	}
	t.write(w, columns)
}

// size writes a number of bytes.
func size(n int) string {
	if n < 1e6 {
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.2f MB", float64(n)/1e6)
}
