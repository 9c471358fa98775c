package quant

import (
	"fmt"
	"math"
	"slices"
)

// Estimator names the derivative that stands in for that of rounding. In it
// v = x/scale is the value in units of the grid, and [lo, hi] are the grid's
// outermost codes.
type Estimator string

const (
	// Identity passes the gradient through (Bengio et al. 2013,
	// arXiv:1308.3432): the estimator of BitNet. The empty string means the
	// same.
	Identity Estimator = "identity"
	// Clipped passes it where the rounded value lies on the grid,
	// lo <= round(v) <= hi, and stops it elsewhere (for one bit Hubara et al.
	// 2016, arXiv:1602.02830, equation 4).
	Clipped Estimator = "clipped"
	// Tanh is the derivative of a staircase made of tanh steps
	// (Gong et al. 2019, arXiv:1908.05033, equation 4): with r the distance
	// of v from the nearest threshold of the grid and k = 2,
	//
	//	k (1 - tanh(k r)^2) / (2 tanh(k/2)).
	//
	// It is largest at a threshold, where a small change flips the code, and
	// fades beyond the grid.
	Tanh Estimator = "tanh"
)

// Estimators lists the estimators.
func Estimators() []Estimator { return []Estimator{Identity, Clipped, Tanh} }

// Validate reports an unknown estimator.
func (e Estimator) Validate() error {
	if e != "" && !slices.Contains(Estimators(), e) {
		return fmt.Errorf("estimator %q is not known: use one of %q", string(e), Estimators())
	}
	return nil
}

const tanhSharpness = 2

// Derivative returns the estimator's value at v on a grid from lo to hi.
func (e Estimator) Derivative(v, lo, hi float64) float64 {
	switch e {
	case Clipped:
		if r := math.RoundToEven(v); r < lo || r > hi {
			return 0
		}
	case Tanh:
		threshold := min(max(math.Floor(v), lo), hi-1) + 0.5
		t := math.Tanh(tanhSharpness * (v - threshold))
		return tanhSharpness * (1 - t*t) / (2 * math.Tanh(tanhSharpness/2.0))
	}
	return 1
}
