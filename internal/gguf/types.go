package gguf

import (
	"fmt"
	"math"
	"strings"
)

// A Type is how a tensor's elements are stored, by its number in the file.
// The package encodes and decodes the types below; others are known by name
// and size only. "code" is a ternary weight plus one; d is a scale in half
// precision.
type Type uint32

const (
	F32  Type = 0
	F16  Type = 1
	BF16 Type = 30
	// Q4_0: 32 elements, d and then 4-bit codes; element = (code-8) * d.
	Q4_0 Type = 2
	// Q8_0: 32 elements, d and then int8 codes; element = code * d.
	Q8_0 Type = 8
	// TQ1_0: 256 ternary elements in 54 bytes, five to a byte, then d.
	TQ1_0 Type = 34
	// TQ2_0: 256 ternary elements in 66 bytes, four to a byte, then d.
	TQ2_0 Type = 35
	// Q2_0: d, then 64 ternary elements in 16 bytes, four to a byte.
	Q2_0 Type = 42
	// I2_S, of bitnet.cpp: four ternary elements to a byte, then one float32
	// scale for the whole tensor and 28 bytes that fill up. The order, in
	// blocks of 128, is that of its standard build for x86; a build without
	// ACT_PARALLEL, or for ARM, has another.
	I2_S Type = 36
)

// encodable are the types that can be written, the ternary ones first.
var encodable = []Type{TQ1_0, TQ2_0, Q2_0, I2_S, Q8_0, Q4_0, F16, BF16, F32}

// i2sTrailer is what follows the codes of an I2_S tensor, in bytes.
const i2sTrailer = 32

// layouts gives the name of a type, the elements that share a block, and the
// bytes of a block.
var layouts = map[Type]struct {
	name          string
	length, bytes int
}{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2}, 28: {"F64", 1, 8},
	24: {"I8", 1, 1}, 25: {"I16", 1, 2}, 26: {"I32", 1, 4}, 27: {"I64", 1, 8},
	Q4_0: {"Q4_0", 32, 18}, 3: {"Q4_1", 32, 20}, 6: {"Q5_0", 32, 22}, 7: {"Q5_1", 32, 24},
	Q8_0: {"Q8_0", 32, 34}, 9: {"Q8_1", 32, 40},
	10: {"Q2_K", 256, 84}, 11: {"Q3_K", 256, 110}, 12: {"Q4_K", 256, 144},
	13: {"Q5_K", 256, 176}, 14: {"Q6_K", 256, 210}, 15: {"Q8_K", 256, 292},
	16: {"IQ2_XXS", 256, 66}, 17: {"IQ2_XS", 256, 74}, 18: {"IQ3_XXS", 256, 98},
	19: {"IQ1_S", 256, 50}, 20: {"IQ4_NL", 32, 18}, 21: {"IQ3_S", 256, 110},
	22: {"IQ2_S", 256, 82}, 23: {"IQ4_XS", 256, 136}, 29: {"IQ1_M", 256, 56},
	TQ1_0: {"TQ1_0", 256, 54}, TQ2_0: {"TQ2_0", 256, 66}, I2_S: {"I2_S", 128, 32},
	39: {"MXFP4", 32, 17}, 40: {"NVFP4", 64, 36}, 41: {"Q1_0", 128, 18}, Q2_0: {"Q2_0", 64, 18},
}

// String returns the name of the type, such as TQ1_0.
func (t Type) String() string {
	if l, ok := layouts[t]; ok {
		return l.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// ParseType returns the type of that name, such as "tq1_0" or "F16". Only
// types that [Write] can encode are accepted.
func ParseType(name string) (Type, error) {
	for _, t := range encodable {
		if strings.EqualFold(name, t.String()) {
			return t, nil
		}
	}
	return 0, fmt.Errorf("tensor type %q is not supported: use one of %v", name, encodable)
}

// BlockLength returns how many elements share a block: the length of a row
// must be a multiple of it. It is 0 for a type that is not known.
func (t Type) BlockLength() int { return layouts[t].length }

// Bytes returns the size of a tensor of a row-major shape. It fails when the
// type is not known, when the rows are not a whole number of blocks, and when
// the size is beyond 63 bits.
func (t Type) Bytes(shape []int) (int64, error) {
	l, ok := layouts[t]
	if !ok {
		return 0, fmt.Errorf("%v of tensors is not known", t)
	}
	if row := rowLength(shape); row%l.length != 0 {
		return 0, fmt.Errorf("rows of %d elements do not divide into the blocks of %d that %v has: %v would fit", row, l.length, t, fitting(row))
	}
	n := int64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		if d > 0 && n > math.MaxInt64/8/int64(d) { // 8: the most bytes that an element takes
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n *= int64(d)
	}
	n = n / int64(l.length) * int64(l.bytes)
	if t == I2_S {
		n += i2sTrailer
	}
	return n, nil
}

// fitting lists the types for ternary weights whose blocks divide a row.
func fitting(row int) []Type {
	var out []Type
	for _, t := range []Type{TQ1_0, TQ2_0, I2_S, Q2_0, F16} {
		if row%t.BlockLength() == 0 {
			out = append(out, t)
		}
	}
	return out
}
