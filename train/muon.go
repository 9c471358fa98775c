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
func (s *state) muon(o *Optimizer, w, g []float32, scale float32, decay float64) {
	const momentum = 0.95
	room, _ := o.orthogonalizers.Get().(*orthogonalizer)
	if room == nil {
		room = new(orthogonalizer)
	}
	defer o.orthogonalizers.Put(room)

	kernel.Scale(s.mean, momentum)
	kernel.AddScaled(s.mean, g, scale)

	x := room.matrix(len(g))
	clear(x)
	kernel.AddScaled(x, g, scale)
	kernel.AddScaled(x, s.mean, momentum)
	x = room.orthogonalize(x, s.rows, s.cols)

	kernel.Scale(w, float32(1-o.MuonLR*decay))
	kernel.AddScaled(w, x, float32(-o.MuonLR*0.2*math.Sqrt(float64(max(s.rows, s.cols)))))
}

// orthogonalizer holds the intermediate matrices of Newton-Schulz steps.
type orthogonalizer struct {
	x, next    []float32 // [rows, cols]
	gram, poly []float32 // [k, k], k the smaller of both
}

// matrix returns room for the n elements of a matrix.
func (o *orthogonalizer) matrix(n int) []float32 {
	o.x, o.next = room(o.x, n), room(o.next, n)
	return o.x
}

// room returns s with length n, in new memory if it is too short.
func room(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

// orthogonalize moves the singular values of the matrix x [rows, cols], which
// o.matrix gave, close to 1 by five Newton-Schulz steps on its smaller side,
// shown here for rows <= cols:
//
//	X = X/|X|, five times X = (a I + b A + c A^2) X with A = X X^T.
//
// The coefficients are Jordan's; they leave singular values between 0.7 and
// 1.2. The result is valid until the next call.
func (o *orthogonalizer) orthogonalize(x []float32, rows, cols int) []float32 {
	const a, b, c = 3.4445, -4.7750, 2.0315
	k := min(rows, cols)
	o.gram, o.poly = room(o.gram, k*k), room(o.poly, k*k)
	next := o.next
	kernel.Scale(x, float32(1/(math.Sqrt(kernel.SumSquares(x))+1e-7)))
	for range 5 {
		if rows <= cols {
			kernel.GemmNT(o.gram, x, x, k, k, cols, false)
		} else {
			kernel.GemmTN(o.gram, x, x, k, k, rows, false)
		}
		kernel.GemmNN(o.poly, o.gram, o.gram, k, k, k, false)
		kernel.Scale(o.poly, c)
		kernel.AddScaled(o.poly, o.gram, b)
		for i := range k {
			o.poly[i*k+i] += a
		}
		if rows <= cols {
			kernel.GemmNN(next, o.poly, x, rows, cols, k, false)
		} else {
			kernel.GemmNN(next, x, o.poly, rows, cols, k, false)
		}
		x, next = next, x
	}
	return x
}
