package analysis

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trefoil/quant"
)

func layer(t *testing.T, c quant.Config) *Layer {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	w := make([]float32, 8*32)
	for i := range w {
		w[i] = float32(r.NormFloat64())
		if i/32 == 5 {
			w[i] /= 20 // a channel that a scale for all serves badly
		}
	}
	q, err := quant.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Analyze("blocks.0.q", w, q, 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A scale a channel saves the small channel; the report shows it.
func TestReport(t *testing.T) {
	whole, channels := layer(t, quant.Config{Bits: 4}), layer(t, quant.Config{Bits: 4, Granularity: quant.PerChannel})
	if whole.worst() != whole.Channels[5].SQNR || whole.worst() > 1 || channels.worst() < 15 {
		t.Errorf("worst channels %v and %v dB", whole.worst(), channels.worst())
	}
	var table, text bytes.Buffer
	r := Report{whole, channels}
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(strings.TrimSpace(table.String()), "\n"); len(lines) != 3 || !strings.Contains(lines[2], "channel") || !strings.Contains(lines[1], "absmax") {
		t.Errorf("table\n%s", table.String())
	}
	var channel bytes.Buffer
	if err := whole.WriteTable(&channel); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(channel.String()), "\n")
	if len(lines) != 10 || !strings.HasPrefix(strings.TrimSpace(lines[0]), "blocks.0.q ") {
		t.Fatalf("table of a layer\n%s", channel.String())
	}
	for line, m := range map[int]quant.Metrics{6: whole.Channels[5], 9: whole.Metrics} {
		name, sqnr := map[int]string{6: "5", 9: "all"}[line], fmt.Sprintf("%.2f", m.SQNR)
		if f := strings.Fields(lines[line]); f[0] != name || f[1] != sqnr || f[6] != fmt.Sprintf("%.1f", 100*m.Zeros) {
			t.Errorf("line %q, want that of %s with %s dB", lines[line], name, sqnr)
		}
	}
	if err := r.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if back[1].Metrics != channels.Metrics || !slices.Equal(back[0].Channels, whole.Channels) || back[1].Config != channels.Config {
		t.Errorf("read back as %+v", back[1])
	}
}

func TestLevels(t *testing.T) {
	l := layer(t, quant.Config{Bits: 2, Scheme: quant.Affine})
	levels, scale, zero := l.levels(), float64(l.tensor.Scales[0]), float64(l.tensor.Zeros[0])
	if len(levels) != 4 || levels[0] != (-2-zero)*scale || levels[3] != (1-zero)*scale || !slices.Contains(levels, 0) {
		t.Errorf("levels %v with scale %v and zero point %v", levels, scale, zero)
	}
	if odd := layer(t, quant.Config{Bits: 2, Scale: quant.SEQ}).levels(); len(odd) != 4 || odd[0] != -odd[3] || slices.Contains(odd, 0) {
		t.Errorf("levels %v of a grid without zero", odd)
	}
}

// With a scale for each channel, weights of all channels stand among the codes.
func TestPositions(t *testing.T) {
	l := layer(t, quant.Config{Bits: 4, Scheme: quant.Affine, Granularity: quant.PerChannel, Axis: 1})
	positions := l.positions()
	for i, v := range l.values {
		g := i % 32
		want := float64(v)/float64(l.tensor.Scales[g]) + float64(l.tensor.Zeros[g])
		if math.Abs(positions[i]-want) > 1e-12 || math.Abs(want-float64(l.tensor.Codes[i])) > 0.51 {
			t.Fatalf("weight %d stands at %v, want %v, of the code %d", i, positions[i], want, l.tensor.Codes[i])
		}
	}
	if levels := l.levels(); levels[0] != -8 || levels[15] != 7 {
		t.Errorf("levels %v", levels)
	}
	one := layer(t, quant.Config{Bits: 4})
	if p := one.positions(); p[7] != float64(one.values[7]) {
		t.Errorf("with one scale a weight of %v stands at %v", one.values[7], p[7])
	}
}

func TestSavePlots(t *testing.T) {
	folder := t.TempDir()
	for _, c := range []quant.Config{{}, {Bits: 8, Scheme: quant.Affine}, {Bits: 1}} {
		if err := layer(t, c).SavePlots(folder, "svg"); err != nil {
			t.Fatal(err)
		}
	}
	if err := layer(t, quant.Config{Bits: 4}).SavePlots(folder, "png"); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(folder, "blocks.0.q.weights.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if lines := redColumns(image.Bounds().Dx(), func(x int) bool {
		r, g, _, _ := image.At(x, image.Bounds().Dy()/2).RGBA()
		return r > 0x8000 && g < 0xb000 && r > g+0x3000
	}); lines < 14 || lines > 16 {
		t.Errorf("%d lines stand over the histogram, want about 16 levels", lines)
	}
	if err := layer(t, quant.Config{}).SavePlots(folder, "gif"); err == nil {
		t.Error("an unknown format passes")
	}
	if err := layer(t, quant.Config{}).SavePlots(filepath.Join(folder, "none"), "svg"); err == nil {
		t.Error("a folder that is not there passes")
	}
}

// redColumns counts the runs of columns that hold.
func redColumns(width int, red func(x int) bool) (runs int) {
	for x, before := 0, false; x < width; x++ {
		if now := red(x); now && !before {
			runs++
			before = true
		} else {
			before = now
		}
	}
	return runs
}
