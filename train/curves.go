package train

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"

	"golang.org/x/image/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"trefoil/config"
	"trefoil/internal/atomicfile"
)

// The figure is as wide as the text of a paper.
const (
	figureWidth  = 170 * vg.Millimeter
	leftMargin   = 16 * vg.Millimeter
	rightMargin  = 6 * vg.Millimeter
	titleHeight  = 4 * vg.Millimeter
	panelGap     = 4 * vg.Millimeter
	bottomMargin = 12 * vg.Millimeter // the numbers and the name of the x axis
	pngDPI       = 180
)

// DrawCurves draws the records of a run to curves.png and curves.svg in a
// folder: the losses, the held-out accuracy, and the schedules of the learning
// rate and of quantization, over the same steps. The best checkpoint has a
// ring, and losses above the range of the axis have a triangle at its end with
// the highest of them. Records must be in the order of their steps; c has the
// peaks of the learning rates.
func DrawCurves(dir, title string, c config.Train, records []Record) error {
	f := newFigure(title, c, records)
	image := vgimg.NewWith(vgimg.UseWH(figureWidth, f.height()), vgimg.UseDPI(pngDPI))
	f.draw(draw.New(image))
	err := atomicfile.Write(filepath.Join(dir, "curves.png"), func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: image}.WriteTo(w)
		return err
	})
	if err != nil {
		return err
	}
	vector := vgsvg.New(figureWidth, f.height())
	f.draw(draw.New(vector))
	return atomicfile.Write(filepath.Join(dir, "curves.svg"), func(w io.Writer) error {
		var b bytes.Buffer
		if _, err := vector.WriteTo(&b); err != nil {
			return err
		}
		_, err := w.Write(bytes.ReplaceAll(b.Bytes(), []byte(svgFont), []byte(svgFonts)))
		return err
	})
}

// Fonts of the same widths stand in where the font of the figure is missing.
const (
	svgFont  = "font-family:Liberation Sans;"
	svgFonts = "font-family:Liberation Sans,Arial,Helvetica,sans-serif;"
)

// A figure is a column of panels over the same steps.
type figure struct {
	title  string
	steps  float64
	phases []stretch
	key    []string // rows of the names of phases that are too narrow for them
	panels []panel
}

func newFigure(title string, c config.Train, records []Record) figure {
	f := figure{title: title, steps: 1}
	for _, r := range records {
		f.steps = max(f.steps, float64(r.Step))
	}
	f.steps *= 1.01 // room for the last marker
	f.phases = stretches(records, f.steps)
	if f.narrow() {
		f.key = f.numbered()
	}
	f.panels = append(f.panels, lossPanel(records))
	if p := accuracyPanel(records); len(p.series) > 0 {
		f.panels = append(f.panels, p)
	}
	f.panels = append(f.panels, schedulePanel(c, records))
	return f
}

// lossPanel shows the training loss, smoothed and, behind, as it is, and the
// held-out loss of the network as it is and fully quantized.
func lossPanel(records []Record) panel {
	p := panel{label: "loss (nats)", height: 66 * vg.Millimeter}
	if len(pick(records, func(r Record) *float64 { return r.BitsPerByte })) > 0 {
		p.label = "loss (nats per token)"
	}
	raw := pick(records, func(r Record) *float64 { return r.TrainLoss })
	training := smooth(raw, len(raw)/60)
	now := pick(records, func(r Record) *float64 { return r.ValLoss })
	quantized := untilQuantized(records)
	p.lo, p.hi = lossRange(training, now, quantized)

	if len(raw) >= 60 {
		lowest, _ := extremes(raw)
		p.lo = min(p.lo, max(lowest, p.lo-0.25*(p.hi-p.lo)))
		p.add("", thin(raw, 2000), draw.LineStyle{Color: faintBlue, Width: 0.5}, nil)
	}
	p.add("training", thin(training, 2000), draw.LineStyle{Color: blue, Width: 1.1}, nil)
	p.add("held-out", now, draw.LineStyle{Color: vermilion, Width: 1.1}, draw.CircleGlyph{})
	p.add("held-out, quantized", quantized, draw.LineStyle{Color: green, Width: 1.1, Dashes: []vg.Length{4, 2}}, draw.PyramidGlyph{})
	if b, ok := best(records); ok {
		label := fmt.Sprintf("best: %.3f at step %s", b.heldOut(), number(float64(b.Step), 0))
		p.add(label, []point{{float64(b.Step), b.heldOut()}}, draw.LineStyle{Color: black}, draw.RingGlyph{})
	}
	p.beyond(raw, now, quantized)
	p.add("not finite", p.broken(records), draw.LineStyle{Color: black}, draw.CrossGlyph{})
	return p
}

// broken marks, at the upper edge, the records with a loss that is not finite.
func (p panel) broken(records []Record) []point {
	var points []point
	for _, r := range records {
		for _, loss := range []*float64{r.TrainLoss, r.ValLoss, r.ValLossQuantized} {
			if loss != nil && (math.IsNaN(*loss) || math.IsInf(*loss, 0)) {
				points = append(points, point{float64(r.Step), p.hi - 0.03*(p.hi-p.lo)})
				break
			}
		}
	}
	return points
}

func accuracyPanel(records []Record) panel {
	p := panel{label: "held-out accuracy (%)", height: 36 * vg.Millimeter}
	points := pick(records, func(r Record) *float64 { return r.ValAccuracy })
	for i := range points {
		points[i].y *= 100
	}
	p.lo, p.hi = widened(extremes(points))
	p.add("", points, draw.LineStyle{Color: vermilion, Width: 1.1}, draw.CircleGlyph{})
	return p
}

// schedulePanel shows the learning rate as a share of its peak, and lambda
// where it is not always 1.
func schedulePanel(c config.Train, records []Record) panel {
	p := panel{label: "schedule", height: 26 * vg.Millimeter, lo: -0.04, hi: 1.08}
	blend := slices.ContainsFunc(records, func(r Record) bool { return r.Lambda != 1 })
	rate := pick(records, func(r Record) *float64 { return new(r.LR / c.LR) })
	p.add(rateLabel(c), thin(rate, 2000), draw.LineStyle{Color: black, Width: 1.1}, nil)
	if blend {
		lambda := pick(records, func(r Record) *float64 { return &r.Lambda })
		p.add("λ (0 = float32, 1 = quantized)", thin(lambda, 2000), draw.LineStyle{Color: purple, Width: 1.1, Dashes: []vg.Length{4, 2}}, nil)
	}
	return p
}

// rateLabel says what the learning rate's peak, 1, stands for.
func rateLabel(c config.Train) string {
	if c.Optimizer == config.Muon {
		return fmt.Sprintf("learning rate (1 = peak: AdamW %.3g, Muon %.3g)", c.LR, c.MuonLR)
	}
	return fmt.Sprintf("learning rate (1 = peak: %.3g)", c.LR)
}

// add adds a series, unless it has no points.
func (p *panel) add(label string, points []point, line draw.LineStyle, marker draw.GlyphDrawer) {
	if len(points) > 0 {
		p.series = append(p.series, series{label, points, line, marker})
	}
}

// headroom is what is above a panel: its legend, and over the first one the
// names of the phases.
func (f figure) headroom(i int) vg.Length {
	room := panelGap
	for _, s := range f.panels[i].series {
		if s.label != "" {
			room = panelGap + rowHeight
		}
	}
	if i == 0 && len(f.phases) > 0 {
		room += rowHeight * vg.Length(1+len(f.key))
	}
	return room
}

func (f figure) height() vg.Length {
	total := titleHeight + bottomMargin
	for i, p := range f.panels {
		total += f.headroom(i) + p.height
	}
	return total
}

// draw draws the title and the panels from top to bottom.
func (f figure) draw(c draw.Canvas) {
	top := c.Max.Y - titleHeight
	title := style(black, text.XLeft, text.YCenter)
	title.Font.Size, title.Font.Weight = textSize+2, font.WeightBold
	c.FillText(title, vg.Point{X: c.Min.X + leftMargin, Y: top}, f.title)

	for i, p := range f.panels {
		legend := vg.Point{X: c.Min.X + leftMargin, Y: top - panelGap - rowHeight/3}
		top -= f.headroom(i)
		at := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: c.Min.X + leftMargin, Y: top - p.height},
			Max: vg.Point{X: c.Max.X - rightMargin, Y: top},
		}}
		top -= p.height
		frame := frame{p, at, f.steps}
		frame.plot(f.phases, i == len(f.panels)-1)
		frame.legend(legend)
		if i == 0 {
			for row, names := range f.key {
				c.FillText(phaseStyle(text.XLeft, text.YCenter), vg.Point{X: legend.X, Y: legend.Y - vg.Length(row+1)*rowHeight}, names)
			}
			frame.names(f.phases, len(f.key) > 0)
		}
	}
	steps := style(black, text.XCenter, text.YBottom)
	c.FillText(steps, vg.Point{X: (c.Min.X + leftMargin + c.Max.X - rightMargin) / 2, Y: c.Min.Y + 4}, "step")
}
