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
	// Floor rounds down, but within [snap] of a code takes that code.
	Floor Rounding = "floor"
	// Ceil rounds up, but within [snap] of a code takes that code.
	Ceil Rounding = "ceil"
	// Stochastic rounds up with the probability of the fraction, so that the
	// mean of many draws is the value itself (Gupta et al. 2015,
	// arXiv:1502.02551, section 3, unnumbered), but within [snap] of a code
	// takes that code. What is drawn is a function of Config.Seed, Tensor.Draw
	// and the element's place alone.
	Stochastic Rounding = "stochastic"
)

// snap is how near to a code, as a share of it, the directed roundings take it
// for the code itself: the value of a code, divided by its scale in float32,
// is off by up to three half units in the last place. Without it the code
// below might be the code of a code's value.
const snap = 1.0 / (1 << 21)

// Roundings lists the roundings.
func Roundings() []Rounding {
	return []Rounding{HalfEven, HalfAway, Floor, Ceil, Stochastic}
}

// round returns v as a whole number; place is the element's place in its
// tensor. The arithmetic is float64, where v and its halves are exact.
func (r Rounding) round(v float64, seed, draw uint64, place int) float64 {
	near := math.RoundToEven(v)
	switch {
	case r == HalfAway:
		return math.Round(v)
	case r == HalfEven || math.Abs(v-near) <= snap*math.Abs(near):
		return near
	case r == Floor:
		return math.Floor(v)
	case r == Ceil:
		return math.Ceil(v)
	}
	return math.Floor(v + uniform(seed, draw, uint64(place)))
}

// uniform returns a number in [0, 1), a hash of its arguments: the output
// function of SplitMix64 (Steele et al. 2014, OOPSLA, figure 17).
func uniform(seed, draw, place uint64) float64 {
	const golden = 0x9e3779b97f4a7c15
	return float64(mix(mix(seed+golden*(1+draw))+place*golden)>>11) / (1 << 53)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
