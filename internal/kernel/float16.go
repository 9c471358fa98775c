package kernel

import "math"

// EncodeFloat16 rounds src to IEEE 754 binary16, half to even: too large
// gives an infinity, too small a subnormal or zero, NaN a quiet NaN with the
// upper bits of its payload. dst has at least len(src) elements.
func EncodeFloat16(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	chunks(len(src), grain, func(lo, hi int) {
		encodeHalf(dst[lo:hi], src[lo:hi])
	})
}

// DecodeFloat16 widens binary16 numbers to float32, exactly; a NaN comes out
// quiet. dst has at least len(src) elements.
func DecodeFloat16(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	chunks(len(src), grain, func(lo, hi int) {
		decodeHalf(dst[lo:hi], src[lo:hi])
	})
}

func encodeHalfPortable(dst []uint16, src []float32) {
	for i, v := range src {
		dst[i] = float16Bits(v)
	}
}

func decodeHalfPortable(dst []float32, src []uint16) {
	for i, h := range src {
		dst[i] = float16Value(h)
	}
}

// The largest exponents and the hidden bit of binary16 and binary32.
const (
	halfInf     = 0x7c00
	halfQuiet   = 0x0200
	singleInf   = 0x7f80_0000
	singleQuiet = 0x0040_0000
)

func float16Bits(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	bits &= 0x7fff_ffff
	switch {
	case bits > singleInf: // NaN
		return sign | halfInf | halfQuiet | uint16(bits>>13&0x3ff)
	case bits >= 0x4780_0000: // 2^16 and beyond
		return sign | halfInf
	case bits < 0x3880_0000: // below 2^-14: a multiple of 2^-24
		units := math.RoundToEven(float64(math.Float32frombits(bits)) * (1 << 24))
		return sign | uint16(units)
	}
	// Rebias the exponent from 127 to 15, round off 13 bits; a carry out of the
	// mantissa raises the exponent, up to infinity, as it should.
	bits += 0xfff + bits>>13&1
	return sign | uint16((bits-(127-15)<<23)>>13)
}

func float16Value(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent, mantissa := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exponent == 0x1f && mantissa != 0:
		return math.Float32frombits(sign | singleInf | singleQuiet | mantissa<<13)
	case exponent == 0x1f:
		return math.Float32frombits(sign | singleInf)
	case exponent == 0:
		return math.Float32frombits(sign | math.Float32bits(float32(mantissa)/(1<<24)))
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | mantissa<<13)
}
