package kernel

// wordTiles is the inner product of both gradients at one level: 16-bit codes
// on the left, bytes on the right, sums of 32 bits. Steps of the sum go in
// pairs. The right operand is in panels of 32 columns: [pairs][32][2].
type wordTiles struct {
	rows, cols int // of a tile: divisors of tileRows and panelOutputs
	tile       func(sums *int32, a *int16, rowA, pairA int, b *int8, pairs int, add bool)
}

// panel multiplies tileRows rows and one panel; add says that the product is
// added to sums. Rows of a are rowA elements apart, pairs pairA.
func (t *wordTiles) panel(sums []int32, a []int16, rowA, pairA int, b []int8, pairs int, add bool) {
	for r := 0; r < tileRows; r += t.rows {
		for c := 0; c < panelOutputs; c += t.cols {
			t.tile(&sums[r*stripCols+c], &a[r*rowA], rowA, pairA, &b[2*c], pairs, add)
		}
	}
}

const (
	// tilePairs is how many pairs of steps a tile does at once: its operands
	// then stay in the first-level cache.
	tilePairs = 256
	// groupTiles tiles use a strip of panels one after another while it is in
	// the second-level cache.
	groupTiles = 8
)

// packRight packs columns of b [steps, n] into panels of ceil(steps/2) pairs,
// filled up with zeros.
func (k *integerKernels) packRight(dst, b []int8, steps, n int) {
	pairs := (steps + 1) / 2
	size := pairs * 2 * panelOutputs
	panels := (n + panelOutputs - 1) / panelOutputs
	chunks(panels, max(1, grain/size), func(lo, hi int) {
		for p := lo; p < hi; p++ {
			first := p * panelOutputs
			k.packRightPanel(dst[p*size:(p+1)*size], b[first:], n, steps, min(panelOutputs, n-first))
		}
	})
}

func (k *integerKernels) packRightPanel(dst, b []int8, ld, steps, cols int) {
	fast := 0
	if cols == panelOutputs && steps > 1 {
		fast = steps / 2
		k.interleaveBytes(&dst[0], &b[0], ld, fast)
	}
	interleave(dst[fast*2*panelOutputs:], b, ld, 2*fast, steps, cols, panelOutputs)
}

// interleave packs the first cols columns of the steps from first on into
// pairs of width columns, filled up with zeros.
func interleave[T int8 | int16](dst, src []T, ld, first, steps, cols, width int) {
	clear(dst)
	for s := first; s < steps; s++ {
		line := dst[(s-first)/2*2*width+(s-first)%2:]
		for c, v := range src[s*ld : s*ld+cols] {
			line[2*c] = v
		}
	}
}

// tiles computes the gradient in the input with the weights as the right
// operand.
func (g *gradInput[F]) tiles(k *integerKernels) {
	buf := callSpace()
	defer buf.release()
	pairs := (g.out + 1) / 2
	panels := (g.in + panelOutputs - 1) / panelOutputs
	packed := grow(&buf.int8, panels*pairs*2*panelOutputs)
	k.packRight(packed, g.w, g.out, g.in)

	strips := (g.in + stripCols - 1) / stripCols
	groups := gradGroups(g.rows, strips)
	Parallel(strips*groups.n, func(task int) {
		first, last := groups.tiles(task % groups.n)
		for t := first; t < last; t++ {
			g.tile(k, packed, t*tileRows, task/groups.n*stripCols)
		}
	})
}

// tile computes a strip of up to tileRows rows. It copies their codes, as
// mulTernaryRows does.
func (g *gradInput[F]) tile(k *integerKernels, packed []int8, row, col int) {
	buf := taskSpace()
	defer buf.release()
	lda := paddedRow(2*g.out) / 2
	codes := grow(&buf.int16, tileRows*lda)
	rows := min(tileRows, g.rows-row)
	for r := range rows {
		line := codes[r*lda : (r+1)*lda]
		clear(line[copy(line, g.codes[(row+r)*g.ldc:(row+r)*g.ldc+g.out]):])
	}
	cols := min(stripCols, g.in-col)
	sums := grow(&buf.int32, tileRows*stripCols)
	pairs := (g.out + 1) / 2
	size := pairs * 2 * panelOutputs
	for pair := 0; pair < pairs; pair += tilePairs {
		n := min(tilePairs, pairs-pair)
		for c := 0; c < cols; c += panelOutputs {
			panel := packed[(col+c)/panelOutputs*size:][:size]
			k.grad.panel(sums[c:], codes[2*pair:], lda, 2, panel[pair*2*panelOutputs:], n, pair > 0)
		}
	}
	g.finish(buf, row, rows, col, cols, sums)
}

// tiles computes the gradient in the weights with the activations as the right
// operand, a block of rows after the other.
func (g *gradWeight[F]) tiles(k *integerKernels) {
	buf := callSpace()
	defer buf.release()
	tiles := (g.out + tileRows - 1) / tileRows
	panels := (g.in + panelOutputs - 1) / panelOutputs
	left := grow(&buf.int16, tiles*tileRows*weightBlock)
	right := grow(&buf.int8, panels*panelOutputs*weightBlock)
	strips := (g.in + stripCols - 1) / stripCols
	groups := gradGroups(g.out, strips)
	for row := 0; row < g.rows; row += weightBlock {
		steps := min(weightBlock, g.rows-row)
		g.packLeft(k, left, row, steps)
		k.packRight(right, g.x[row*g.in:], steps, g.in)
		Parallel(strips*groups.n, func(task int) {
			first, last := groups.tiles(task % groups.n)
			for t := first; t < last; t++ {
				g.tile(k, left, right, t*tileRows, task/groups.n*stripCols, row, steps)
			}
		})
	}
}

// packLeft packs steps rows of the codes, from row on, into tiles of tileRows
// outputs: [ceil(steps/2)][tileRows][2], filled up with zeros.
func (g *gradWeight[F]) packLeft(k *integerKernels, dst []int16, row, steps int) {
	size := (steps + 1) / 2 * 2 * tileRows
	tiles := (g.out + tileRows - 1) / tileRows
	chunks(tiles, max(1, grain/size), func(lo, hi int) {
		for t := lo; t < hi; t++ {
			o := t * tileRows
			cols := min(tileRows, g.out-o)
			src, to := g.codes[row*g.out+o:], dst[t*size:(t+1)*size]
			fast := 0
			if cols == tileRows && steps > 1 {
				fast = steps / 2
				k.interleaveWords(&to[0], &src[0], g.out, fast)
			}
			interleave(to[fast*2*tileRows:], src, g.out, 2*fast, steps, cols, tileRows)
		}
	})
}

// tile computes a strip of up to tileRows outputs, for one block of rows.
func (g *gradWeight[F]) tile(k *integerKernels, left []int16, right []int8, o, col, row, steps int) {
	buf := taskSpace()
	defer buf.release()
	sums := grow(&buf.int32, tileRows*stripCols)
	pairs := (steps + 1) / 2
	cols := min(stripCols, g.in-col)
	size := pairs * 2 * panelOutputs
	for c := 0; c < cols; c += panelOutputs {
		k.grad.panel(sums[c:], left[o*2*pairs:], 2, 2*tileRows, right[(col+c)/panelOutputs*size:], pairs, false)
	}
	g.finish(buf, o, min(tileRows, g.out-o), col, cols, row, sums)
}

// tileGroups are the tiles of a product in groups of neighbours.
type tileGroups struct{ all, n int }

// gradGroups divides rows into groups of up to groupTiles tiles, fewer if that
// leaves a thread idle when each group goes with each strip.
func gradGroups(rows, strips int) tileGroups {
	all := (rows + tileRows - 1) / tileRows
	n := (all + groupTiles - 1) / groupTiles
	return tileGroups{all, min(all, max(n, 4*Threads()/strips))}
}

// tiles returns the range of tiles of group i.
func (g tileGroups) tiles(i int) (first, last int) {
	return i * g.all / g.n, (i + 1) * g.all / g.n
}
