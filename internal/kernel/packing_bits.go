package kernel

import "encoding/binary"

// plane bytes hold the same bit field of consecutive codes: byte j of a plane
// has code j, in its next field code plane+j, and so on. So one shift and one
// mask of a word give eight consecutive codes.
const plane = 32

// ones has a 1 in each byte of a word, signs a sign bit.
const (
	ones  = 0x0101_0101_0101_0101
	signs = 0x80 * ones
)

// packBlocks packs the whole blocks of dst.
func packBlocks(dst, codes []byte, p Packing) {
	switch p {
	case Trits:
		packTrits(dst, codes[:len(dst)*tritsPerByte])
	case Bits1:
		packFields(dst, codes, 1, 1)
	case Bits2:
		packTwo(dst, codes)
	case Bits4:
		packFields(dst, codes, 4, 0)
	case Bits3:
		for ; len(dst) > 0; dst, codes = dst[3*plane:], codes[8*plane:] {
			packFields(dst[:2*plane], codes, 2, 0)
			packFields(dst[2*plane:3*plane], codes, 1, 2)
		}
	case Bits8:
		copy(dst, codes)
	}
}

// packFields fills planes with fields of bits bits, which begin at bit low of
// the codes.
func packFields(dst, codes []byte, bits, low int) {
	mask := uint64(ones) * (1<<bits - 1)
	for ; len(dst) >= plane; dst = dst[plane:] {
		for j := 0; j < plane; j += 8 {
			var word uint64
			for f, at := 0, j; f < 8; f, at = f+bits, at+plane {
				word |= binary.LittleEndian.Uint64(codes[at:at+8]) >> (low & 7) & mask << (f & 7)
			}
			binary.LittleEndian.PutUint64(dst[j:j+8], word)
		}
		codes = codes[plane*8/bits:]
	}
}

// packTwo is packFields at two bits, unrolled: those are the ternary weights.
func packTwo(dst, codes []byte) {
	for len(dst) >= plane && len(codes) >= 4*plane {
		d, c := (*[plane]byte)(dst), (*[4 * plane]byte)(codes)
		for j := 0; j < plane; j += 8 {
			binary.LittleEndian.PutUint64(d[j:j+8],
				binary.LittleEndian.Uint64(c[j:j+8])&(3*ones)|
					binary.LittleEndian.Uint64(c[j+plane:j+plane+8])&(3*ones)<<2|
					binary.LittleEndian.Uint64(c[j+2*plane:j+2*plane+8])&(3*ones)<<4|
					binary.LittleEndian.Uint64(c[j+3*plane:j+3*plane+8])&(3*ones)<<6)
		}
		dst, codes = dst[plane:], codes[4*plane:]
	}
}

// unpackTwo is unpackFields at two bits, unrolled.
func unpackTwo(codes, src []byte) {
	for len(src) >= plane && len(codes) >= 4*plane {
		s, c := (*[plane]byte)(src), (*[4 * plane]byte)(codes)
		for j := 0; j < plane; j += 8 {
			word := binary.LittleEndian.Uint64(s[j : j+8])
			binary.LittleEndian.PutUint64(c[j:j+8], signExtend(word&(3*ones), 2*ones))
			binary.LittleEndian.PutUint64(c[j+plane:j+plane+8], signExtend(word>>2&(3*ones), 2*ones))
			binary.LittleEndian.PutUint64(c[j+2*plane:j+2*plane+8], signExtend(word>>4&(3*ones), 2*ones))
			binary.LittleEndian.PutUint64(c[j+3*plane:j+3*plane+8], signExtend(word>>6&(3*ones), 2*ones))
		}
		src, codes = src[plane:], codes[4*plane:]
	}
}

// unpackBlocks fills codes, which are whole blocks.
func unpackBlocks(codes, src []byte, p Packing) {
	switch p {
	case Trits:
		unpackTrits(codes, src[:len(codes)/tritsPerByte])
	case Bits1:
		unpackFields(codes, src, 1, ones)
	case Bits2:
		unpackTwo(codes, src)
	case Bits4:
		unpackFour(codes, src)
	case Bits3:
		for ; len(codes) > 0; codes, src = codes[8*plane:], src[3*plane:] {
			unpackThree((*[8 * plane]byte)(codes), (*[3 * plane]byte)(src))
		}
	case Bits8:
		copy(codes, src)
	}
}

// signExtend widens the fields of a word, one to a byte, whose highest bit is
// half, to two's complement of 8 bits.
func signExtend(fields, half uint64) uint64 { return ((fields ^ half | signs) - half) ^ signs }

// unpackFields writes the fields of planes as codes, with the bits of set set.
func unpackFields(codes, src []byte, bits int, set uint64) {
	mask := uint64(ones) * (1<<bits - 1)
	half := uint64(ones) << (bits - 1)
	for ; len(codes) > 0; src = src[plane:] {
		p := (*[plane]byte)(src)
		for f := 0; f < 8; f += bits {
			line := (*[plane]byte)(codes)
			for j := 0; j < plane; j += 8 {
				word := binary.LittleEndian.Uint64(p[j:j+8]) >> (f & 7)
				binary.LittleEndian.PutUint64(line[j:j+8], signExtend(word&mask, half)|set)
			}
			codes = codes[plane:]
		}
	}
}

// unpackFour is unpackFields at four bits, unrolled.
func unpackFour(codes, src []byte) {
	for len(src) >= plane && len(codes) >= 2*plane {
		s, c := (*[plane]byte)(src), (*[2 * plane]byte)(codes)
		for j := 0; j < plane; j += 8 {
			word := binary.LittleEndian.Uint64(s[j : j+8])
			binary.LittleEndian.PutUint64(c[j:j+8], signExtend(word&(15*ones), 8*ones))
			binary.LittleEndian.PutUint64(c[j+plane:j+plane+8], signExtend(word>>4&(15*ones), 8*ones))
		}
		src, codes = src[plane:], codes[2*plane:]
	}
}

// unpackThree writes the codes of a block of 3 bits.
func unpackThree(codes *[8 * plane]byte, src *[3 * plane]byte) {
	for j := 0; j < plane; j += 8 {
		upper := binary.LittleEndian.Uint64(src[2*plane+j:])
		for half := range 2 {
			lower := binary.LittleEndian.Uint64(src[half*plane+j:])
			for f := range 4 {
				fields := lower>>(2*f)&(3*ones) | upper&ones<<2
				binary.LittleEndian.PutUint64(codes[(4*half+f)*plane+j:], signExtend(fields, 4*ones))
				upper >>= 1
			}
		}
	}
}
