package analysis

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	histogramBins = 120
	// wholeLines levels can be told apart as lines over the whole plot; more
	// are ticks at its foot.
	wholeLines = 32
)

// WeightPlot draws the histogram of the layer's weights with the levels of the
// grid over it. With more than one scale the weights are divided by theirs,
// and the levels are the codes: weights beyond the outermost are clipped.
func (l *Layer) WeightPlot() (*plot.Plot, error) {
	p := newPlot(l.Name+": weights and levels", "weight", "count")
	if l.Scales > 1 {
		p.X.Label.Text = "weight / scale"
		if len(l.tensor.Zeros) > 0 {
			p.X.Label.Text += " + zero point"
		}
	}
	h, err := plotter.NewHist(l.positions(), histogramBins)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", l.Name, err)
	}
	h.FillColor, h.LineStyle.Width = gray, 0
	p.Add(h)
	top := 0.0
	for _, b := range h.Bins {
		top = max(top, b.Weight)
	}
	levels := l.levels()
	height := top
	if len(levels) > wholeLines {
		height = 0.06 * top
	}
	for _, level := range levels {
		line, err := plotter.NewLine(plotter.XYs{{X: level, Y: 0}, {X: level, Y: height}})
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.Name, err)
		}
		line.Color, line.Width = vermilion, 0.6
		p.Add(line)
	}
	p.Y.Min, p.Y.Max = 0, 1.05*top
	p.Y.Tick.Marker = plot.TickerFunc(counts)
	return p, nil
}

// counts are the default ticks with whole numbers for labels.
func counts(lo, hi float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(lo, hi)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = fmt.Sprint(math.Round(t.Value))
		}
	}
	return ticks
}

// positions returns where the weights stand: their values, or with more than
// one scale their places between the codes.
func (l *Layer) positions() plotter.Values {
	values := make(plotter.Values, len(l.values))
	layout := l.tensor.Layout
	for g := range layout.Groups {
		scale, zero := 1.0, 0.0
		if l.Scales > 1 {
			scale = float64(l.tensor.Scales[g])
			if len(l.tensor.Zeros) > 0 {
				zero = float64(l.tensor.Zeros[g])
			}
		}
		for r := range layout.Runs {
			lo := layout.Start(g) + r*layout.Stride
			for i := lo; i < lo+layout.Run; i++ {
				values[i] = float64(l.values[i])/scale + zero
			}
		}
	}
	return values
}

// levels returns where the codes stand among the positions, in ascending order.
func (l *Layer) levels() []float64 {
	var levels []float64
	g, scale, zero := l.tensor.Grid, 1.0, 0.0
	if l.Scales == 1 {
		scale = float64(l.tensor.Scales[0])
		if len(l.tensor.Zeros) > 0 {
			zero = float64(l.tensor.Zeros[0])
		}
	}
	for code := g.Min; code <= g.Max; code += g.Step {
		levels = append(levels, (float64(code)-zero)*scale)
	}
	return levels
}

// ErrorPlot draws the SQNR of each channel, and that of the whole as a line.
func (l *Layer) ErrorPlot() (*plot.Plot, error) {
	p := newPlot(l.Name+": error by channel", "channel", "SQNR (dB)")
	points := make(plotter.XYs, len(l.Channels))
	for i, m := range l.Channels {
		points[i] = plotter.XY{X: float64(i), Y: m.SQNR}
	}
	s, errS := plotter.NewScatter(points)
	whole, errL := plotter.NewLine(plotter.XYs{{X: 0, Y: l.Metrics.SQNR}, {X: float64(max(1, len(points)-1)), Y: l.Metrics.SQNR}})
	if err := errors.Join(errS, errL); err != nil {
		return nil, fmt.Errorf("layer %s: %w", l.Name, err)
	}
	s.GlyphStyle = draw.GlyphStyle{Color: blue, Radius: 1.6, Shape: draw.CircleGlyph{}}
	whole.Color, whole.Width = vermilion, 1.2
	p.Add(s, whole)
	p.Legend.Add("a channel", s)
	p.Legend.Add("the layer", whole)
	p.Y.Max += 0.18 * (p.Y.Max - p.Y.Min) // room for the legend
	return p, nil
}

// CodePlot draws the share of each code.
func (l *Layer) CodePlot() (*plot.Plot, error) {
	title := fmt.Sprintf("%s: shares of the codes, %.2f bits of entropy", l.Name, l.Metrics.Entropy)
	p := newPlot(title, "code", "share (%)")
	g := l.tensor.Grid
	shares := make(plotter.Values, g.Levels())
	for _, c := range l.tensor.Codes {
		shares[(int(c)-g.Min)/g.Step] += 100 / float64(len(l.tensor.Codes))
	}
	bars, err := plotter.NewBarChart(shares, min(0.6*plotWidth/vg.Length(len(shares)), 16*vg.Millimeter))
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
	p.X.Min, p.X.Max = -0.5, float64(len(shares))-0.5
	p.Y.Min = 0
	return p, nil
}
