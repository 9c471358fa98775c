package kernel

// GemmNN computes c = a*b, or c += a*b when add is set, with a: [m, k],
// b: [k, n], c: [m, n].
//
// In this and the other two products each element of c is one chain of
// multiply-adds over k in rising order, starting from 0 or from the old c,
// whatever m, n and the number of threads.
func GemmNN[F Float](c, a, b []F, m, n, k int, add bool) {
	gemm(matrix[F]{c, n, 1}, matrix[F]{a, k, 1}, matrix[F]{b, n, 1}, m, n, k, add)
}

// GemmNT is GemmNN with b given transposed: a: [m, k], b: [n, k], c: [m, n].
func GemmNT[F Float](c, a, b []F, m, n, k int, add bool) {
	gemm(matrix[F]{c, n, 1}, matrix[F]{a, k, 1}, matrix[F]{b, 1, k}, m, n, k, add)
}

// GemmTN is GemmNN with a given transposed: a: [k, m], b: [k, n], c: [m, n].
func GemmTN[F Float](c, a, b []F, m, n, k int, add bool) {
	gemm(matrix[F]{c, n, 1}, matrix[F]{a, 1, m}, matrix[F]{b, n, 1}, m, n, k, add)
}

// A matrix is a view of a slice: element (i, j) is data[i*row+j*col], and one
// of row and col is 1.
type matrix[F Float] struct {
	data     []F
	row, col int
}

// from returns the view that starts at element (i, j).
func (x matrix[F]) from(i, j int) matrix[F] {
	return matrix[F]{x.data[i*x.row+j*x.col:], x.row, x.col}
}

// transposed returns the view with rows and columns exchanged.
func (x matrix[F]) transposed() matrix[F] { return matrix[F]{x.data, x.col, x.row} }

// holds panics unless the matrix has m rows and n columns: assembly does not
// check its indices.
func (x matrix[F]) holds(m, n int) {
	_ = x.data[(m-1)*x.row+(n-1)*x.col]
}

// gemm computes c (+)= a*b with a: [m, k], b: [k, n], c: [m, n], c.col = 1.
func gemm[F Float](c, a, b matrix[F], m, n, k int, add bool) {
	switch v := vector[F](); {
	case m == 0 || n == 0:
	case k == 0 || v == nil:
		chunks(m, 1+4*grain/(n*max(1, k)), func(lo, hi int) {
			for i := lo; i < hi; i++ {
				gemmRow(c.data[i*c.row:i*c.row+n], a, i, b, k, add)
			}
		})
	default:
		c.holds(m, n)
		a.holds(m, k)
		b.holds(k, n)
		g := product{&v.gemmTiles, matrix32(c), matrix32(a), matrix32(b), m, n, k, add, false}
		g.run()
	}
}

func matrix32[F Float](x matrix[F]) matrix[float32] {
	return matrix[float32]{f32(x.data), x.row, x.col}
}

// gemmRow is row i of a product: it reads b along its rows in memory.
func gemmRow[F Float](c []F, a matrix[F], i int, b matrix[F], k int, add bool) {
	if !add {
		clear(c)
	}
	if b.col != 1 {
		for j := range c {
			sum := c[j]
			for p, w := range b.data[j*b.col : j*b.col+k] {
				sum += a.data[i*a.row+p*a.col] * w
			}
			c[j] = sum
		}
		return
	}
	for p := range k {
		axpy(c, a.data[i*a.row+p*a.col], b.data[p*b.row:])
	}
}

// axpy computes y += a*x.
func axpy[F Float](y []F, a F, x []F) {
	x = x[:len(y)]
	for i := range y {
		y[i] += a * x[i]
	}
}
