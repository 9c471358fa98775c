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

// mulTernaryTiles divides the product into tasks: tiles of rows and, when
// these are few, parts of the panels.
func mulTernaryTiles[F Float](k *integerKernels, y []F, ldy int, x []int8, sx []F, w *Ternary, sw F, rows int) {
	tiles := (rows + tileRows - 1) / tileRows
	panels := (w.out + panelOutputs - 1) / panelOutputs
	parts := max(1, min(4*Threads()/tiles, panels, tileRows*w.out*w.in/taskProducts))
	if rows < tileRows {
		parts = max(1, min(parts, rows*w.out*w.in/taskProducts))
	}
	Parallel(tiles*parts, func(task int) {
		p := task % parts
		t := ternaryTask{Ternary: w, integerKernels: k, firstPanel: panels * p / parts, lastPanel: panels * (p + 1) / parts}
		r := task / parts * tileRows
		n := min(tileRows, rows-r)
		mulTernaryRows(&t, y[r*ldy:], ldy, x[r*w.in:(r+n)*w.in], sx[r:r+n], sw)
	})
}

// A ternaryTask is some panels of a product.
type ternaryTask struct {
	*Ternary
	*integerKernels
	firstPanel, lastPanel int
}

// mulTernaryRows multiplies up to tileRows rows. It copies them: filled up
// with zeros to whole blocks, and at distances that keep the rows out of each
// other's cache sets.
func mulTernaryRows[F Float](t *ternaryTask, y []F, ldy int, x []int8, sx []F, sw F) {
	buf := taskSpace()
	defer buf.release()
	rows := len(sx)
	ldx := paddedRow(t.in)
	copied := grow(&buf.int8, tileRows*ldx)
	sums := grow(&buf.int32, tileRows*stripCols)
	var rowSums [tileRows]int32
	for r := range rows {
		line := copied[r*ldx : (r+1)*ldx]
		clear(line[copy(line, x[r*t.in:(r+1)*t.in]):])
		rowSums[r] = t.sumBytes(&line[0], len(line))
	}
	size := t.blocks() * panelBlock
	for first := t.firstPanel; first < t.lastPanel; first += stripCols / panelOutputs {
		last := min(t.lastPanel, first+stripCols/panelOutputs)
		for p := first; p < last; p++ {
			t.ternary.panel(sums[(p-first)*panelOutputs:], copied, ldx, rows, t.panels[p*size:(p+1)*size], t.blocks())
		}
		o := first * panelOutputs
		n := min(last*panelOutputs, t.out) - o
		for r := range rows {
			scaleSums(y[r*ldy+o:r*ldy+o+n], sums[r*stripCols:][:n], rowSums[r], F(sx[r]*sw))
		}
	}
}

// paddedRow returns the distance, in bytes, of copied rows of n bytes: whole
// cache lines, an odd number of them, at least one.
func paddedRow(n int) int { return ((n+cacheLine-1)/cacheLine | 1) * cacheLine }
