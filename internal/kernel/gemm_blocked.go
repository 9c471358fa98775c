package kernel

// gemmTiles are the parts that a float32 product is built of at one level.
type gemmTiles struct {
	rows, cols int // of the largest tile
	full, half func(c *float32, ldc int, a *float32, rowA, colA int, b *float32, ldb int, m, n, k int, add bool)
	transpose8 func(dst *float32, ldd int, src *float32, lds, blocks int)
	copyRows   func(dst *float32, ldd int, src *float32, lds, rows, vectors int)

	rowTimesColumns func(c, a, b *float32, ldb, blocks int, add bool)
}

// The blocks of a product, after Goto and van de Geijn 2008. A panel of b,
// blockK by the tile's columns, stays in the first-level cache while a block of
// a, blockM by blockK, passes it from the second-level cache, tile by tile.
const (
	blockM  = 264 // rows of a block: a multiple of 6 and of 8
	blockK  = 256
	maxRows = 8 // of a tile at any level
	maxCols = 32

	directRows = 16 // with up to this many rows b is read where it is
	copyCols   = 96 // with more columns the block of a is copied
	// compact is the distance of rows, in elements, up to which both operands
	// are read where they are: a block of them fits the cache as it is.
	compact = 128
	// copyPad keeps the rows of a copied block out of each other's cache sets.
	copyPad = 16
)

// A product is one call of gemm in float32.
type product struct {
	*gemmTiles
	c, a, b matrix[float32]
	m, n, k int
	add     bool
	lower   bool // leave out tiles above the diagonal of c
}

// packing is the memory that a goroutine packs into.
type packing struct {
	panel [blockK * maxCols]float32
	block [max(blockM*(blockK+copyPad), blockK*(blockM+copyPad))]float32
}

var packings freeList[packing]

// taskFlops is how many multiply-adds are worth a goroutine.
const taskFlops = 1 << 19

// run divides c into rectangles, first by rows, then by columns, and computes
// them in parallel.
func (g *product) run() {
	tasks := min(4*Threads(), 1+g.m*g.n*g.k/taskFlops)
	if Threads() == 1 || tasks == 1 {
		g.rectangle(0, g.m, 0, g.n)
		return
	}
	rows := divide(g.m, min(tasks, (g.m+blockM-1)/blockM), g.gemmTiles.rows)
	down := (g.m + rows - 1) / rows
	cols := divide(g.n, (tasks+down-1)/down, g.gemmTiles.cols)
	across := (g.n + cols - 1) / cols
	if across == 1 && down < tasks {
		rows = divide(g.m, tasks, g.gemmTiles.rows)
		down = (g.m + rows - 1) / rows
	}
	Parallel(down*across, func(task int) {
		i, j := task/across*rows, task%across*cols
		g.rectangle(i, min(i+rows, g.m), j, min(j+cols, g.n))
	})
}

// divide returns the size of each of about parts parts of n, a multiple of
// unit.
func divide(n, parts, unit int) int {
	size := (n + parts - 1) / parts
	return (size + unit - 1) / unit * unit
}

// rectangle computes rows [i0, i1) and columns [j0, j1) of c.
func (g *product) rectangle(i0, i1, j0, j1 int) {
	if i1-i0 == 1 && g.b.row == 1 && g.k%8 == 0 {
		j0 = g.oneRow(i0, j0, j1)
	}
	s := packings.take()
	defer packings.put(s)
	rows := divide(i1-i0, (i1-i0+blockM-1)/blockM, g.rows)
	for p := 0; p < g.k; p += blockK {
		k := min(blockK, g.k-p)
		for i := i0; i < i1; i += rows {
			m := min(rows, i1-i)
			a := g.a.from(i, p)
			if j1-j0 > copyCols && m > g.rows && max(a.row, a.col) > compact {
				a = g.copyBlock(s, a, m, k)
			}
			for j := j0; j < j1; j += g.cols {
				n := min(g.cols, j1-j)
				above := 0 // rows of the block that are done, or lie above the diagonal
				if g.lower {
					above = g.firstRow(i, j)
				}
				if above >= m {
					break
				}
				b, ldb := g.panel(s, g.b.from(p, j), k, n, m <= directRows || g.b.row <= compact)
				if half := g.cols / 2; g.lower && n > half {
					// The upper rows on the diagonal have only the panel's left half below it.
					end := min(m, g.firstRow(i, j+half))
					if end > above {
						g.tiles(g.c.from(i+above, j), a.from(above, 0), b, ldb, end-above, half, k, g.add || p > 0)
						above = end
					}
					if above == m {
						continue
					}
				}
				g.tiles(g.c.from(i+above, j), a.from(above, 0), b, ldb, m-above, n, k, g.add || p > 0)
			}
		}
	}
}

// firstRow returns the first row, counted from row i of c, of the tiles that
// reach the diagonal in columns from j on, or lie below it.
func (g *product) firstRow(i, j int) int { return max(0, j-i) / g.rows * g.rows }

// oneRow computes columns from j0 on of row i, 32 at a time, from a b given
// transposed. It returns the first column, before j1, that it has left.
func (g *product) oneRow(i, j0, j1 int) int {
	for ; j0+32 <= j1; j0 += 32 {
		g.rowTimesColumns(&g.c.from(i, j0).data[0], &g.a.from(i, 0).data[0], &g.b.from(0, j0).data[0], g.b.col, g.k/8, g.add)
	}
	return j0
}

// tiles computes one panel of c: m by n, n at most a tile's columns.
func (g *gemmTiles) tiles(c, a matrix[float32], b *float32, ldb, m, n, k int, add bool) {
	tile := g.full
	if n <= g.cols/2 {
		tile = g.half
	}
	tile(&c.data[0], c.row, &a.data[0], a.row, a.col, b, ldb, m, n, k, add)
}

// panel returns k by n elements of b in a form that a tile can read, and the
// distance of its rows: packed with zeros for the columns that lack, or, if
// direct is set and they lie side by side, where they are.
func (g *gemmTiles) panel(s *packing, b matrix[float32], k, n int, direct bool) (p *float32, ld int) {
	if direct && b.col == 1 && (n == g.cols || n == g.cols/2) {
		return &b.data[0], b.row
	}
	g.pack(s.panel[:], b, k, n)
	return &s.panel[0], g.cols
}

// pack writes k by n elements of b as rows of g.cols, padded with zeros.
func (g *gemmTiles) pack(dst []float32, b matrix[float32], k, n int) {
	if n < g.cols {
		clear(dst[:k*g.cols])
	}
	if b.col == 1 {
		g.packRows(dst, b, k, n)
		return
	}
	j := 0
	for ; j+8 <= n; j += 8 {
		g.packColumns8(dst[j:], b.from(0, j), k)
	}
	for ; j < n; j++ {
		for p, v := range b.data[j*b.col : j*b.col+k] {
			dst[p*g.cols+j] = v
		}
	}
}

func (g *gemmTiles) packRows(dst []float32, b matrix[float32], k, n int) {
	whole := n &^ 7
	if whole > 0 {
		g.copyRows(&dst[0], g.cols, &b.data[0], b.row, k, whole/8)
	}
	if whole == n {
		return
	}
	for p := range k {
		copy(dst[p*g.cols+whole:p*g.cols+n], b.data[p*b.row+whole:])
	}
}

// packColumns8 packs 8 columns of b, which lie as rows in memory.
func (g *gemmTiles) packColumns8(dst []float32, b matrix[float32], k int) {
	whole := k &^ 7
	if whole > 0 {
		g.transpose8(&dst[0], g.cols, &b.data[0], b.col, whole/8)
	}
	for p := whole; p < k; p++ {
		for j := range 8 {
			dst[p*g.cols+j] = b.data[p+j*b.col]
		}
	}
}

// copyBlock copies m by k elements of a into memory that fits the cache.
func (g *gemmTiles) copyBlock(s *packing, a matrix[float32], m, k int) matrix[float32] {
	rows, cols, ld := m, k, a.row
	if a.row == 1 {
		rows, cols, ld = k, m, a.col
	}
	lddst := cols + copyPad
	for i := range rows {
		copy(s.block[i*lddst:i*lddst+cols], a.data[i*ld:])
	}
	if a.row == 1 {
		return matrix[float32]{s.block[:], 1, lddst}
	}
	return matrix[float32]{s.block[:], lddst, 1}
}
