package train

import (
	"fmt"
	"image/color"
	"math"
	"slices"
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
	white     = color.NRGBA{0xff, 0xff, 0xff, 0xd0}
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
	notes  []note // of the values above it
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
	f.writeNotes()
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

// phaseStyle is that of the names of phases.
func phaseStyle(x text.XAlignment, y text.YAlignment) text.Style {
	words := style(gray, x, y)
	words.Font.Style = font.StyleItalic
	return words
}

// names writes the names of the phases, or their numbers, centered above the
// frame. A number that has no room is left out.
func (f frame) names(bands []stretch, numbers bool) {
	words := phaseStyle(text.XCenter, text.YBottom)
	for i, b := range bands {
		shown := b.name
		if numbers {
			shown = strconv.Itoa(i + 1)
		}
		if words.Width(shown) <= f.X(b.hi/f.steps)-f.X(b.lo/f.steps) {
			f.FillText(words, vg.Point{X: f.X((b.lo + b.hi) / 2 / f.steps), Y: f.Max.Y + 2}, shown)
		}
	}
}

// narrow tells whether a phase is too narrow for its name.
func (f figure) narrow() bool {
	words, width := phaseStyle(text.XLeft, text.YCenter), figureWidth-leftMargin-rightMargin
	return slices.ContainsFunc(f.phases, func(b stretch) bool {
		return words.Width(b.name)+4 > width*vg.Length((b.hi-b.lo)/f.steps)
	})
}

// numbered lists the names of the phases with their numbers, in rows as wide as
// the figure.
func (f figure) numbered() (rows []string) {
	words, width := phaseStyle(text.XLeft, text.YCenter), figureWidth-leftMargin-rightMargin
	row := ""
	for i, b := range f.phases {
		entry := fmt.Sprintf("%d %s", i+1, b.name)
		longer := row + "    " + entry
		switch {
		case row == "":
			row = entry
		case words.Width(longer) > width:
			rows, row = append(rows, row), entry
		default:
			row = longer
		}
	}
	return append(rows, row)
}

// A note is a value beyond the range of a panel, at its place on the x axis.
type note struct {
	point
	label string
}

// beyond notes the losses above the range of the panel: of each tenth of the
// axis the highest one, so that the numbers have room.
func (p *panel) beyond(curves ...[]point) {
	all := slices.Concat(curves...)
	end := 0.0
	for _, q := range all {
		end = max(end, q.x)
	}
	var highest [10]*point
	for i, q := range all {
		if q.y > p.hi {
			tenth := min(int(10*q.x/max(end, 1)), len(highest)-1)
			if h := highest[tenth]; h == nil || q.y > h.y {
				highest[tenth] = &all[i]
			}
		}
	}
	for _, h := range highest {
		if h == nil {
			continue
		}
		if n := len(p.notes); n > 0 && h.x-p.notes[n-1].x < 0.1*end { // no room for both
			if p.notes[n-1].y >= h.y {
				continue
			}
			p.notes = p.notes[:n-1]
		}
		p.notes = append(p.notes, note{*h, strconv.FormatFloat(h.y, 'g', 3, 64)})
	}
}

// writeNotes marks what is beyond the range at the upper edge. No curve crosses
// the numbers.
func (f frame) writeNotes() {
	const radius, apart = vg.Length(2.6), vg.Length(2)
	for _, n := range f.notes {
		at := vg.Point{X: max(f.X(n.x/f.steps), f.Min.X+radius+apart), Y: f.Max.Y - radius - 1}
		f.DrawGlyphNoClip(draw.GlyphStyle{Color: black, Radius: radius, Shape: draw.PyramidGlyph{}}, at)
		words := style(black, text.XLeft, text.YCenter)
		left, width := at.X+radius+apart, words.Width(n.label)
		if n.x > 0.9*f.steps {
			left = at.X - radius - apart - width
		}
		low, high, right := f.Max.Y-words.FontExtents().Height, f.Max.Y, left+width
		f.FillPolygon(white, []vg.Point{{X: left, Y: low}, {X: right, Y: low}, {X: right, Y: high}, {X: left, Y: high}})
		f.FillText(words, vg.Point{X: left, Y: at.Y + words.FontExtents().Descent/2}, n.label)
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
