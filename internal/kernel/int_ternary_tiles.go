package kernel

// The sums of a product are made tile by tile: tileRows rows, and up to
// stripCols columns after another before they are converted and written.
const (
	tileRows  = 12
	stripCols = 256

	stripPanels = stripCols / panelOutputs
)

// ternaryTiles is the inner product of MulTernary at one level, with panels as
// they are packed, or unpacked.
type ternaryTiles struct {
	block int   // bytes of a panel's block
	cols  int   // of a tile: a divisor of panelOutputs
	rows  []int // numbers of rows that tile takes, falling
	tile  func(sums *int32, x *int8, ldx, rows int, panel *byte, blocks int)
}

// panel multiplies rows of x with the outputs of one panel. It may work on up
// to tileRows rows of x and sums, whatever they hold.
func (t *ternaryTiles) panel(sums []int32, x []int8, ldx, rows int, panel []byte, blocks int) {
	for r := 0; r < rows; {
		n := t.rows[0]
		for _, fewer := range t.rows[1:] {
			if fewer >= rows-r {
				n = fewer
			}
		}
		for c := 0; c < panelOutputs; c += t.cols {
			t.tile(&sums[r*stripCols+c], &x[r*ldx], ldx, n, &panel[4*c], blocks)
		}
		r += n
	}
}

// taskProducts is how many products of integers are worth a goroutine.
const taskProducts = 1 << 20

// unpackTiles tiles are worth unpacking the panels for them.
const unpackTiles = 3

// tiles divides the product into tasks: some tiles of rows with all panels or,
// when there are few tiles, one with a part of the panels.
func (p *ternaryProduct[F]) tiles(k *integerKernels) {
	rows, out, in := len(p.sx), p.w.out, p.w.in
	tiles := (rows + tileRows - 1) / tileRows
	panels := (out + panelOutputs - 1) / panelOutputs
	if tiles >= 2*unpackTiles*Threads() {
		eachRun(tiles, func(first, last int) {
			if last-first >= unpackTiles {
				p.group(k, first*tileRows, min(rows, last*tileRows))
				return
			}
			for t := first; t < last; t++ {
				p.tile(k, t*tileRows, 0, panels)
			}
		})
		return
	}
	products := min(rows, tileRows) * out * in // of a tile
	together := min(tiles, 1+taskProducts/max(1, products))
	parts := max(1, min(4*Threads()/tiles, panels, products/taskProducts))
	Parallel((tiles+together-1)/together*parts, func(task int) {
		part, first := task%parts, task/parts*together
		for t := first; t < min(tiles, first+together); t++ {
			p.tile(k, t*tileRows, panels*part/parts, panels*(part+1)/parts)
		}
	})
}

// tile multiplies up to tileRows rows with the panels from first to last.
func (p *ternaryProduct[F]) tile(k *integerKernels, row, first, last int) {
	buf := taskSpace()
	defer buf.release()
	x := p.copyRows(k, buf, row, min(len(p.sx), row+tileRows))
	sums := grow(&buf.int32, tileRows*stripCols)
	size := p.w.blocks() * panelBlock
	for ; first < last; first += stripPanels {
		end := min(last, first+stripPanels)
		p.strip(k, &k.ternary, x, sums, p.w.panels[first*size:end*size], first)
	}
}

// group multiplies rows [row, end), several tiles, with all panels, and unpacks
// these before, a strip at a time.
func (p *ternaryProduct[F]) group(k *integerKernels, row, end int) {
	buf := taskSpace()
	defer buf.release()
	x := p.copyRows(k, buf, row, end)
	sums := grow(&buf.int32, tileRows*stripCols)
	size, blocks := p.w.blocks()*panelBlock, p.w.blocks()
	panels := len(p.w.panels) / size
	unpacked := grow(&buf.bytes, min(panels, stripPanels)*4*size)
	for first := 0; first < panels; first += stripPanels {
		n := min(panels-first, stripPanels)
		k.unpackPanel(&unpacked[0], &p.w.panels[first*size], n*blocks)
		for t := 0; t < len(x.scales); t += tileRows {
			p.strip(k, &k.unpacked, x.from(t), sums, unpacked[:n*4*size], first)
		}
	}
}

// ternaryRows are rows of x, from row on: filled up with zeros to whole blocks,
// and at distances that keep them out of each other's cache sets.
type ternaryRows[F Float] struct {
	row     int
	codes   []int8
	ld      int
	offsets []int32 // sums of x, since the packed codes are weight+1
	scales  []F
}

// from returns the rows from r on, a tile at most.
func (x ternaryRows[F]) from(r int) ternaryRows[F] {
	end := min(len(x.scales), r+tileRows)
	return ternaryRows[F]{x.row + r, x.codes[r*x.ld:], x.ld, x.offsets[r:end], x.scales[r:end]}
}

// copyRows copies rows [row, end).
func (p *ternaryProduct[F]) copyRows(k *integerKernels, buf *workspace, row, end int) ternaryRows[F] {
	in, n := p.w.in, end-row
	x := ternaryRows[F]{row: row, ld: paddedRow(in), offsets: grow(&buf.offsets, n), scales: floats[F](buf, n)}
	x.codes = grow(&buf.int8, (n+tileRows-1)/tileRows*tileRows*x.ld)
	for r := range n {
		line := x.codes[r*x.ld : (r+1)*x.ld]
		clear(line[copy(line, p.x[(row+r)*in:(row+r+1)*in]):])
		x.offsets[r] = k.sumBytes(&line[0], len(line))
		x.scales[r] = F(p.sx[row+r] * p.sw)
	}
	return x
}

// strip multiplies up to tileRows rows with some panels, of which the first is
// number first of all.
func (p *ternaryProduct[F]) strip(k *integerKernels, tiles *ternaryTiles, x ternaryRows[F], sums []int32, panels []byte, first int) {
	rows, col := len(x.scales), first*panelOutputs
	size := p.w.blocks() * tiles.block
	cols := min(len(panels)/size*panelOutputs, p.w.out-col)
	for c := 0; c < cols; c += panelOutputs {
		prefetch(k, p.y[x.row*p.ldy+col+c:], p.ldy, rows, panelOutputs)
		tiles.panel(sums[c:], x.codes, x.ld, rows, panels[c/panelOutputs*size:][:size], p.w.blocks())
	}
	t := sumsTile[F]{p.y[x.row*p.ldy+col:], p.ldy, sums, rows, cols}
	t.scale(x.offsets, x.scales)
}

// paddedRow returns the distance, in bytes, of copied rows of n bytes: whole
// cache lines, an odd number of them, at least one.
func paddedRow(n int) int { return ((n+cacheLine-1)/cacheLine | 1) * cacheLine }
