package kernel

// The gradients of a ternary product, dX = dY W and dW = dY^T X, multiply
// integers too: dY is rounded to 16 bits, one row or column with one scale, a
// few rows at a time and right before they are multiplied.

// inputBlock codes of a gradient times ternary weights add up to at most
// 2^16*32767 < 2^31, and weightBlock times int8 activations to at most
// 512*32767*128 < 2^31.
const (
	inputBlock  = 1 << 16
	weightBlock = 512
)

// MulGradInput computes the gradient of a ternary product in its input:
//
//	dx[r,i] (+)= F(sum over o of code[r,o]*w[o,i]) * (scale[r]*sw)
//
// with code[r,o] = round(dy[r,o]*(32767/amax)), half to even, and
// scale[r] = amax/32767, amax being the largest |dy| of the row. dx is
// [rows, in]; row r of dy, out long, begins at r*lddy; w is [out, in] of -1, 0
// and 1; add says that the product is added to dx. Beyond out = 65,536 the sum
// is cut into blocks of so many outputs, each scaled and added in order.
//
// A row whose maximum is zero, or so small that 32767/amax overflows F, counts
// as zeros. A NaN or an infinity makes its row of dx NaN.
func MulGradInput[F Float](dx, dy []F, lddy int, w []int8, sw F, rows, out, in int, add bool) {
	dx, w = dx[:rows*in], w[:out*in]
	if out == 0 && !add {
		clear(dx)
	}
	if rows == 0 || out == 0 || in == 0 {
		return
	}
	g := gradInput[F]{dx: dx, dy: dy[:(rows-1)*lddy+out], lddy: lddy, w: w, sw: sw, rows: rows, out: out, in: in, add: add}
	if k := integers(); k != nil {
		g.tiles(k)
	} else {
		g.portable()
	}
}

// gradInput is one call of MulGradInput.
type gradInput[F Float] struct {
	dx, dy        []F
	lddy          int
	w             []int8
	sw            F
	rows, out, in int
	add           bool
}

// quantize writes the codes of row r and returns what its sums are multiplied
// with.
func (g *gradInput[F]) quantize(codes []int16, r int) F {
	return F(quantizeGradRow(codes, g.dy[r*g.lddy:r*g.lddy+g.out]) * g.sw)
}

func (g *gradInput[F]) portable() {
	chunks(g.rows, max(1, grain/(g.out*g.in)), func(lo, hi int) {
		buf := taskSpace()
		defer buf.release()
		codes, sums, scale := grow(&buf.int16, g.out), grow(&buf.int32, g.in), floats[F](buf, 1)
		for r := lo; r < hi; r++ {
			scale[0] = g.quantize(codes, r)
			for first := 0; first < g.out; first += inputBlock {
				clear(sums)
				for o := first; o < min(g.out, first+inputBlock); o++ {
					addProduct(sums, g.w[o*g.in:(o+1)*g.in], int32(codes[o]))
				}
				g.finish(scale, r, 0, g.in, g.add || first > 0, sums)
			}
		}
	})
}

// finish writes, or adds, the sums of a row for each scale, from row on, and of
// columns from col on.
func (g *gradInput[F]) finish(scales []F, row, col, cols int, add bool, sums []int32) {
	if !add {
		t := sumsTile[F]{g.dx[row*g.in+col:], g.in, sums, len(scales), cols}
		t.scale(zeroOffsets[:], scales)
		return
	}
	for r, scale := range scales {
		addScaledSums(g.dx[(row+r)*g.in+col:][:cols], sums[r*stripCols:][:cols], scale)
	}
}

// MulGradWeight computes the gradient of a ternary product in its weights:
//
//	dw[o,i] = scale[o] * sum over r of code[r,o]*x[r,i]
//
// with code[r,o] = round(v*(32767/amax)), half to even, and
// scale[o] = amax/32767, v being dy[r,o]*rowScale[r] and amax the largest |v| of
// the column. dw is [out, in]; row r of dy, out long, begins at r*lddy;
// rowScale is [rows], x [rows, in]. The sum of each 512 rows is exact; these
// sums are converted to F and added in order.
//
// A column whose maximum is zero, or so small that 32767/amax overflows F,
// counts as zeros. A NaN or an infinity makes its row of dw NaN.
func MulGradWeight[F Float](dw, dy []F, lddy int, rowScale []F, x []int8, rows, out, in int) {
	dw, rowScale, x = dw[:out*in], rowScale[:rows], x[:rows*in]
	if rows == 0 {
		clear(dw)
	}
	if rows == 0 || out == 0 || in == 0 {
		return
	}
	buf := callSpace()
	defer buf.release()
	g := gradWeight[F]{dw: dw, dy: dy[:(rows-1)*lddy+out], lddy: lddy, rowScale: rowScale, x: x, rows: rows, out: out, in: in}
	g.findScales(buf)
	if k := integers(); k != nil {
		g.tiles(k, buf)
	} else {
		g.portable(buf)
	}
}

// gradWeight is one call of MulGradWeight.
type gradWeight[F Float] struct {
	dw, dy        []F
	lddy          int
	rowScale      []F
	x             []int8
	rows, out, in int
	scales, inv   []F // [out]: of the codes, and what makes codes of dy*rowScale
}

// findScales finds the scales of the columns. Each task keeps maxima of its own
// for its part of the rows, and the parts are folded at the end: a maximum does
// not depend on the order.
func (g *gradWeight[F]) findScales(buf *workspace) {
	out := g.out
	parts := max(1, min(4*Threads(), g.rows/rowGrain(out)))
	lines := floats[F](buf, (parts+1)*out)
	clear(lines)
	Parallel(parts, func(i int) {
		line := lines[i*out : (i+1)*out]
		for r := i * g.rows / parts; r < (i+1)*g.rows/parts; r++ {
			absMaxScaled(line, g.dy[r*g.lddy:r*g.lddy+out], g.rowScale[r])
		}
	})
	amax := lines[:out]
	for i := 1; i < parts; i++ {
		absMaxScaled(amax, lines[i*out:(i+1)*out], 1)
	}
	g.scales, g.inv = lines[parts*out:], amax
	for o, a := range amax {
		g.scales[o], g.inv[o] = gradScale(a)
	}
}

// quantize writes the codes of row r.
func (g *gradWeight[F]) quantize(codes []int16, r int) {
	quantizeColumns16(codes[:g.out], g.dy[r*g.lddy:r*g.lddy+g.out], g.inv, g.rowScale[r])
}

func (g *gradWeight[F]) portable(buf *workspace) {
	codes := grow(&buf.int16, g.rows*g.out)
	for r := range g.rows {
		g.quantize(codes[r*g.out:], r)
	}
	chunks(g.out, max(1, grain/(g.rows*g.in)), func(lo, hi int) {
		own := taskSpace()
		defer own.release()
		sums := grow(&own.int32, g.in)
		for o := lo; o < hi; o++ {
			for first := 0; first < g.rows; first += weightBlock {
				clear(sums)
				for r := first; r < min(g.rows, first+weightBlock); r++ {
					addProduct(sums, g.x[r*g.in:(r+1)*g.in], int32(codes[r*g.out+o]))
				}
				g.finish(own, o, 1, 0, g.in, first, sums)
			}
		}
	})
}

// finish adds the sums of the block of rows that begins at row to outputs from
// o on, and columns from col on, and scales after the last block.
func (g *gradWeight[F]) finish(buf *workspace, o, outs, col, cols, row int, sums []int32) {
	scales := g.scales[o : o+outs]
	if row+weightBlock < g.rows {
		scales = floats[F](buf, outs)
		for i := range scales {
			scales[i] = 1
		}
	}
	t := sumsTile[F]{g.dw[o*g.in+col:], g.in, sums, outs, cols}
	if row == 0 {
		t.scale(zeroOffsets[:], scales)
		return
	}
	t.fold(scales)
}

// addProduct adds a*x to sums.
func addProduct(sums []int32, x []int8, a int32) {
	sums = sums[:len(x)]
	for i, v := range x {
		sums[i] += a * int32(v)
	}
}
