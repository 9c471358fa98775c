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
			x, dy, gain := gaussian[float32](rng, rows*dim), gaussian[float32](rng, rows*dim), gaussian[float32](rng, dim)
			y, dx, inv := newFenced[float32](rows*dim, guard), newFenced[float32](rows*dim, guard), newFenced[float32](rows, guard)
			dgain := make([]float32, dim)
			RMSNorm(y.s, inv.s, x, gain, rows, dim, 1e-5)
			RMSNormGrad(dx.s, dgain, dy, x, gain, inv.s, nil, rows, dim)
			oneY, oneX, oneInv := make([]float32, dim), make([]float32, dim), make([]float32, 1)
			for r := range rows {
				lo, hi := r*dim, (r+1)*dim
				what := fmt.Sprintf("dim %d, row %d: ", dim, r)
				RMSNorm(oneY, oneInv, x[lo:hi], gain, 1, dim, 1e-5)
				same(t, what+"y", y.s[lo:hi], oneY)
				same(t, what+"inv", inv.s[r:r+1], oneInv)
				RMSNormGrad(oneX, dgain, dy[lo:hi], x[lo:hi], gain, oneInv, nil, 1, dim)
				same(t, what+"dx", dx.s[lo:hi], oneX)
			}
			y.check(t, "y")
			dx.check(t, "dx")
			inv.check(t, "inv")
		}
	})
}
