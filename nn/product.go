package nn

import "trefoil/internal/kernel"

// productRows rows of x are multiplied at a time, productStep inputs by one
// instruction.
const (
	productRows = 32
	productStep = 32
)

// multiply writes the product of the codes of x and of one weight matrix, any
// codes of up to 8 bits with one scale or one an output:
//
//	y[r*out+o] = F(sum over i of x[r,i]*w[o,i]) * (sx[r]*sw[o])
//
// With a scale a group, it is the sum over the groups g of a row, in order, of
// F(sum over g) * (sx[r]*sw[o,g]). This is the product of
// [trefoil/quant/packed.Linear], bit for bit. The sums of integers are exact
// up to 131,071 inputs.
func (l *linear[F]) multiply(y []F, p *part[F]) {
	size, in := l.in, l.in
	if p.w.group > 0 {
		size = p.w.group
	} else {
		in = (l.in + productStep - 1) / productStep * productStep
		size = in
	}
	w, releaseW := widened(p.w.codes, p.out, l.in, in)
	defer releaseW()
	lds := p.out + 3 // as DotCodes wants
	blocks := (l.tokens + productRows - 1) / productRows
	kernel.Parallel(blocks, func(b int) {
		first := b * productRows
		rows := min(productRows, l.tokens-first)
		sums, release := borrow[int32](rows * lds)
		defer release()
		x, releaseX := widened(l.x.codes[first*l.in:], rows, l.in, in)
		defer releaseX()
		for at := 0; at < in; at += size {
			kernel.DotCodes(sums, lds, x[at:], in, rows, w[at:], in, p.out, size)
			for r := range rows {
				line, sx := y[(first+r)*l.out:][:p.out], l.rowScales[first+r]
				for o, sum := range sums[r*lds:][:p.out] {
					product := F(F(sum) * F(sx*p.scale(o, at, l.in))) // not fused with the sum
					if at > 0 {
						product += line[o]
					}
					line[o] = product
				}
			}
		}
	})
}

// widened returns codes [rows, cols] with rows of to codes, filled up with 0.
func widened(codes []int8, rows, cols, to int) (wide []int8, release func()) {
	if to == cols {
		return codes, func() {}
	}
	wide, release = borrow[int8](rows * to)
	for r := range rows {
		n := copy(wide[r*to:(r+1)*to], codes[r*cols:(r+1)*cols])
		clear(wide[r*to+n : (r+1)*to])
	}
	return wide, release
}

// scale returns the scale of output o and of the group that begins at input at
// of in.
func (p *part[F]) scale(o, at, in int) F {
	if p.w.group > 0 {
		return p.w.scales[(o*in+at)/p.w.group]
	}
	return p.w.scale(o)
}
