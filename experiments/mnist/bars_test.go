package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
)

// The command fails when the mean of the seeds misses a bar, and names it.
func TestMissedBars(t *testing.T) {
	with := func(full, integers, ternary float64) []outcome {
		var all []outcome
		for name, a := range map[string]float64{"float32": full, "W8A8": integers, "b1.58": ternary, "binary": 0.5} {
			all = append(all, outcome{recipe: recipe{name: name}, graph: []float64{a - 0.01, a + 0.01}})
		}
		return all
	}
	for _, c := range []struct {
		outcomes []outcome
		want     string
	}{
		{with(0.98, 0.9705, 0.9605), ""}, {with(0.9695, 0.97, 0.97), "float32 has an accuracy of 96.95 %"}, {with(0.98, 0.9695, 0.97), "W8A8 has an accuracy of 96.95 %, more than 1 points below float32's 98.00 %"},
		{with(0.98, 0.98, 0.9595), "b1.58 has an accuracy of 95.95 %, more than 2 points"}, {with(0.98, 0.98, 0.95)[:0], ""},
	} {
		switch err := missed(c.outcomes); {
		case c.want == "" && err != nil:
			t.Errorf("all bars are reached: %v", err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

// TestBars trains one seed for a quarter of the study's 800 updates and wants
// the order of its results: the study's own bars, which the command checks, are
// float32 at 97 % or better, int8 within 1 point of it and ternary within 2,
// over three seeds.
// After 200 updates seeds 1 to 3 gave 96.65 to 97.25 % in float32, at most 0.2
// points less at 8 bits and 1.55 to 3.35 less with ternary weights, which learn
// more slowly. The bars here leave half a point or more beyond the worst of
// them; a digit is 0.05 points.
func TestBars(t *testing.T) {
	if testing.Short() {
		t.Skip("trains three networks: left out of short tests")
	}
	train, heldout := digits(t)
	s := &study{dir: t.TempDir(), train: train, heldout: heldout, seeds: 1, steps: 200, progress: io.Discard}
	accuracy := map[string]float64{}
	for _, name := range []string{"float32", "W8A8", "b1.58"} {
		o, err := s.run(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		accuracy[name] = o[0].graph[0]
		if name != "float32" && !slices.Equal(o[0].packed, o[0].graph) {
			t.Errorf("%s: accuracy %v packed, %v in the graph", name, o[0].packed, o[0].graph)
		}
	}
	full := accuracy["float32"]
	if full < 0.96 {
		t.Errorf("float32: accuracy %.4f, want 0.96", full)
	}
	for name, margin := range map[string]float64{"W8A8": 0.01, "b1.58": 0.045} {
		if accuracy[name] < full-margin {
			t.Errorf("%s: accuracy %.4f, want it within %.3f of float32's %.4f", name, accuracy[name], margin, full)
		}
	}
}
