package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"trefoil/train"
)

func TestTableFitsTheTerminal(t *testing.T) {
	e := train.Record{Step: 1200, TrainLoss: new(3.25), ValLoss: new(3.5), ValAccuracy: new(0.125), BitsPerByte: new(2.25),
		LR: 1e-3, Lambda: 0.5, TokensPerSecond: new(12345.6), ValLossQuantized: new(4.75)}
	for _, c := range []struct {
		columns int
		header  string
		row     string
	}{
		{0, "   step  train  held-out  perplexity  accuracy  bits/byte        lr  lambda  tokens/s",
			"   1200  3.250    3.5000       33.12     12.5%      2.250  1.00e-03    0.50     12346  (fully quantized: 4.7500)"},
		{80, "   step train held-out perplexity accuracy bits/byte       lr lambda tokens/s",
			"   1200 3.250   3.5000      33.12    12.5%     2.250 1.00e-03   0.50    12346\n                4.7500 fully quantized"},
		{60, "   step train held-out accuracy bits/byte       lr lambda",
			"   1200 3.250   3.5000    12.5%     2.250 1.00e-03   0.50\n                4.7500 fully quantized"},
		{32, "   step train held-out accuracy", "   1200 3.250   3.5000    12.5%\n                4.7500 fully quantized"},
		{10, "   step held-out", "   1200   3.5000\n          4.7500 fully quantized"},
	} {
		table := newTable(c.columns, false)
		if header := table.header(); header != c.header {
			t.Errorf("%d columns: header %q", c.columns, header)
		}
		if row := table.row(e); row != c.row {
			t.Errorf("%d columns: row %q", c.columns, row)
		}
	}
	for columns := 32; columns < 150; columns++ {
		table := newTable(columns, true)
		for line := range strings.Lines(table.header() + "\n" + table.row(train.Record{ValLoss: new(1e9), ValAccuracy: new(1.0), BitsPerByte: new(1e9), LR: 1})) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("%d columns: a line of %d: %q", columns, n, line)
			}
		}
	}
}

func TestPrintable(t *testing.T) {
	if got, want := printable("a\tb\n\x1b[2J\xff\x00ü日"), "a\tb\n�[2J��ü日"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
