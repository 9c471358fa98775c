package analysis

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"trefoil/internal/atomicfile"
)

var (
	blue = color.RGBA{R: 0x2b, G: 0x6c, B: 0xb0, A: 0xff}
	red  = color.RGBA{R: 0xc0, G: 0x39, B: 0x2b, A: 0xff}
	gray = color.RGBA{R: 0xd0, G: 0xd7, B: 0xde, A: 0xff}
)

const (
	histogramBins = 120
	plotWidth     = 160 * vg.Millimeter
	plotHeight    = 90 * vg.Millimeter
)

// WeightPlot draws the histogram of the layer's weights with the levels of the
// grid over it. With more than one scale the levels are those of the first
// group, and the title says so.
func (l *Layer) WeightPlot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s: weights and levels", l.Name)
	if l.Scales > 1 {
		p.Title.Text += fmt.Sprintf(" of the first of %d groups", l.Scales)
	}
	p.X.Label.Text, p.Y.Label.Text = "weight", "count"
	values := make(plotter.Values, len(l.values))
	for i, v := range l.values {
		values[i] = float64(v)
	}
	h, err := plotter.NewHist(values, histogramBins)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", l.Name, err)
	}
	h.FillColor, h.LineStyle.Width = gray, 0
	p.Add(h)
	top := 0.0
	for _, b := range h.Bins {
		top = max(top, b.Weight)
	}
	for _, level := range l.levels() {
		line, err := plotter.NewLine(plotter.XYs{{X: level, Y: 0}, {X: level, Y: top}})
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.Name, err)
		}
		line.Color, line.Width = red, 0.6
		p.Add(line)
	}
	return p, nil
}

// levels returns the values of the first group's codes, in ascending order.
func (l *Layer) levels() []float64 {
	var levels []float64
	g, zero := l.tensor.Grid, 0
	if len(l.tensor.Zeros) > 0 {
		zero = int(l.tensor.Zeros[0])
	}
	for code := g.Min; code <= g.Max; code += g.Step {
		levels = append(levels, float64(code-zero)*float64(l.tensor.Scales[0]))
	}
	return levels
}

// ErrorPlot draws the SQNR of each channel, and that of the whole as a line.
func (l *Layer) ErrorPlot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = l.Name + ": error by channel"
	p.X.Label.Text, p.Y.Label.Text = "channel", "SQNR (dB)"
	points := make(plotter.XYs, len(l.Channels))
	for i, m := range l.Channels {
		points[i] = plotter.XY{X: float64(i), Y: m.SQNR}
	}
	s, errS := plotter.NewScatter(points)
	whole, errL := plotter.NewLine(plotter.XYs{{X: 0, Y: l.Metrics.SQNR}, {X: float64(max(1, len(points)-1)), Y: l.Metrics.SQNR}})
	if err := errors.Join(errS, errL); err != nil {
		return nil, fmt.Errorf("layer %s: %w", l.Name, err)
	}
	s.Color, s.Radius = blue, 1.5
	whole.Color = red
	p.Add(s, whole)
	p.Legend.Add("a channel", s)
	p.Legend.Add("the layer", whole)
	return p, nil
}

// CodePlot draws the share of each code.
func (l *Layer) CodePlot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s: share of the codes, %.2f bits of entropy", l.Name, l.Metrics.Entropy)
	p.X.Label.Text, p.Y.Label.Text = "code", "share (%)"
	g := l.tensor.Grid
	shares := make(plotter.Values, g.Levels())
	for _, c := range l.tensor.Codes {
		shares[(int(c)-g.Min)/g.Step] += 100 / float64(len(l.tensor.Codes))
	}
	bars, err := plotter.NewBarChart(shares, plotWidth/vg.Length(2*len(shares)))
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", l.Name, err)
	}
	bars.Color, bars.LineStyle.Width = blue, 0
	p.Add(bars)
	every := (len(shares) + 15) / 16
	var ticks plot.ConstantTicks
	for i := 0; i < len(shares); i += every {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: fmt.Sprint(g.Min + i*g.Step)})
	}
	p.X.Tick.Marker = ticks
	return p, nil
}

// SavePlots writes the three plots of the layer to NAME.weights.EXT,
// NAME.error.EXT and NAME.codes.EXT in a folder that exists. The format is
// svg or png.
func (l *Layer) SavePlots(folder, format string) error {
	if !slices.Contains([]string{"svg", "png"}, format) {
		return fmt.Errorf("plots of layer %s: format %q is not known: use svg or png", l.Name, format)
	}
	for _, each := range []struct {
		name string
		draw func() (*plot.Plot, error)
	}{{"weights", l.WeightPlot}, {"error", l.ErrorPlot}, {"codes", l.CodePlot}} {
		p, err := each.draw()
		if err != nil {
			return err
		}
		image, err := p.WriterTo(plotWidth, plotHeight, format)
		if err != nil {
			return fmt.Errorf("plots of layer %s: %w", l.Name, err)
		}
		name := strings.ReplaceAll(l.Name, string(filepath.Separator), "_") + "." + each.name + "." + format
		if err := atomicfile.Write(filepath.Join(folder, name), func(w io.Writer) error { _, err := image.WriteTo(w); return err }); err != nil {
			return err
		}
	}
	return nil
}
