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

// orthogonalizer holds the matrices of Newton-Schulz steps: x and result
// [rows, cols], the others [k, k], k the smaller of both.
type orthogonalizer struct {
	x, result                         []float32
	gram, square, step, product, next []float32
}

// matrix returns room for the n elements of a matrix.
func (o *orthogonalizer) matrix(n int) []float32 {
	o.x = room(o.x, n)
	return o.x
}

// room returns s with length n, in new memory if it is too short.
func room(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

// newtonSchulzSteps is the number of steps behind an update.
const newtonSchulzSteps = 5

// orthogonalize moves the singular values of the matrix x [rows, cols], which
// o.matrix gave, close to 1 by five Newton-Schulz steps on its smaller side,
// shown here for rows <= cols:
//
//	X = X/|X|, five times X = P X with P = a I + b A + c A^2 and A = X X^T.
//
// The coefficients are Jordan's; they leave singular values between 0.7 and
// 1.2. Every P is a polynomial of the first A: they all are symmetric and
// commute. So the steps go on without X,
//
//	Q = P Q and A = P A P,
//
// half of each of these products is enough, and the last Q multiplies X. The
// result is valid until the next call.
func (o *orthogonalizer) orthogonalize(x []float32, rows, cols int) []float32 {
	k := min(rows, cols)
	for _, m := range []*[]float32{&o.gram, &o.square, &o.step, &o.product, &o.next} {
		*m = room(*m, k*k)
	}
	o.result = room(o.result, len(x))
	kernel.Scale(x, float32(1/(math.Sqrt(kernel.SumSquares(x))+1e-7)))
	kernel.Gram(o.gram, x, k, len(x)/max(1, k), rows > cols)
	for i := range newtonSchulzSteps {
		o.polynomial(k)
		if i == 0 {
			copy(o.product, o.step)
		} else {
			kernel.MulSymmetric(o.next, o.step, o.product, k)
			o.product, o.next = o.next, o.product
		}
		if i < newtonSchulzSteps-1 {
			kernel.MulSymmetric(o.square, o.step, o.gram, k)
			kernel.MulSymmetric(o.gram, o.square, o.step, k)
		}
	}
	if rows <= cols {
		kernel.GemmNN(o.result, o.product, x, rows, cols, k, false)
	} else {
		kernel.GemmNN(o.result, x, o.product, rows, cols, k, false)
	}
	return o.result
}

// polynomial sets step = a I + b gram + c gram^2.
func (o *orthogonalizer) polynomial(k int) {
	const a, b, c = 3.4445, -4.7750, 2.0315
	kernel.MulSymmetric(o.step, o.gram, o.gram, k)
	kernel.Scale(o.step, c)
	kernel.AddScaled(o.step, o.gram, b)
	for i := range k {
		o.step[i*k+i] += a
	}
}
