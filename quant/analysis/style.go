package analysis

import (
	"fmt"
	"image/color"
	"io"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"trefoil/internal/atomicfile"
)

// Okabe and Ito's colors, which color-blind readers can tell apart, and a gray.
var (
	blue      = color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}
	vermilion = color.RGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}
	gray      = color.RGBA{R: 0xc4, G: 0xcc, B: 0xd4, A: 0xff}
	paleGray  = color.RGBA{R: 0xe6, G: 0xe6, B: 0xe6, A: 0xff}
)

const (
	plotWidth  = 160 * vg.Millimeter
	plotHeight = 90 * vg.Millimeter
	margin     = 3 * vg.Millimeter
	pngDPI     = 300 // what journals ask for
)

// newPlot returns a plot with labels and faint horizontal lines.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = 2 * vg.Millimeter
	for _, f := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font,
	} {
		f.Variant = "Sans"
	}
	p.X.Label.Padding, p.Y.Label.Padding = vg.Millimeter, vg.Millimeter
	p.Legend.Top, p.Legend.Padding = true, vg.Millimeter
	grid := plotter.NewGrid()
	grid.Vertical.Width, grid.Horizontal.Color = 0, paleGray
	p.Add(grid)
	return p
}

// save writes a plot to a file; the format is svg or png.
func save(p *plot.Plot, path, format string) error {
	var image io.WriterTo
	var canvas vg.CanvasSizer
	switch format {
	case "svg":
		c := vgsvg.New(plotWidth, plotHeight)
		image, canvas = c, c
	case "png":
		c := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(pngDPI))}
		image, canvas = c, c
	default:
		return fmt.Errorf("format %q is not known: use svg or png", format)
	}
	p.Draw(draw.Crop(draw.New(canvas), margin, -margin, margin, -margin))
	return atomicfile.Write(path, func(w io.Writer) error { _, err := image.WriteTo(w); return err })
}

// SavePlots writes the three plots of the layer to NAME.weights.FORMAT,
// NAME.error.FORMAT and NAME.codes.FORMAT in a folder that exists. The format
// is svg or png.
func (l *Layer) SavePlots(folder, format string) error {
	for _, each := range []struct {
		name string
		draw func() (*plot.Plot, error)
	}{{"weights", l.WeightPlot}, {"error", l.ErrorPlot}, {"codes", l.CodePlot}} {
		p, err := each.draw()
		if err != nil {
			return err
		}
		name := strings.ReplaceAll(l.Name, string(filepath.Separator), "_") + "." + each.name + "." + format
		if err := save(p, filepath.Join(folder, name), format); err != nil {
			return fmt.Errorf("plots of layer %s: %w", l.Name, err)
		}
	}
	return nil
}
