package kernel

// Gram computes c = a*a^T for a: [n, k], or c = a^T*a for a: [k, n] when
// columns is set; c: [n, n]. It computes one half and copies it to the other,
// on one goroutine: callers have many matrices.
func Gram[F Float](c, a []F, n, k int, columns bool) {
	x := matrix[F]{a, k, 1}
	if columns {
		x = matrix[F]{a, 1, n}
	}
	symmetric(c, x, x.transposed(), n, k)
}

// MulSymmetric computes c = a*b for symmetric a and b: [n, n] whose product is
// symmetric too, as that of two polynomials of one matrix is. It works like
// Gram.
func MulSymmetric[F Float](c, a, b []F, n int) {
	x := matrix[F]{b, n, 1}
	symmetric(c, matrix[F]{a, n, 1}, x, n, n)
}

// symmetric computes the lower half of c = a*b and mirrors it.
func symmetric[F Float](c []F, a, b matrix[F], n, k int) {
	if n == 0 {
		return
	}
	to := matrix[F]{c, n, 1}
	to.holds(n, n)
	v := vector[F]()
	if v == nil || k == 0 {
		for i := range n {
			gemmRow(c[i*n:i*n+n], a, i, b, k, false)
		}
		mirror(to, 0, n)
		return
	}
	a.holds(n, k)
	b.holds(k, n)
	g := product{&v.gemmTiles, matrix32(to), matrix32(a), matrix32(b), n, n, k, false, true}
	g.rectangle(0, n, 0, n)
	whole := n &^ 7
	for i := 8; i < whole; i += 8 {
		g.transpose8(&g.c.from(0, i).data[0], n, &g.c.from(i, 0).data[0], n, i/8)
	}
	for i := 0; i < whole; i += 8 {
		mirror(to.from(i, i), 0, 8)
	}
	mirror(to, whole, n)
}

// mirror copies rows [first, last) left of the diagonal to the columns above
// it.
func mirror[F Float](c matrix[F], first, last int) {
	for i := first; i < last; i++ {
		for j, v := range c.data[i*c.row : i*c.row+i] {
			c.data[j*c.row+i] = v
		}
	}
}
