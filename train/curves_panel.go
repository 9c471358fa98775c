package train

import (
	"image/color"
	"math"
	"strconv"

	"golang.org/x/image/font"
	"gonum.org/v1/plot"
	plotfont "gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The palette of Okabe and Ito, which the colour-blind can tell apart.
var (
	black     = color.NRGBA{0x1a, 0x1a, 0x1a, 0xff}
	blue      = color.NRGBA{0x00, 0x72, 0xb2, 0xff}
	faintBlue = color.NRGBA{0x00, 0x72, 0xb2, 0x48}
	vermilion = color.NRGBA{0xd5, 0x5e, 0x00, 0xff}
	green     = color.NRGBA{0x00, 0x9e, 0x73, 0xff}
	purple    = color.NRGBA{0xcc, 0x79, 0xa7, 0xff}
	gray      = color.NRGBA{0x77, 0x77, 0x77, 0xff}
	gridGray  = color.NRGBA{0xdd, 0xdd, 0xdd, 0xff}
	bandGray  = color.NRGBA{0xf4, 0xf4, 0xf4, 0xff}
)

const (
	textSize  = vg.Length(8) // points, as is every length without a unit
	tickSize  = vg.Length(3)
	rowHeight = 5 * vg.Millimeter // of a line of text
)

// style is how text of one color is aligned to its position.
func style(c color.Color, x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{
		Color: c, XAlign: x, YAlign: y, Handler: plot.DefaultTextHandler,
		Font: plotfont.Font{Typeface: "Liberation", Variant: "Sans", Size: textSize},
	}
}

// A series is one curve of a panel and its entry in the legend.
type series struct {
	label  string // "" for none in the legend
	points []point
	line   draw.LineStyle
	marker draw.GlyphDrawer // nil for none
}

// A panel is one diagram; all panels of a figure share the x axis.
type panel struct {
	label  string // of the y axis
	height vg.Length
	lo, hi float64 // range of y
	series []series
}

// A frame is a panel at its place on the canvas.
type frame struct {
	panel
	draw.Canvas         // of the data
	steps       float64 // right end of the x axis, which starts at 0
}

func (f frame) at(p point) vg.Point {
	return vg.Point{X: f.X(p.x / f.steps), Y: f.Y((p.y - f.lo) / (f.hi - f.lo))}
}

// plot draws bands, grid, curves and axes; bottom adds the numbers of the steps.
func (f frame) plot(bands []stretch, bottom bool) {
	f.bands(bands)
	f.axes(bottom)
	for _, s := range f.series {
		f.curve(s)
	}
}

// bands shades every second phase and dashes the lines between them.
func (f frame) bands(bands []stretch) {
	for i, b := range bands {
		left, right := f.X(b.lo/f.steps), f.X(b.hi/f.steps)
		if i%2 == 1 {
			f.FillPolygon(bandGray, []vg.Point{{X: left, Y: f.Min.Y}, {X: right, Y: f.Min.Y}, {X: right, Y: f.Max.Y}, {X: left, Y: f.Max.Y}})
		}
		if i > 0 {
			dashes := draw.LineStyle{Color: gray, Width: 0.5, Dashes: []vg.Length{2, 2}}
			f.StrokeLine2(dashes, left, f.Min.Y, left, f.Max.Y)
		}
	}
}

// axes draws the grid, the left and the lower axis and their numbers.
func (f frame) axes(bottom bool) {
	grid, axis := draw.LineStyle{Color: gridGray, Width: 0.4}, draw.LineStyle{Color: black, Width: 0.6}
	numbers := style(black, text.XRight, text.YCenter)
	drop := numbers.FontExtents().Descent / 2 // digits have no descenders
	for _, t := range ticks(f.lo, f.hi, 0, int(f.height/(6*vg.Millimeter))) {
		y := f.Y((t.value - f.lo) / (f.hi - f.lo))
		f.StrokeLine2(grid, f.Min.X, y, f.Max.X, y)
		f.StrokeLine2(axis, f.Min.X-tickSize, y, f.Min.X, y)
		f.FillText(numbers, vg.Point{X: f.Min.X - tickSize - 2, Y: y + drop}, t.label)
	}
	steps := style(black, text.XCenter, text.YTop)
	for _, t := range ticks(0, f.steps, 1, 8) {
		x := f.X(t.value / f.steps)
		f.StrokeLine2(axis, x, f.Min.Y-tickSize, x, f.Min.Y)
		if bottom {
			f.FillText(steps, vg.Point{X: x, Y: f.Min.Y - tickSize - 2}, t.label)
		}
	}
	f.StrokeLine2(axis, f.Min.X, f.Min.Y, f.Min.X, f.Max.Y)
	f.StrokeLine2(axis, f.Min.X, f.Min.Y, f.Max.X, f.Min.Y)
	name := style(black, text.XCenter, text.YTop)
	name.Rotation = math.Pi / 2
	f.FillText(name, vg.Point{X: f.Min.X - leftMargin + 2, Y: f.Center().Y}, f.label)
}

// curve draws a series within the frame. A curve of many points has no
// markers; one that has a single point has at least that.
func (f frame) curve(s series) {
	var line []vg.Point
	var lines [][]vg.Point
	for _, p := range s.points {
		if math.IsNaN(p.y) {
			lines, line = append(lines, line), nil
			continue
		}
		line = append(line, f.at(p))
	}
	lines = append(lines, line)
	if s.line.Width > 0 {
		f.StrokeLines(s.line, f.ClipLinesXY(lines...)...)
	}
	const crowd = 60
	for _, line := range lines {
		if s.marker == nil && len(line) > 1 || len(s.points) > crowd && len(line) > 1 {
			continue
		}
		for _, p := range line {
			f.mark(s, p)
		}
	}
}

// mark draws the marker of a series at a place, if that is in the frame.
func (f frame) mark(s series, at vg.Point) {
	marker := s.marker
	if marker == nil {
		marker = draw.CircleGlyph{}
	}
	f.DrawGlyph(draw.GlyphStyle{Color: s.line.Color, Radius: markerRadius(marker), Shape: marker}, at)
}

func markerRadius(marker draw.GlyphDrawer) vg.Length {
	switch marker.(type) {
	case draw.RingGlyph:
		return 4.5
	case draw.PyramidGlyph:
		return 2.3
	case draw.CrossGlyph:
		return 2.6
	}
	return 1.8
}

// legend lists the series in a row that starts at a place.
func (f frame) legend(at vg.Point) {
	words := style(black, text.XLeft, text.YCenter)
	for _, s := range f.series {
		if s.label == "" {
			continue
		}
		if s.line.Width > 0 {
			f.StrokeLine2(s.line, at.X, at.Y, at.X+sample, at.Y)
		}
		if s.marker != nil {
			g := draw.GlyphStyle{Color: s.line.Color, Radius: markerRadius(s.marker), Shape: s.marker}
			f.DrawGlyphNoClip(g, vg.Point{X: at.X + sample/2, Y: at.Y})
		}
		f.FillText(words, vg.Point{X: at.X + sample + gap, Y: at.Y + words.FontExtents().Descent/2}, s.label)
		at.X += s.legendWidth()
	}
}

// Parts of an entry of a legend: a piece of the curve, a gap, the label, and
// the space before the next one.
const sample, gap, space = vg.Length(16), vg.Length(4), vg.Length(10)

func (s series) legendWidth() vg.Length {
	return sample + gap + style(black, text.XLeft, text.YCenter).Width(s.label) + space
}

// names writes the names of the phases centered above the frame, cut where the
// phase is too narrow, and left out where hardly a letter remains.
func (f frame) names(bands []stretch) {
	words := style(gray, text.XCenter, text.YBottom)
	words.Font.Style = font.StyleItalic
	for _, b := range bands {
		width := f.X(b.hi/f.steps) - f.X(b.lo/f.steps) - 4
		shown := b.name
		for name := []rune(b.name); words.Width(shown) > width && len(name) > 0; {
			name = name[:len(name)-1]
			shown = string(name) + "…"
		}
		if shown != "…" {
			f.FillText(words, vg.Point{X: f.X((b.lo + b.hi) / 2 / f.steps), Y: f.Max.Y + 2}, shown)
		}
	}
}

// A tick is a numbered place on an axis.
type tick struct {
	value float64
	label string
}

// ticks returns about most round numbers in lo..hi: multiples of 1, 2 or 5
// times a power of ten, and at least the finest apart.
func ticks(lo, hi, finest float64, most int) []tick {
	power := math.Pow(10, math.Floor(math.Log10((hi-lo)/float64(most))))
	step := 10 * power
	for _, m := range []float64{1, 2, 5} {
		if m*power*float64(most) >= hi-lo {
			step = m * power
			break
		}
	}
	step = max(step, finest)
	decimals := max(0, int(-math.Floor(math.Log10(step)+1e-9)))
	var all []tick
	for i := math.Ceil(lo / step); i*step <= hi; i++ {
		all = append(all, tick{i * step, number(i*step, decimals)})
	}
	return all
}

// number writes a value with commas between the thousands.
func number(value float64, decimals int) string {
	s := strconv.FormatFloat(math.Abs(value), 'f', decimals, 64)
	whole := len(s)
	if decimals > 0 {
		whole -= decimals + 1
	}
	for i := whole - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if value < 0 {
		return "−" + s
	}
	return s
}
