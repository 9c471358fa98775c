package main

import (
	"strings"
	"testing"

	"trefoil/internal/kernel"
)

func TestTables(t *testing.T) {
	r := results{}
	r.keep(ternary, "tiny", measurement{300, 4e6})
	r.keep(ternary, "tiny", measurement{200, 5e6}) // a disturbed round
	r.keep(torchTernary, "tiny", measurement{40, 9e6})
	r.keep(torchTernaryEager, "tiny", measurement{100, 10e6})
	r.keep(builtInOps, "tiny", measurement{60, 1e6})
	r.keep(twin, "tiny", measurement{100, 1e6})

	if c := comparisons[0]; c.vnni != 2.5 || c.cell(r, "tiny") != "**3.00**" {
		t.Errorf("%s: %s, want the fastest PyTorch and the faster round", c.what, c.cell(r, "tiny"))
	}
	for what, want := range map[string]string{
		"b1.58 : Gorgonia's own operations":       "5.00", // short of 10
		"b1.58 : float32":                         "3.00", // no target at tiny
		"peak memory of b1.58 : of eager PyTorch": "**0.50**",
		"float32 : compiled PyTorch of float32":   "-",
	} {
		for _, c := range comparisons {
			if c.what == what && c.cell(r, "tiny") != want {
				t.Errorf("%s: %s, want %s", what, c.cell(r, "tiny"), want)
			}
		}
	}
	text := r.speeds(sizes[:1])
	if !strings.Contains(text, "| Trefoil b1.58 | 300 |\n") || strings.Contains(text, torchFloat) {
		t.Errorf("%s", text)
	}
}

// Levels below VNNI have the targets of AVX2, and none in bf16.
func TestTargets(t *testing.T) {
	defer kernel.SetLevel(kernel.SetLevel(kernel.AVX2))
	if got := comparisons[0].aim(); got != "at least 1.7" {
		t.Errorf("aim %q", got)
	}
	if got := comparisons[1].aim(); got != "-" {
		t.Errorf("aim in bf16 %q", got)
	}
	if got := comparisons[5].aim(); got != "at most 1.15 from small up" {
		t.Errorf("aim of Muon %q", got)
	}
}

func TestNumber(t *testing.T) {
	const line = "tiny b158 eager amp0 threads2 params 814208 ms/step min 30.1 median 31.0 tokens/s 24774 GFLOP/s 121\n"
	if v, err := number(line, "tokens/s"); err != nil || v != 24774 {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := number("killed\n", "tokens/s"); err == nil {
		t.Error("a line without a speed is no error")
	}
}
