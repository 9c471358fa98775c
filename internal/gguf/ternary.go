package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// A ternaryLayout is how a type stores ternary elements: the digits, which are
// the codes plus one, and the scale d in half precision.
type ternaryLayout struct {
	length, bytes    int // of a block
	digitsAt, qBytes int // where in a block the digits lie
	scaleAt          int
	pack             func(dst, digits []byte) // a block's digits, each at most 2
	unpack           func(digits, src []byte)
}

var ternaryLayouts = map[Type]*ternaryLayout{
	TQ1_0: {length: 256, bytes: 54, qBytes: 52, scaleAt: 52, pack: packTQ1, unpack: unpackTQ1},
	TQ2_0: {length: 256, bytes: 66, qBytes: 64, scaleAt: 64, pack: packTQ2, unpack: unpackTQ2},
	Q2_0:  {length: 64, bytes: 18, digitsAt: 2, qBytes: 16, pack: packQ2, unpack: unpackQ2},
}

func (l *ternaryLayout) store(block []byte, digits []byte, d uint16) {
	l.pack(block[l.digitsAt:l.digitsAt+l.qBytes], digits)
	binary.LittleEndian.PutUint16(block[l.scaleAt:], d)
}

// encode quantizes whole blocks as llama.cpp does: d is a block's largest
// magnitude before it is rounded to half precision.
func (l *ternaryLayout) encode(dst []byte, x []float32) {
	digits := make([]byte, l.length)
	for ; len(x) > 0; dst, x = dst[l.bytes:], x[l.length:] {
		d := absMax(x[:l.length])
		inv := inverse(d)
		for i, v := range x[:l.length] {
			digits[i] = nearestDigit(v * inv)
		}
		l.store(dst, digits, half(d))
	}
}

// nearestDigit rounds y, which is hardly more than 1 in magnitude, half away
// from zero, and adds 1.
func nearestDigit(y float32) byte {
	switch {
	case y >= 0.5:
		return 2
	case y <= -0.5:
		return 0
	}
	return 1
}

// encodeCodes stores whole blocks of ternary codes with the scale d, or with
// 0 in blocks of zeros, as [ternaryLayout.encode] would of codes times d.
func (l *ternaryLayout) encodeCodes(dst []byte, codes []int8, d uint16) {
	digits := make([]byte, l.length)
	for ; len(codes) > 0; dst, codes = dst[l.bytes:], codes[l.length:] {
		scale := uint16(0)
		for i, c := range codes[:l.length] {
			digits[i] = byte(c + 1)
			if c != 0 {
				scale = d
			}
		}
		l.store(dst, digits, scale)
	}
}

func (l *ternaryLayout) decode(dst []float32, src []byte) {
	digits := make([]byte, l.length)
	for ; len(dst) > 0; dst, src = dst[l.length:], src[l.bytes:] {
		l.unpack(digits, src[l.digitsAt:l.digitsAt+l.qBytes])
		d := single(binary.LittleEndian.Uint16(src[l.scaleAt:]))
		values := [4]float32{-1 * d, 0 * d, 1 * d, 2 * d}
		for i, q := range digits {
			dst[i] = values[q&3]
		}
	}
}

// TQ1_0: elements 0 to 159 lie in 32 bytes, 160 to 239 in 16, five to a byte,
// and 240 to 255 in 4, four to a byte. Byte m of a group of n bytes holds
// elements m, m+n, m+2n, ..., the first most significant.

func packTQ1(dst, digits []byte) {
	packTrits(dst[:32], digits[:160])
	packTrits(dst[32:48], digits[160:240])
	packTrits(dst[48:52], digits[240:])
}

func unpackTQ1(digits, src []byte) {
	unpackTrits(digits[:160], src[:32])
	unpackTrits(digits[160:240], src[32:48])
	unpackTrits(digits[240:], src[48:52])
}

// packTrits packs a group. The number q of five digits to base 3 is stored as
// the fraction q/243 of 256, rounded up, so that multiplying by 3 brings the
// digits out one by one; a byte of fewer digits ends with zeros.
func packTrits(dst, digits []byte) {
	n := len(dst)
	for m := range dst {
		q := 0
		for i := m; i < 5*n; i += n {
			q *= 3
			if i < len(digits) {
				q += int(digits[i])
			}
		}
		dst[m] = byte((q*256 + 242) / 243)
	}
}

func unpackTrits(digits, src []byte) {
	n := len(src)
	for m, b := range src {
		for i := m; i < len(digits); i += n {
			q := 3 * uint16(b)
			digits[i], b = byte(q>>8), byte(q)
		}
	}
}

// TQ2_0: two groups of 128 elements in 32 bytes. Byte m of a group holds its
// elements m, m+32, m+64 and m+96, the first in the lowest bits.

func packTQ2(dst, digits []byte) {
	for len(dst) > 0 {
		for m := range 32 {
			dst[m] = digits[m] | digits[m+32]<<2 | digits[m+64]<<4 | digits[m+96]<<6
		}
		dst, digits = dst[32:], digits[128:]
	}
}

func unpackTQ2(digits, src []byte) {
	for len(src) > 0 {
		for m, b := range src[:32] {
			digits[m], digits[m+32], digits[m+64], digits[m+96] = b&3, b>>2&3, b>>4&3, b>>6
		}
		digits, src = digits[128:], src[32:]
	}
}

// Q2_0: four elements to a byte in their order, the first in the lowest bits.

func packQ2(dst, digits []byte) {
	for m := range dst {
		d := digits[4*m : 4*m+4]
		dst[m] = d[0] | d[1]<<2 | d[2]<<4 | d[3]<<6
	}
}

func unpackQ2(digits, src []byte) {
	for m, b := range src {
		d := digits[4*m : 4*m+4]
		d[0], d[1], d[2], d[3] = b&3, b>>2&3, b>>4&3, b>>6
	}
}

// I2_S: as a group of TQ2_0, but the first element in the highest bits.

const (
	i2sLength = 128
	i2sBytes  = 32
	// i2sZero is the magnitude below which bitnet.cpp takes a weight for zero.
	i2sZero = 1e-6
)

func packI2S(dst, digits []byte) {
	for ; len(dst) > 0; dst, digits = dst[i2sBytes:], digits[i2sLength:] {
		for m := range i2sBytes {
			dst[m] = digits[m]<<6 | digits[m+32]<<4 | digits[m+64]<<2 | digits[m+96]
		}
	}
}

// decodeI2S decodes whole blocks. Digit 3 means nothing: it is an error that
// names the first element, counted from the blocks' begin.
func decodeI2S(dst []float32, src []byte, scale float32) error {
	values := [4]float32{-1 * scale, 0 * scale, 1 * scale}
	for block := 0; block < len(dst)/i2sLength; block++ {
		x := dst[block*i2sLength:][:i2sLength]
		for m, b := range src[block*i2sBytes:][:i2sBytes] {
			if b&(b>>1)&0b01010101 != 0 {
				return i2sInvalid{block*i2sLength + m + 32*(bits.LeadingZeros8(b&(b>>1)&0b01010101)/2)}
			}
			x[m], x[m+32], x[m+64], x[m+96] = values[b>>6], values[b>>4&3], values[b>>2&3], values[b&3]
		}
	}
	return nil
}

// i2sInvalid is the error of an element of the code 3.
type i2sInvalid struct{ element int }

func (e i2sInvalid) Error() string {
	return fmt.Sprintf("element %d has the code 3: those of I2_S are 0, 1 and 2", e.element)
}

// i2sDigits rounds weights to their signs.
func i2sDigits(digits []byte, x []float32) {
	for i, v := range x {
		switch {
		case math.Abs(float64(v)) < i2sZero:
			digits[i] = 1
		case v > 0:
			digits[i] = 2
		default:
			digits[i] = 0
		}
	}
}
