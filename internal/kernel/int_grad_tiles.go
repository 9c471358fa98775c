package kernel

// wordTiles is the inner product of both gradients at one level: 16-bit codes
// on the left, bytes in words on the right, sums of 32 bits. Steps of the sum go
// in pairs. The right operand is in panels of 32 columns: [pairs][32][2].
type wordTiles struct {
	rows, cols int // of a tile: divisors of tileRows and panelOutputs
	tile       func(sums *int32, a *int16, rowA, pairA int, b *int16, pairs int, add bool)
}

// panel multiplies tileRows rows and one panel; add says that the product is
// added to sums. Rows of a are rowA elements apart, pairs pairA.
func (t *wordTiles) panel(sums []int32, a []int16, rowA, pairA int, b []int16, pairs int, add bool) {
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
	// packSteps rows are quantized before they are packed.
	packSteps = 32
)

// packPanel packs columns of b [steps, n], widened to words, into panel p of
// ceil(steps/2) pairs, filled up with zeros.
func (k *integerKernels) packPanel(dst []int16, b []int8, steps, n, p int) {
	size := (steps + 1) / 2 * 2 * panelOutputs
	dst, b = dst[p*size:(p+1)*size], b[p*panelOutputs:]
	ld, cols := n, min(panelOutputs, n-p*panelOutputs)
	fast := 0
	if cols == panelOutputs && steps > 1 {
		fast = steps / 2
		k.interleaveBytes(&dst[0], &b[0], ld, fast)
	}
	rest := dst[fast*2*panelOutputs:]
	clear(rest)
	for s := 2 * fast; s < steps; s++ {
		line := rest[(s-2*fast)/2*2*panelOutputs+s%2:]
		for c, v := range b[s*ld : s*ld+cols] {
			line[2*c] = int16(v)
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
	size := pairs * 2 * panelOutputs
	packed := grow(&buf.int16, panels*size)
	chunks(panels, max(1, 4*grain/size), func(lo, hi int) {
		for p := lo; p < hi; p++ {
			k.packPanel(packed, g.w, g.out, g.in, p)
		}
	})
	eachRun((g.rows+tileRows-1)/tileRows, func(first, last int) {
		g.group(k, packed, first*tileRows, min(g.rows, last*tileRows))
	})
}

// codedRows are quantized rows of a gradient, from row first on: ld codes each,
// and what the sums of each are multiplied with.
type codedRows[F Float] struct {
	first  int
	codes  []int16
	ld     int
	scales []F
}

// group computes rows [first, end). It quantizes them, to rows at distances
// that keep them out of each other's cache sets, and then goes through the
// strips of columns. A last pair's code beyond out meets a zero of the weights.
func (g *gradInput[F]) group(k *integerKernels, packed []int16, first, end int) {
	buf := taskSpace()
	defer buf.release()
	ld := paddedRow(2*g.out) / 2
	codes := grow(&buf.int16, (end-first+tileRows-1)/tileRows*tileRows*ld)
	scales := floats[F](buf, end-first)
	for r := range scales {
		if next := first + r + 2; next < end {
			prefetch(k, g.dy[next*g.lddy:], g.lddy, 1, g.out)
		}
		scales[r] = g.quantize(codes[r*ld:r*ld+g.out], first+r)
	}
	for col := 0; col < g.in; col += stripCols {
		g.strip(k, packed, codedRows[F]{first, codes, ld, scales}, col, grow(&buf.int32, len(codes)/ld*stripCols))
	}
}

// strip computes a strip of columns, from col on, of some rows: with some steps
// of the weights all tiles after another, so that these stay in the second-level
// cache, then with the next.
func (g *gradInput[F]) strip(k *integerKernels, packed []int16, rows codedRows[F], col int, sums []int32) {
	cols := min(stripCols, g.in-col)
	pairs := (g.out + 1) / 2
	size := pairs * 2 * panelOutputs
	for pair := 0; pair < pairs; {
		from, n := pair, min(tilePairs, pairs-pair)
		pair += n
		last := pair == pairs
		for r := 0; r < len(rows.scales); r += tileRows {
			scales, sums := rows.scales[r:min(len(rows.scales), r+tileRows)], sums[r*stripCols:]
			for c := 0; c < cols; c += panelOutputs {
				if last {
					prefetch(k, g.dx[(rows.first+r)*g.in+col+c:], g.in, len(scales), panelOutputs)
				}
				panel := packed[(col+c)/panelOutputs*size:][:size]
				k.grad.panel(sums[c:], rows.codes[r*rows.ld+2*from:], rows.ld, 2, panel[from*2*panelOutputs:], n, 2*from%inputBlock > 0)
			}
			if last || 2*pair%inputBlock == 0 {
				g.finish(scales, rows.first+r, col, cols, g.add || 2*from >= inputBlock, sums)
			}
		}
	}
}

// tiles computes the gradient in the weights with the activations as the right
// operand, a block of rows after the other.
func (g *gradWeight[F]) tiles(k *integerKernels, buf *workspace) {
	tiles := (g.out + tileRows - 1) / tileRows
	panels := (g.in + panelOutputs - 1) / panelOutputs
	words := grow(&buf.int16, (tiles*tileRows+panels*panelOutputs)*weightBlock)
	left, right := words[:tiles*tileRows*weightBlock], words[tiles*tileRows*weightBlock:]
	strips := (g.in + stripCols - 1) / stripCols
	for row := 0; row < g.rows; row += weightBlock {
		steps := min(weightBlock, g.rows-row)
		pieces := (steps + packSteps - 1) / packSteps
		Parallel(pieces+panels, func(task int) {
			if task < pieces {
				g.packLeft(k, left, row, steps, task*packSteps)
			} else {
				k.packPanel(right, g.x[row*g.in:], steps, g.in, task-pieces)
			}
		})
		eachRun(strips*tiles, func(first, last int) {
			buf := taskSpace()
			defer buf.release()
			for t := first; t < last; t++ {
				g.tile(k, buf, left, right, t%tiles*tileRows, t/tiles*stripCols, row, steps)
			}
		})
	}
}

// packLeft quantizes up to packSteps of the steps rows from row on, those from
// first on, and packs their codes into tiles of tileRows outputs:
// [ceil(steps/2)][tileRows][2]. What fills up the last tile makes sums that
// nobody reads, and what fills up the last pair meets a zero of the activations:
// it may be anything.
func (g *gradWeight[F]) packLeft(k *integerKernels, dst []int16, row, steps, first int) {
	buf := taskSpace()
	defer buf.release()
	ld := (g.out + tileRows - 1) / tileRows * tileRows
	codes := grow(&buf.int16, packSteps*ld)
	n := min(packSteps, steps-first)
	for r := range n {
		g.quantize(codes[r*ld:], row+first+r)
	}
	pairs := (steps + 1) / 2
	for o := 0; o < ld; o += tileRows {
		k.interleaveWords(&dst[2*o*pairs+first*tileRows], &codes[o], ld, (n+1)/2)
	}
}

// tile computes a strip of up to tileRows outputs, for one block of rows.
func (g *gradWeight[F]) tile(k *integerKernels, buf *workspace, left, right []int16, o, col, row, steps int) {
	sums := grow(&buf.int32, tileRows*stripCols)
	pairs := (steps + 1) / 2
	cols := min(stripCols, g.in-col)
	size := pairs * 2 * panelOutputs
	for c := 0; c < cols; c += panelOutputs {
		prefetch(k, g.dw[o*g.in+col+c:], g.in, min(tileRows, g.out-o), panelOutputs)
		k.grad.panel(sums[c:], left[o*2*pairs:], 2, 2*tileRows, right[(col+c)/panelOutputs*size:], pairs, false)
	}
	g.finish(buf, o, min(tileRows, g.out-o), col, cols, row, sums)
}
