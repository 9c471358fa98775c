package main

import (
	"fmt"
	"math"
	"strings"

	"trefoil/internal/kernel"
)

// results are the measurements by program and size.
type results map[[2]string]measurement

// keep takes the better speed and the larger memory of two rounds.
func (r results) keep(program, size string, m measurement) {
	before := r[[2]string{program, size}]
	r[[2]string{program, size}] = measurement{
		max(before.tokensPerSecond, m.tokensPerSecond),
		max(before.peakMemory, m.peakMemory),
	}
}

// speed is NaN for what was not measured; so is memory.
func (r results) speed(program, size string) float64 {
	return orNaN(r[[2]string{program, size}].tokensPerSecond)
}

func (r results) peak(program, size string) float64 {
	return orNaN(float64(r[[2]string{program, size}].peakMemory))
}

func orNaN(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}

// comparison is a quotient with a target.
type comparison struct {
	what       string
	vnni, avx2 float64 // targets at the kernel levels; NaN for none
	atMost     bool
	from       string // the smallest size that the target is for; "" for all
	quotient   func(r results, size string) float64
}

var none = math.NaN()

var comparisons = []comparison{
	{"b1.58 : the fastest float32 PyTorch of b1.58", 2.5, 1.7, false, "", func(r results, z string) float64 {
		return r.speed(ternary, z) / larger(r.speed(torchTernary, z), r.speed(torchTernaryEager, z))
	}},
	{"b1.58 : PyTorch of b1.58 in bf16 autocast", 1, none, false, "", speeds(ternary, torchTernaryBF16)},
	{"float32 : compiled PyTorch of float32", 1.5, 1, false, "", speeds(twin, torchFloat)},
	{"b1.58 : float32", 1.5, 1.4, false, "small", speeds(ternary, twin)},
	{"b1.58 : Gorgonia's own operations", 10, 10, false, "", speeds(ternary, builtInOps)},
	{"time of a step with Muon : with AdamW", 1.15, 1.15, true, "small", speeds(ternary, ternaryMuon)},
	{"peak memory of b1.58 : of eager PyTorch", 1, 1, true, "", memories(ternary, torchTernaryEager)},
	{"peak memory of float32 : of eager PyTorch", 1, 1, true, "", memories(twin, torchFloatEager)},
}

func speeds(a, b string) func(results, string) float64 {
	return func(r results, z string) float64 { return r.speed(a, z) / r.speed(b, z) }
}

func memories(a, b string) func(results, string) float64 {
	return func(r results, z string) float64 { return r.peak(a, z) / r.peak(b, z) }
}

// larger is the larger one of the numbers that are some.
func larger(a, b float64) float64 {
	if a > b || math.IsNaN(b) {
		return a
	}
	return b
}

// target of the comparison at the level that kernels run at.
func (c comparison) target() float64 {
	if kernel.Active() == kernel.VNNI {
		return c.vnni
	}
	return c.avx2
}

// cell writes the quotient at a size, bold where it meets its target.
func (c comparison) cell(r results, size string) string {
	q := c.quotient(r, size)
	reached := q >= c.target()
	if c.atMost {
		reached = q <= c.target()
	}
	switch {
	case math.IsNaN(q):
		return "-"
	case reached && (c.from == "" || size != "tiny"):
		return fmt.Sprintf("**%.2f**", q)
	}
	return fmt.Sprintf("%.2f", q)
}

func (c comparison) aim() string {
	if math.IsNaN(c.target()) {
		return "-"
	}
	words := "at least"
	if c.atMost {
		words = "at most"
	}
	aim := fmt.Sprintf("%s %.4g", words, c.target())
	if c.from != "" {
		aim += " from " + c.from + " up"
	}
	return aim
}

func (r results) comparisons(sizes []size) string {
	t := newTable(append([]string{"quotient (bold: target met)", "target"}, namesOf(sizes)...)...)
	for _, c := range comparisons {
		row := []string{c.what, c.aim()}
		for _, z := range sizes {
			row = append(row, c.cell(r, z.name))
		}
		t.row(row...)
	}
	return t.String()
}

func (r results) speeds(sizes []size) string {
	return r.table("training, tokens/s", sizes, func(program, size string) float64 { return r.speed(program, size) })
}

func (r results) memory(sizes []size) string {
	return r.table("peak memory, MB", sizes, func(program, size string) float64 { return r.peak(program, size) / 1e6 })
}

// table has a row for each program that was measured.
func (r results) table(what string, sizes []size, value func(program, size string) float64) string {
	t := newTable(append([]string{what}, namesOf(sizes)...)...)
	for _, name := range []string{
		ternary, ternaryMuon, twin,
		torchTernaryEager, torchTernary, torchTernaryBF16, torchFloatEager, torchFloat, builtInOps,
	} {
		row, measured := []string{name}, false
		for _, z := range sizes {
			cell := "-"
			if v := value(name, z.name); !math.IsNaN(v) {
				cell, measured = fmt.Sprintf("%.0f", v), true
			}
			row = append(row, cell)
		}
		if measured {
			t.row(row...)
		}
	}
	return t.String()
}

func namesOf(sizes []size) []string {
	var names []string
	for _, z := range sizes {
		names = append(names, z.name)
	}
	return names
}

// table is one in Markdown.
type table struct{ strings.Builder }

func newTable(head ...string) *table {
	t := new(table)
	t.row(head...)
	t.WriteString("|---" + strings.Repeat("|---:", len(head)-1) + "|\n")
	return t
}

func (t *table) row(cells ...string) {
	fmt.Fprintf(t, "| %s |\n", strings.Join(cells, " | "))
}
