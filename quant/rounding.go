package quant

import "math"

// Rounding names how a value between two codes chooses one.
type Rounding string

const (
	// HalfEven rounds to the nearest code, ties to the even one: IEEE 754's
	// default, and that of PyTorch and NumPy.
	HalfEven Rounding = "half-even"
	// HalfAway rounds to the nearest code, ties away from zero: C's round.
	HalfAway Rounding = "half-away"
	// Floor rounds down.
	Floor Rounding = "floor"
	// Ceil rounds up.
	Ceil Rounding = "ceil"
	// Stochastic rounds up with the probability of the fraction, so that the
	// mean of many draws is the value itself (Gupta et al. 2015,
	// arXiv:1502.02551, section 3). The draw is a function of Config.Seed
	// and of the element's place alone.
	Stochastic Rounding = "stochastic"
)

// Roundings lists the roundings.
func Roundings() []Rounding {
	return []Rounding{HalfEven, HalfAway, Floor, Ceil, Stochastic}
}

// round returns v as a whole number; place is the element's place in its
// tensor. The arithmetic is float64, where v and its halves are exact.
func (r Rounding) round(v float64, seed uint64, place int) float64 {
	switch r {
	case HalfAway:
		return math.Round(v)
	case Floor:
		return math.Floor(v)
	case Ceil:
		return math.Ceil(v)
	case Stochastic:
		return math.Floor(v + uniform(seed, uint64(place)))
	}
	return math.RoundToEven(v)
}

// uniform returns a number in [0, 1), a hash of its arguments: the output
// function of SplitMix64 (Steele et al. 2014, OOPSLA, figure 17).
func uniform(seed, place uint64) float64 {
	const golden = 0x9e3779b97f4a7c15
	return float64(mix(mix(seed+golden)+place*golden)>>11) / (1 << 53)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
