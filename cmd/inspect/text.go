package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"trefoil/internal/command"
)

// printText prints the content for people. With zeros each tensor's line
// appears when the tensor has been read.
func printText(ctx context.Context, w io.Writer, c *content) error {
	p := &printer{w: w}
	p.line("%s: %s, %s bytes, %s tensors", c.Path, c.Format, command.Group(int(c.Bytes)), command.Group(len(c.Tensors)))
	if len(c.Keys) > 0 {
		p.line("")
		p.keys(c.Keys)
	}
	if len(c.Tensors) > 0 {
		p.line("")
		if err := p.tensors(ctx, c); err != nil {
			return err
		}
		p.line("")
		p.types(c.Tensors)
	}
	return p.err
}

// A printer prints lines and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
}

func (p *printer) keys(keys []key) {
	rows := make([][]string, len(keys))
	for i, k := range keys {
		typ := k.Type
		if k.Count != nil {
			typ = fmt.Sprintf("%s[%s]", k.Type, command.Group(*k.Count))
		}
		rows[i] = []string{k.Name, typ}
	}
	widths := widthsOf(rows)
	for i, k := range keys {
		p.line("%s  %s", pad(rows[i], widths, len(widths)), show(k))
	}
}

// Longest value and element of an array in a line, in characters.
const (
	valueWidth   = 80
	elementWidth = 16
)

// show writes a value, or the first elements of an array, on one line.
func show(k key) string {
	list, ok := k.Value.([]any)
	if !ok {
		return quote(k.Value, valueWidth)
	}
	var shown []string
	for _, v := range list {
		shown = append(shown, quote(v, elementWidth))
	}
	if k.Count != nil && *k.Count > len(list) {
		shown = append(shown, "...")
	}
	return strings.Join(shown, " ")
}

// quote writes a value in at most about width characters; a string in quotes.
func quote(v any, width int) string {
	switch v := v.(type) {
	case string:
		short := v
		for i := range v {
			if utf8.RuneCountInString(v[:i]) == width {
				short = v[:i]
				break
			}
		}
		quoted := strconv.Quote(short)
		if strings.Contains(short, `"`) && strconv.CanBackquote(short) {
			quoted = "`" + short + "`"
		}
		if short == v {
			return quoted
		}
		return fmt.Sprintf("%s... (%s bytes)", quoted, command.Group(len(v)))
	case json.RawMessage:
		if line := []rune(string(v)); len(line) > width {
			return fmt.Sprintf("%s... (%s bytes)", string(line[:width]), command.Group(len(v)))
		}
		return string(v)
	case []any:
		return fmt.Sprintf("[%d elements]", len(v))
	}
	return fmt.Sprint(v)
}

// tensors prints a line for each tensor.
func (p *printer) tensors(ctx context.Context, c *content) error {
	head := []string{"tensor", "type", "shape", "elements", "bytes", "at byte"}
	rows := [][]string{head}
	for _, t := range c.Tensors {
		rows = append(rows, []string{
			t.Name, t.Type, shapeOf(t.Shape), command.Group(t.elements()), command.Group(int(t.Bytes)), command.Group(int(t.Offset)),
		})
	}
	widths := widthsOf(rows)
	zeros := ""
	if c.zeros != nil {
		zeros = "  zeros"
	}
	p.line("%s%s", pad(head, widths, textColumns), zeros)
	for i := range c.Tensors {
		t := &c.Tensors[i]
		if err := c.countZeros(ctx, t); err != nil {
			return err
		}
		switch {
		case t.Zeros != nil:
			zeros = fmt.Sprintf("  %5.1f%%", 100**t.Zeros)
		case c.zeros != nil:
			zeros = "       -"
		}
		p.line("%s%s  %s", pad(rows[i+1], widths, textColumns), zeros, t.Note)
	}
	return nil
}

// textColumns is how many columns of the tensors' table begin at the left.
const textColumns = 3

func shapeOf(shape []int) string {
	if len(shape) == 0 {
		return "scalar"
	}
	var dims []string
	for _, d := range shape {
		dims = append(dims, strconv.Itoa(d))
	}
	return strings.Join(dims, " x ")
}

// types prints a line for each type, the one with most bytes first.
func (p *printer) types(tensors []tensor) {
	type total struct {
		name                     string
		tensors, elements, bytes int
	}
	totals := map[string]*total{}
	all := &total{name: "all"}
	for _, t := range tensors {
		one := totals[t.Type]
		if one == nil {
			one = &total{name: t.Type}
			totals[t.Type] = one
		}
		for _, sum := range []*total{one, all} {
			sum.tensors, sum.elements, sum.bytes = sum.tensors+1, sum.elements+t.elements(), sum.bytes+int(t.Bytes)
		}
	}
	var list []*total
	for _, one := range totals {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b *total) int { return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.name, b.name)) })
	rows := [][]string{{"type", "tensors", "elements", "bytes", "bits/element"}}
	for _, t := range append(list, all) {
		rows = append(rows, []string{
			t.name, command.Group(t.tensors), command.Group(t.elements), command.Group(t.bytes),
			fmt.Sprintf("%.3f", 8*float64(t.bytes)/float64(max(1, t.elements))),
		})
	}
	widths := widthsOf(rows)
	for _, row := range rows {
		p.line("%s", pad(row, widths, 1))
	}
}

func widthsOf(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// pad joins cells, the first left ones filled up behind them, the others
// before them.
func pad(row []string, widths []int, left int) string {
	var out strings.Builder
	for i, cell := range row {
		space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i > 0 {
			out.WriteString("  ")
		}
		if i < left {
			out.WriteString(cell + space)
		} else {
			out.WriteString(space + cell)
		}
	}
	return out.String()
}
