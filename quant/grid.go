package quant

import "fmt"

// A Grid is the set of codes of a quantizer: Min, Min+Step, ..., Max. Step is
// 1, but 2 for grids without a zero, whose codes are odd: -1 and 1 for one
// bit, -3, -1, 1 and 3 for the two bits of SEQ. So the value of a code is
// always (code - zero) * scale.
type Grid struct{ Min, Max, Step int }

// Levels is the number of codes.
func (g Grid) Levels() int { return (g.Max-g.Min)/g.Step + 1 }

// gridKind is what a scale rule needs to know of a grid.
type gridKind string

const (
	binaryGrid  gridKind = "binary"
	ternaryGrid gridKind = "ternary"
	uniformGrid gridKind = "symmetric"
	affineGrid  gridKind = "affine"
)

func gridOf(bits float64, s Scheme) gridKind {
	switch {
	case s == Affine:
		return affineGrid
	case bits == 1:
		return binaryGrid
	case bits == Ternary || bits == 0:
		return ternaryGrid
	}
	return uniformGrid
}

// Grid returns the codes of the configuration, which must be valid.
func (c Config) Grid() Grid {
	c = c.resolved()
	switch {
	case c.Bits == 1:
		return Grid{-1, 1, 2}
	case c.Bits == Ternary:
		return Grid{-1, 1, 1}
	case c.Scale == SEQ:
		return Grid{1 - 1<<int(c.Bits), 1<<int(c.Bits) - 1, 2}
	}
	top := MaxCode(int(c.Bits))
	if c.Codes == Narrow {
		return Grid{-top, top, 1}
	}
	return Grid{-top - 1, top, 1}
}

// MaxCode returns the largest code of a symmetric grid of the given number of
// bits, 2 to 8: 127 for 8 bits. The smallest code is -MaxCode-1. It panics on
// other numbers of bits.
func MaxCode(bits int) int {
	if bits < 2 || bits > 8 {
		panic(fmt.Sprintf("quant: MaxCode of %d bits: a symmetric grid has 2 to 8", bits))
	}
	return 1<<(bits-1) - 1
}
