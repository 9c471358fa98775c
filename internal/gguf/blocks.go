package gguf

import (
	"encoding/binary"
	"math"
	"sync"

	"trefoil/internal/kernel"
)

// A codec converts between values and whole blocks. Values are finite and at
// most limit in magnitude, beyond which a block's scale would overflow.
type codec struct {
	encode func(dst []byte, x []float32)
	decode func(dst []float32, src []byte)
	limit  float32
}

// halfLimit is where rounding to half precision begins to give infinity.
const halfLimit = 65520

// codecs are those of the types whose blocks hold all that it takes to decode
// them: all but I2_S.
var codecs = map[Type]codec{
	F32:   {encodeF32, decodeF32, math.MaxFloat32},
	F16:   {encodeF16, decodeF16, below(halfLimit)},
	BF16:  {encodeBF16, decodeBF16, 0x1.fep127},
	Q8_0:  {encodeQ8, decodeQ8, 127 * below(halfLimit)},
	Q4_0:  {encodeQ4, decodeQ4, 8 * below(halfLimit)},
	TQ1_0: {ternaryLayouts[TQ1_0].encode, ternaryLayouts[TQ1_0].decode, below(halfLimit)},
	TQ2_0: {ternaryLayouts[TQ2_0].encode, ternaryLayouts[TQ2_0].decode, below(halfLimit)},
	Q2_0:  {ternaryLayouts[Q2_0].encode, ternaryLayouts[Q2_0].decode, below(halfLimit)},
}

func below(x float32) float32 { return math.Nextafter32(x, 0) }

// firstBeyond returns the index of the first value that is not finite or
// beyond limit, -1 if there is none.
func firstBeyond(x []float32, limit float32) int {
	for i, v := range x {
		if !(v <= limit && v >= -limit) {
			return i
		}
	}
	return -1
}

func encodeF32(dst []byte, x []float32) {
	for i, v := range x {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

func encodeF16(dst []byte, x []float32) {
	h := make([]uint16, len(x))
	kernel.EncodeFloat16(h, x)
	for i, v := range h {
		binary.LittleEndian.PutUint16(dst[2*i:], v)
	}
}

func decodeF16(dst []float32, src []byte) {
	h := make([]uint16, len(dst))
	for i := range h {
		h[i] = binary.LittleEndian.Uint16(src[2*i:])
	}
	kernel.DecodeFloat16(dst, h)
}

// encodeBF16 rounds half to even.
func encodeBF16(dst []byte, x []float32) {
	for i, v := range x {
		bits := math.Float32bits(v)
		binary.LittleEndian.PutUint16(dst[2*i:], uint16((bits+0x7fff+bits>>16&1)>>16))
	}
}

func decodeBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

const (
	qLength = 32 // elements of a block of Q8_0 and Q4_0
	q8Bytes = 2 + qLength
	q4Bytes = 2 + qLength/2
)

// encodeQ8 rounds half away from zero; d is a 127th of the largest magnitude.
func encodeQ8(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[q8Bytes:], x[qLength:] {
		d := absMax(x[:qLength]) / 127
		inv := inverse(d)
		binary.LittleEndian.PutUint16(dst, half(d))
		for i, v := range x[:qLength] {
			dst[2+i] = byte(int8(math.Round(float64(v * inv))))
		}
	}
}

func decodeQ8(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[qLength:], src[q8Bytes:] {
		d := single(binary.LittleEndian.Uint16(src))
		for i, q := range src[2:q8Bytes] {
			dst[i] = float32(int8(q)) * d
		}
	}
}

// encodeQ4 gives the first of the values of the largest magnitude the code 0,
// which is -8 times d. Element i shares a byte with element i+16.
func encodeQ4(dst []byte, x []float32) {
	for ; len(x) > 0; dst, x = dst[q4Bytes:], x[qLength:] {
		var largest, magnitude float32
		for _, v := range x[:qLength] {
			if a := abs(v); a > magnitude {
				largest, magnitude = v, a
			}
		}
		d := largest / -8
		inv := inverse(d)
		code := func(v float32) byte { return min(15, byte(float32(v*inv)+8.5)) }
		binary.LittleEndian.PutUint16(dst, half(d))
		for i := range qLength / 2 {
			dst[2+i] = code(x[i]) | code(x[i+qLength/2])<<4
		}
	}
}

func decodeQ4(dst []float32, src []byte) {
	for ; len(dst) > 0; dst, src = dst[qLength:], src[q4Bytes:] {
		d := single(binary.LittleEndian.Uint16(src))
		for i, q := range src[2:q4Bytes] {
			dst[i] = float32(int(q&15)-8) * d
			dst[i+qLength/2] = float32(int(q>>4)-8) * d
		}
	}
}

func abs(v float32) float32 { return math.Float32frombits(math.Float32bits(v) &^ (1 << 31)) }

func absMax(x []float32) float32 {
	largest := float32(0)
	for _, v := range x {
		largest = max(largest, abs(v))
	}
	return largest
}

// inverse returns 1/d, or 0 where d is zero or so small that 1/d overflows;
// such a d is zero in half precision.
func inverse(d float32) float32 {
	if inv := 1 / d; abs(inv) <= math.MaxFloat32 {
		return inv
	}
	return 0
}

// half rounds to half precision.
func half(v float32) uint16 {
	var h [1]uint16
	kernel.EncodeFloat16(h[:], []float32{v})
	return h[0]
}

// single widens half precision.
func single(h uint16) float32 { return singles()[h] }

var singles = sync.OnceValue(func() []float32 {
	bits := make([]uint16, 1<<16)
	for i := range bits {
		bits[i] = uint16(i)
	}
	out := make([]float32, 1<<16)
	kernel.DecodeFloat16(out, bits)
	return out
})
