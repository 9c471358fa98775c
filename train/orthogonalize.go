package train

import (
	"math"
	"sync"

	"trefoil/internal/kernel"
)

// orthogonalizer holds the matrices of Newton-Schulz steps: x and result
// [rows, cols], the others [k, k], k the smaller of both.
type orthogonalizer struct {
	x, result                         []float32
	gram, square, step, product, next []float32
}

// orthogonalizers are those that no goroutine uses. Other than those of a
// sync.Pool, they stay until the optimizer goes.
type orthogonalizers struct {
	mu   sync.Mutex
	free []*orthogonalizer
}

func (o *orthogonalizers) take() *orthogonalizer {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(o.free)
	if n == 0 {
		return new(orthogonalizer)
	}
	last := o.free[n-1]
	o.free = o.free[:n-1]
	return last
}

func (o *orthogonalizers) put(used *orthogonalizer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.free = append(o.free, used)
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
	kernel.Combine(o.step, c, o.step, b, o.gram)
	for i := range k {
		o.step[i*k+i] += a
	}
}
