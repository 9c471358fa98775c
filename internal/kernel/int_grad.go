package kernel

// inputBlock codes of a gradient times ternary weights add up to at most
// 2^16*32767 < 2^31, and weightBlock times int8 activations to at most
// 512*32767*128 < 2^31.
const (
	inputBlock  = 1 << 16
	weightBlock = 512
)

// MulGradInput computes the gradient of a ternary product in its input:
//
//	dx[r,i] (+)= F(sum over o of codes[r,o]*w[o,i]) * (scales[r]*sw)
//
// for codes [rows, out] within +-32767 with scales [rows], from
// QuantizeGradRows, and w [out, in] of -1, 0 and 1. dx is [rows, in]; add says
// that the product is added to it. Beyond out = 65,536 the sum is cut into
// blocks of so many outputs, each scaled and added in order.
func MulGradInput[F Float](dx []F, codes []int16, scales []F, w []int8, sw F, rows, out, in int, add bool) {
	dx, codes, scales, w = dx[:rows*in], codes[:rows*out], scales[:rows], w[:out*in]
	if out == 0 && !add {
		clear(dx)
	}
	if rows == 0 || in == 0 {
		return
	}
	for o := 0; o < out; o += inputBlock {
		n := min(inputBlock, out-o)
		g := gradInput[F]{dx: dx, codes: codes[o:], ldc: out, scales: scales, w: w[o*in : (o+n)*in],
			sw: sw, rows: rows, out: n, in: in, add: add || o > 0}
		if k := integers(); k != nil {
			g.tiles(k)
		} else {
			g.portable()
		}
	}
}

// gradInput is one block of MulGradInput; rows of codes are ldc apart.
type gradInput[F Float] struct {
	dx            []F
	codes         []int16
	ldc           int
	scales        []F
	w             []int8
	sw            F
	rows, out, in int
	add           bool
}

func (g *gradInput[F]) portable() {
	chunks(g.rows, max(1, grain/(g.out*g.in)), func(lo, hi int) {
		buf := taskSpace()
		defer buf.release()
		sums := grow(&buf.int32, g.in)
		for r := lo; r < hi; r++ {
			clear(sums)
			for o, c := range g.codes[r*g.ldc : r*g.ldc+g.out] {
				addProduct(sums, g.w[o*g.in:(o+1)*g.in], int32(c))
			}
			g.finish(buf, r, 1, 0, g.in, sums)
		}
	})
}

// finish writes the sums of rows from row on, and of columns from col on.
func (g *gradInput[F]) finish(buf *workspace, row, rows, col, cols int, sums []int32) {
	scales := floats[F](buf, rows)
	for r := range rows {
		scales[r] = F(g.scales[row+r] * g.sw)
	}
	if !g.add {
		t := sumsTile[F]{g.dx[row*g.in+col:], g.in, sums, rows, cols}
		t.scale(zeroOffsets[:], scales)
		return
	}
	for r := range rows {
		addScaledSums(g.dx[(row+r)*g.in+col:][:cols], sums[r*stripCols:][:cols], scales[r])
	}
}

// MulGradWeight computes the gradient of a ternary product in its weights:
//
//	dw[o,i] = scales[o] * sum over r of codes[r,o]*x[r,i]
//
// for codes [rows, out] within +-32767 with scales [out], from
// QuantizeGradColumns, and x [rows, in]. The sum of each 512 rows is exact;
// these sums are converted to F and added in order. dw is [out, in].
func MulGradWeight[F Float](dw []F, codes []int16, scales []F, x []int8, rows, out, in int) {
	dw, codes, scales, x = dw[:out*in], codes[:rows*out], scales[:out], x[:rows*in]
	if rows == 0 {
		clear(dw)
	}
	if rows == 0 || out == 0 || in == 0 {
		return
	}
	g := gradWeight[F]{dw: dw, codes: codes, scales: scales, x: x, rows: rows, out: out, in: in}
	if k := integers(); k != nil {
		g.tiles(k)
	} else {
		g.portable()
	}
}

// gradWeight is one call of MulGradWeight.
type gradWeight[F Float] struct {
	dw            []F
	codes         []int16
	scales        []F
	x             []int8
	rows, out, in int
}

func (g *gradWeight[F]) portable() {
	chunks(g.out, max(1, grain/(g.rows*g.in)), func(lo, hi int) {
		buf := taskSpace()
		defer buf.release()
		sums := grow(&buf.int32, g.in)
		for o := lo; o < hi; o++ {
			for first := 0; first < g.rows; first += weightBlock {
				clear(sums)
				for r := first; r < min(g.rows, first+weightBlock); r++ {
					addProduct(sums, g.x[r*g.in:(r+1)*g.in], int32(g.codes[r*g.out+o]))
				}
				g.finish(buf, o, 1, 0, g.in, first, sums)
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
