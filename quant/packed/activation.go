package packed

import (
	"fmt"
	"math"
)

// Activation functions on int8 codes, of which a code c with the scale s
// stands for c*s.

// ReLU writes max(code, 0); the scale stays. dst may be src.
func ReLU(dst, src []int8) {
	for i, c := range src {
		dst[i] = max(c, 0)
	}
}

// A Table gives each int8 code, as a byte, the code of a function of it.
type Table [256]int8

// NewTable tabulates f for codes of scale in: the code of c, of scale out, is
// f(c*in)/out, computed in float64, rounded half to even and clamped to -127
// to 127. NaN gives 0. It fails on scales that are not positive and finite.
func NewTable(f func(x float64) float64, in, out float32) (*Table, error) {
	if err := checkScale("input", in); err != nil {
		return nil, err
	}
	if err := checkScale("output", out); err != nil {
		return nil, err
	}
	return tabulate(f, in, out), nil
}

// checkScale reports a scale with which codes of 8 bits are no numbers.
func checkScale(what string, s float32) error {
	if !(s > 0 && s <= math.MaxFloat32/128) {
		return fmt.Errorf("activation: %s scale %v: give a positive number, so small that 128 times it is finite", what, s)
	}
	return nil
}

func tabulate(f func(x float64) float64, in, out float32) *Table {
	t := new(Table)
	for c := math.MinInt8; c <= math.MaxInt8; c++ {
		v := math.RoundToEven(f(float64(c)*float64(in)) / float64(out))
		if v == v {
			t[byte(c)] = int8(min(max(v, -math.MaxInt8), math.MaxInt8))
		}
	}
	return t
}

// Apply writes the function of the codes src. dst may be src.
func (t *Table) Apply(dst, src []int8) {
	dst = dst[:len(src)]
	for i, c := range src {
		dst[i] = t[byte(c)]
	}
}

// SiLU returns the table of x/(1+exp(-x)) (Elfwing et al. 2018,
// arXiv:1702.03118, section 2) for codes of scale in. Out may be in: |SiLU(x)|
// is at most |x|, so that nothing is clipped but the code -128. It fails as
// [NewTable] does.
func SiLU(in, out float32) (*Table, error) {
	return NewTable(func(x float64) float64 { return x / (1 + math.Exp(-x)) }, in, out)
}

// reLU2 is squared ReLU with the output scale 127 times the square of the
// input scale, whatever that is: code c becomes c*c/127.
var reLU2 = tabulate(func(x float64) float64 { return max(x, 0) * max(x, 0) }, 1, math.MaxInt8)

// ReLU2 writes the codes of max(x, 0)^2 (So et al. 2021, arXiv:2109.08668,
// section 4, unnumbered) and returns their scale, 127*scale^2, with which the largest code
// stands for the square of the largest input. dst may be src. It fails on a
// scale that is not positive, or whose square is too small or too large.
func ReLU2(dst, src []int8, scale float32) (float32, error) {
	out := math.MaxInt8 * float32(scale*scale)
	if err := checkScale("input", scale); err != nil {
		return 0, err
	}
	if err := checkScale("output", out); err != nil {
		return 0, err
	}
	reLU2.Apply(dst, src)
	return out, nil
}
