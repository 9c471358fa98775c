package main

import (
	"fmt"
	"image/color"
	"io"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"trefoil/internal/atomicfile"
)

var (
	blue      = color.RGBA{0x00, 0x72, 0xb2, 0xff} // Okabe and Ito's colors
	vermilion = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
)

// drawAccuracy draws a dot for each seed, and for each recipe a bar at the
// mean, to a PNG file.
func drawAccuracy(path string, outcomes []outcome) error {
	p := plot.New()
	p.Title.Text = "Held-out accuracy by recipe"
	p.Y.Label.Text = "accuracy (%)"
	p.X.Min, p.X.Max = -0.5, float64(len(outcomes))-0.5
	var dots, means plotter.XYs
	var labels []string
	for i, o := range outcomes {
		labels = append(labels, o.recipe.name)
		means = append(means, plotter.XY{X: float64(i), Y: 100 * mean(o.graph)})
		for _, a := range o.graph {
			dots = append(dots, plotter.XY{X: float64(i), Y: 100 * a})
		}
	}
	if err := addPoints(p, "mean", means, draw.GlyphStyle{Color: vermilion, Radius: 9, Shape: bar{}}); err != nil {
		return err
	}
	if err := addPoints(p, "a seed", dots, draw.GlyphStyle{Color: blue, Radius: 2.5, Shape: draw.CircleGlyph{}}); err != nil {
		return err
	}
	p.NominalX(labels...)
	p.Y.Min, p.Y.Max = p.Y.Min-0.2, p.Y.Max+0.2
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	p.Add(grid)
	p.Legend.Top = true
	image, err := p.WriterTo(160*vg.Millimeter, 90*vg.Millimeter, strings.TrimPrefix(filepath.Ext(path), "."))
	if err != nil {
		return fmt.Errorf("drawing %s: %w", path, err)
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := image.WriteTo(w)
		return err
	})
}

func addPoints(p *plot.Plot, label string, points plotter.XYs, style draw.GlyphStyle) error {
	s, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	s.GlyphStyle = style
	p.Add(s)
	p.Legend.Add(label, s)
	return nil
}

// bar is a mark as wide as its radius twice, and thin.
type bar struct{}

func (bar) DrawGlyph(c *draw.Canvas, s draw.GlyphStyle, at vg.Point) {
	c.SetColor(s.Color)
	c.SetLineWidth(1.5)
	c.SetLineDash(nil, 0)
	var path vg.Path
	path.Move(vg.Point{X: at.X - s.Radius, Y: at.Y})
	path.Line(vg.Point{X: at.X + s.Radius, Y: at.Y})
	c.Stroke(path)
}
