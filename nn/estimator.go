package nn

import (
	"trefoil/internal/kernel"
	"trefoil/quant"
)

// backward writes dx = grad * (1 + lambda (derivative - 1)), the gradient of
// x + lambda (Q(x) - x), for values that share one scale.
func backward[F kernel.Float](e quant.Estimator, dx, grad, x []F, scale, lambda, lo, hi float64) {
	for i, v := range x {
		dx[i] = grad[i] * F(1+lambda*(e.Derivative(float64(v)/scale, lo, hi)-1))
	}
}

func isIdentity(e quant.Estimator) bool { return e == "" || e == quant.Identity }
