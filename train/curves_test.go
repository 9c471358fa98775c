package train

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"

	"trefoil/config"
)

// synthetic returns the records of a run of n steps that is evaluated at every
// so many of them.
func synthetic(n, every int, blend bool) []Record {
	random := rand.New(rand.NewPCG(1, 2))
	var records []Record
	for step := 0; step <= n; step++ {
		f := float64(step) / float64(max(n, 1))
		r := Record{Step: step, Tokens: int64(step) * 2048, LR: 0.002 * (1 - f), Lambda: 1}
		loss := 1.6 + 0.9*(1-f) + 5.1*math.Exp(-40*f)
		if step < n/30 {
			r.LR = 0.002 * float64(step+1) / float64(n/30)
		}
		if blend {
			r.Lambda, r.Phase = min(1, f/0.3), "blend"
			if f >= 0.3 {
				r.Phase = "ternary"
			}
		}
		if step > 0 {
			r.TrainLoss = new(loss + 0.08*random.NormFloat64())
		}
		if step%every == 0 || step == n {
			val := loss + 0.05 + 0.01*random.NormFloat64()
			r.ValLoss, r.ValAccuracy = new(val), new(0.6-val/14)
			if r.Lambda < 1 {
				r.ValLossQuantized = new(val + 1.5*(1-r.Lambda))
			}
		}
		records = append(records, r)
	}
	return records
}

// peaks are the peaks of synthetic runs.
var peaks = config.Train{Optimizer: config.Muon, LR: 0.002, MuonLR: 0.01}

// runs are the records of runs that a figure must cope with.
func runs() map[string][]Record {
	layer := synthetic(3000, 100, true)
	for i := range layer {
		layer[i].Phase = []string{"float", "blocks 0", "blocks 1", "blocks 2 and 3", "x", "ternary"}[min(5, i/550)]
		if i > 2600 && i < 2650 {
			layer[i].Phase = "tiny"
		}
	}
	nan := synthetic(300, 10, false)
	for i := 200; i < 220; i++ {
		nan[i].TrainLoss = new(math.NaN())
	}
	nan[210].ValLoss = new(math.Inf(1))
	for i := range nan[:40] {
		if nan[i].TrainLoss != nil {
			*nan[i].TrainLoss *= 1e4
		}
	}
	return map[string][]Record{
		"none": nil, "one": synthetic(0, 1, true), "three": synthetic(2, 1, true), "few": synthetic(30, 5, true),
		"phases": synthetic(2000, 100, true), "no phases": synthetic(20000, 50, false),
		"narrow phases": layer, "not finite": nan, "no evaluation": {{Step: 5, TrainLoss: new(3.0)}},
	}
}

func TestDrawCurves(t *testing.T) {
	for name, records := range runs() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for range 2 { // the second time over the files of the first
				if err := DrawCurves(dir, "a <b> & c", peaks, records); err != nil {
					t.Fatal(err)
				}
			}
			picture, err := os.ReadFile(filepath.Join(dir, "curves.png"))
			if err != nil {
				t.Fatal(err)
			}
			image, err := png.Decode(bytes.NewReader(picture))
			if err != nil {
				t.Fatal(err)
			}
			if w, h := image.Bounds().Dx(), image.Bounds().Dy(); w != 1205 || h < 800 || h > 1400 {
				t.Errorf("%dx%d pixels", w, h)
			}
			drawing, err := os.ReadFile(filepath.Join(dir, "curves.svg"))
			if err != nil {
				t.Fatal(err)
			}
			wellFormed(t, drawing)
			for _, want := range []string{"a &lt;b&gt; &amp; c", "loss (nats", svgFonts} {
				if !strings.Contains(string(drawing), want) {
					t.Errorf("curves.svg has no %q", want)
				}
			}
			if strings.Contains(string(drawing), "NaN") || len(drawing) > 400_000 {
				t.Errorf("curves.svg: %d bytes, with NaN: %v", len(drawing), strings.Contains(string(drawing), "NaN"))
			}
		})
	}
}

func wellFormed(t *testing.T, text []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A redraw shall not be felt in training.
func BenchmarkDrawCurves(b *testing.B) {
	records, dir := synthetic(2000, 100, true), b.TempDir()
	for b.Loop() {
		if err := DrawCurves(dir, "gocode", peaks, records); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDrawCurvesWithoutFolder(t *testing.T) {
	if err := DrawCurves(filepath.Join(t.TempDir(), "none"), "", peaks, nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// The longest legend that there can be fits above its panel.
func TestLegendFits(t *testing.T) {
	records := synthetic(123_456, 1000, true)
	records[100_000].TrainLoss = new(math.NaN())
	for _, p := range newFigure("", peaks, records).panels {
		var width vg.Length
		for _, s := range p.series {
			if s.label != "" {
				width += s.legendWidth()
			}
		}
		if most := figureWidth - leftMargin; width-space > most {
			t.Errorf("%s: the legend is %.0f points wide, the figure %.0f", p.label, width, most)
		}
	}
}

func TestFigure(t *testing.T) {
	f := newFigure("", peaks, synthetic(2000, 100, true))
	if len(f.panels) != 3 {
		t.Fatalf("%d panels", len(f.panels))
	}
	labels := func(p panel) (all []string) {
		for _, s := range p.series {
			all = append(all, s.label)
		}
		return all
	}
	if n := f.panels[0].notes; len(n) == 0 || n[0].x > 20 || n[0].y < 7 || n[0].label != "9.15" {
		t.Errorf("the first losses, above 7, are noted as %v", n)
	}
	if len(f.key) > 0 {
		t.Errorf("a key %q to names that have room", f.key)
	}
	want := []string{"", "training", "held-out", "held-out, quantized", "best: 1.651 at step 2,000"}
	if got := labels(f.panels[0]); !slices.Equal(got, want) {
		t.Errorf("series %q, want %q", got, want)
	}
	want = []string{"learning rate (1 = peak: AdamW 0.002, Muon 0.01)", "λ (0 = float32, 1 = quantized)"}
	if got := labels(f.panels[2]); !slices.Equal(got, want) {
		t.Errorf("series %q, want %q", got, want)
	}
	if lo, hi := f.panels[0].lo, f.panels[0].hi; lo < 1.2 || lo > 1.6 || hi < 3 || hi > 5 {
		t.Errorf("losses from 7.6 down to 1.6 are shown from %v to %v", lo, hi)
	}
	if p := newFigure("", peaks, synthetic(100, 10, false)).panels[2]; len(p.series) != 1 {
		t.Errorf("lambda is drawn though it is always 1: %q", labels(p))
	}
	if p := newFigure("", peaks, []Record{{Step: 1, TrainLoss: new(3.0)}}).panels; len(p) != 2 {
		t.Errorf("%d panels without an accuracy", len(p))
	}
}

// Values above the range are noted, the highest of each tenth of the steps.
func TestBeyond(t *testing.T) {
	p := panel{lo: 0, hi: 5}
	p.beyond([]point{{0, 5}, {1, 8}, {2, 7}, {50, 12345.6}, {55, 6}, {100, 4}}, []point{{9.5, 9}, {12, 8.5}, {30, math.NaN()}, {100, 5.25}})
	var got []string
	for _, n := range p.notes {
		got = append(got, n.label)
	}
	// 8.5 at 12 is too near the 9 at 9.5.
	if want := []string{"9", "1.23e+04", "5.25"}; !slices.Equal(got, want) || p.notes[0].x != 9.5 || p.notes[2].x != 100 {
		t.Errorf("%+v, want %q", p.notes, want)
	}
}

// Where a phase is too narrow for its name, all have numbers, and a key has all
// the names in full.
func TestKeyOfNarrowPhases(t *testing.T) {
	f := newFigure("", peaks, runs()["narrow phases"])
	want := []string{"1 float    2 blocks 0    3 blocks 1    4 blocks 2 and 3    5 x    6 tiny    7 x    8 ternary"}
	if !slices.Equal(f.key, want) {
		t.Errorf("key %q, want %q", f.key, want)
	}
	long := synthetic(300, 10, false)
	for i := range long {
		long[i].Phase = strings.Repeat(string(rune('a'+i/30)), 40)
	}
	f = newFigure("", peaks, long)
	if len(f.key) < 2 || !strings.HasPrefix(f.key[1], "4 ddd") && !strings.HasPrefix(f.key[1], "3 ccc") {
		t.Errorf("key %q, want rows", f.key)
	}
	words := phaseStyle(text.XLeft, text.YCenter)
	for _, row := range f.key {
		if words.Width(row) > figureWidth-leftMargin-rightMargin {
			t.Errorf("row %q is wider than the figure", row)
		}
	}
}

// Markers at both ends of the range are within the frame.
func TestMarkersFit(t *testing.T) {
	p := accuracyPanel([]Record{{Step: 0, ValAccuracy: new(0.1)}, {Step: 1, ValAccuracy: new(0.6)}})
	if room := p.height * vg.Length((p.hi-60)/(p.hi-p.lo)); room < 1.8+2 {
		t.Errorf("%v points above the highest marker", room)
	}
}
