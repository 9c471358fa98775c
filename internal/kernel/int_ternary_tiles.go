package kernel

// The sums of a product are made tile by tile: tileRows rows, and up to
// stripCols columns after another before they are converted and written.
const (
	tileRows  = 12
	stripCols = 256
)

// ternaryTiles is the inner product of MulTernary at one level.
type ternaryTiles struct {
	cols int   // of a tile: a divisor of panelOutputs
	rows []int // numbers of rows that tile takes, falling
	tile func(sums *int32, x *int8, ldx, rows int, panel *byte, blocks int)
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

// tiles divides the product into tasks: some tiles of rows with all panels or,
// when there are few tiles, one with a part of the panels.
func (p *ternaryProduct[F]) tiles(k *integerKernels) {
	rows, out, in := len(p.sx), p.w.out, p.w.in
	tiles := (rows + tileRows - 1) / tileRows
	panels := (out + panelOutputs - 1) / panelOutputs
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

// tile multiplies up to tileRows rows with the panels from first to last. It
// copies the rows: filled up with zeros to whole blocks, and at distances that
// keep them out of each other's cache sets.
func (p *ternaryProduct[F]) tile(k *integerKernels, row, first, last int) {
	buf := taskSpace()
	defer buf.release()
	w, rows := p.w, min(tileRows, len(p.sx)-row)
	ldx := paddedRow(w.in)
	x := grow(&buf.int8, tileRows*ldx)
	sums := grow(&buf.int32, tileRows*stripCols)
	offsets := grow(&buf.offsets, rows) // sums of x, since the packed codes are weight+1
	scales := floats[F](buf, rows)
	for r := range rows {
		line := x[r*ldx : (r+1)*ldx]
		clear(line[copy(line, p.x[(row+r)*w.in:(row+r+1)*w.in]):])
		offsets[r] = k.sumBytes(&line[0], len(line))
		scales[r] = F(p.sx[row+r] * p.sw)
	}
	size := w.blocks() * panelBlock
	for ; first < last; first += stripCols / panelOutputs {
		end := min(last, first+stripCols/panelOutputs)
		for i := first; i < end; i++ {
			prefetch(k, p.y[row*p.ldy+i*panelOutputs:], p.ldy, rows, panelOutputs)
			k.ternary.panel(sums[(i-first)*panelOutputs:], x, ldx, rows, w.panels[i*size:(i+1)*size], w.blocks())
		}
		o := first * panelOutputs
		n := min(end*panelOutputs, w.out) - o
		t := sumsTile[F]{p.y[row*p.ldy+o:], p.ldy, sums, rows, n}
		t.scale(offsets, scales)
	}
}

// paddedRow returns the distance, in bytes, of copied rows of n bytes: whole
// cache lines, an odd number of them, at least one.
func paddedRow(n int) int { return ((n+cacheLine-1)/cacheLine | 1) * cacheLine }
