package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestNormRows wants each row to have the same bits alone as among others:
// assembly takes four at a time.
func TestNormRows(t *testing.T) {
	eachLevel(t, func(t *testing.T, _ Level) {
		rng := rand.New(rand.NewPCG(9, 10))
		const rows = 7
		for _, dim := range []int{1, 7, 16, 33, 100, 256} {
			x, dy, gain := random[float32](rng, rows*dim).x, random[float32](rng, rows*dim).x, random[float32](rng, dim).x
			y, dx, inv := newGuarded[float32](rows*dim), newGuarded[float32](rows*dim), newGuarded[float32](rows)
			dgain := make([]float32, dim)
			RMSNorm(y.x, inv.x, x, gain, rows, dim, 1e-5)
			RMSNormGrad(dx.x, dgain, dy, x, gain, inv.x, nil, rows, dim)
			oneY, oneX, oneInv := make([]float32, dim), make([]float32, dim), make([]float32, 1)
			for r := range rows {
				lo, hi := r*dim, (r+1)*dim
				what := fmt.Sprintf("dim %d, row %d: ", dim, r)
				RMSNorm(oneY, oneInv, x[lo:hi], gain, 1, dim, 1e-5)
				equal(t, what+"y", y.x[lo:hi], oneY)
				equal(t, what+"inv", inv.x[r:r+1], oneInv)
				RMSNormGrad(oneX, dgain, dy[lo:hi], x[lo:hi], gain, oneInv, nil, 1, dim)
				equal(t, what+"dx", dx.x[lo:hi], oneX)
			}
			y.check(t, "y")
			dx.check(t, "dx")
			inv.check(t, "inv")
		}
	})
}
