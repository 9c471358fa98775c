package main

import (
	"fmt"
	"math"
	"strings"

	"trefoil/train"
)

// A table writes evaluations in columns, as many as a terminal has room for.
type table struct {
	columns []column
	gap     string // between columns
	wide    bool   // a line has room for one more number at its end
}

// A column of the table. Of columns that do not all fit, those of the highest
// rank go first.
type column struct {
	title string
	width int
	rank  int
	cell  func(e train.Record, width int) string
}

// remark is what a line says at its end, while a network is on its way to
// quantization: the loss that it has at the end of the way.
const remark = "  (fully quantized: %.4f)"

// newTable makes a table for a terminal of so many columns; 0 for a file,
// whose lines can have any length. In a float32 run lambda says nothing.
func newTable(columns int, float bool) table {
	t := table{gap: "  ", wide: true, columns: []column{
		{"step", 7, 0, func(e train.Record, w int) string { return fmt.Sprintf("%*d", w, e.Step) }},
		{"train", 5, 2, func(e train.Record, w int) string { return optional(e.TrainLoss, w, 3) }},
		{"held-out", 8, 0, func(e train.Record, w int) string { return fixed(*e.ValLoss, w, 4) }},
		{"perplexity", 10, 6, func(e train.Record, w int) string { return fixed(math.Exp(*e.ValLoss), w, 2) }},
		{"accuracy", 8, 1, func(e train.Record, w int) string { return fmt.Sprintf("%*.1f%%", w-1, 100**e.ValAccuracy) }},
		{"bits/byte", 9, 3, func(e train.Record, w int) string { return optional(e.BitsPerByte, w, 3) }},
		{"lr", 8, 5, func(e train.Record, w int) string { return fmt.Sprintf("%*.2e", w, e.LR) }},
		{"lambda", 6, 4, func(e train.Record, w int) string {
			if float {
				return fmt.Sprintf("%*s", w, "-")
			}
			return fmt.Sprintf("%*.2f", w, e.Lambda)
		}},
		{"tokens/s", 8, 7, func(e train.Record, w int) string { return optional(e.TokensPerSecond, w, 0) }},
	}}
	if columns == 0 {
		return t
	}
	t.wide = columns >= t.width()+len(fmt.Sprintf(remark, 10.5))
	if columns < t.width() {
		t.gap = " "
	}
	for columns < t.width() && len(t.columns) > 2 {
		t.drop()
	}
	return t
}

func (t *table) width() int {
	width := len(t.gap) * (len(t.columns) - 1)
	for _, c := range t.columns {
		width += c.width
	}
	return width
}

// drop takes away the column of the highest rank.
func (t *table) drop() {
	last := 0
	for i, c := range t.columns {
		if c.rank > t.columns[last].rank {
			last = i
		}
	}
	t.columns = append(t.columns[:last], t.columns[last+1:]...)
}

// header returns the titles.
func (t *table) header() string {
	return t.line(func(c column) string { return fmt.Sprintf("%*s", c.width, c.title) })
}

// row returns the line of an evaluation. Where a line has no room for the loss
// of the network fully quantized, it is below the other, on a line of its own.
func (t *table) row(e train.Record) string {
	line := t.line(func(c column) string { return c.cell(e, c.width) })
	switch {
	case e.ValLossQuantized == nil:
		return line
	case t.wide:
		return line + fmt.Sprintf(remark, *e.ValLossQuantized)
	}
	below := 0
	for _, c := range t.columns {
		if below += c.width; c.title == "held-out" {
			break
		}
		below += len(t.gap)
	}
	return line + "\n" + fixed(*e.ValLossQuantized, below, 4) + " fully quantized"
}

func (t *table) line(cell func(c column) string) string {
	var cells []string
	for _, c := range t.columns {
		cells = append(cells, cell(c))
	}
	return strings.Join(cells, t.gap)
}
