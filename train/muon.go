package train

import (
	"math"

	"trefoil/internal/kernel"
)

// muon updates the matrix w by its momentum, made orthogonal (Jordan et al.
// 2024, "Muon: An optimizer for hidden layers in neural networks"), in steps
// of AdamW's size (Liu et al. 2025, arXiv:2502.16982, equation 4):
//
//	m = 0.95 m + g
//	w = (1 - lr decay) w - lr 0.2 sqrt(max(rows, cols)) orthogonal(g + 0.95 m)
func (s *state) muon(w, g []float32, scale float32, lr, decay float64) {
	const momentum = 0.95
	kernel.Scale(s.mean, momentum)
	kernel.AddScaled(s.mean, g, scale)

	x := make([]float32, len(g))
	kernel.AddScaled(x, g, scale)
	kernel.AddScaled(x, s.mean, momentum)
	x = orthogonalize(x, s.rows, s.cols)

	kernel.Scale(w, float32(1-lr*decay))
	kernel.AddScaled(w, x, float32(-lr*0.2*math.Sqrt(float64(max(s.rows, s.cols)))))
}

// orthogonalize moves the singular values of the matrix x [rows, cols] close
// to 1, by five Newton-Schulz steps on the smaller side:
//
//	X = X/|X|, five times X = a X + (b A + c A^2) X with A = X X^T.
//
// The coefficients are Jordan's; they leave singular values between 0.7 and
// 1.2. x is overwritten.
func orthogonalize(x []float32, rows, cols int) []float32 {
	const a, b, c = 3.4445, -4.7750, 2.0315
	m, n := rows, cols
	if rows > cols {
		x = transpose(x, rows, cols)
		m, n = cols, rows
	}
	kernel.Scale(x, float32(1/(math.Sqrt(kernel.SumSquares(x))+1e-7)))
	gram, poly, next := make([]float32, m*m), make([]float32, m*m), make([]float32, m*n)
	for range 5 {
		kernel.GemmNT(gram, x, x, m, m, n, false)
		kernel.GemmNN(poly, gram, gram, m, m, m, false)
		kernel.Scale(poly, c)
		kernel.AddScaled(poly, gram, b)
		for i := range m {
			poly[i*m+i] += a
		}
		kernel.GemmNN(next, poly, x, m, n, m, false)
		x, next = next, x
	}
	if rows > cols {
		x = transpose(x, m, n)
	}
	return x
}

// transpose returns x^T [cols, rows] of x [rows, cols].
func transpose(x []float32, rows, cols int) []float32 {
	const tile = 32
	y := make([]float32, len(x))
	kernel.Parallel((rows+tile-1)/tile, func(i int) {
		for j := 0; j < cols; j += tile {
			for r := i * tile; r < min(rows, (i+1)*tile); r++ {
				for c := j; c < min(cols, j+tile); c++ {
					y[c*rows+r] = x[r*cols+c]
				}
			}
		}
	})
	return y
}
