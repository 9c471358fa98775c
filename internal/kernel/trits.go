package kernel

import (
	"encoding/binary"
	"fmt"
	"unsafe"
)

// tritsPerByte ternary codes fit one byte, since 3^5 = 243 <= 256.
const (
	tritsPerByte = 5
	tritBytes    = 243
)

// PackTrits packs ternary codes five to a byte, the first most significant:
// byte = sum over i of (code[i]+1)*3^(4-i). The last byte is filled up with
// code 0. dst has at least ceil(len(codes)/5) bytes.
func PackTrits(dst []byte, codes []int8) {
	n := (len(codes) + tritsPerByte - 1) / tritsPerByte
	dst = dst[:n]
	chunks(n, grain/tritsPerByte, func(lo, hi int) {
		packTrits(dst[lo:hi], codes[lo*tritsPerByte:min(len(codes), hi*tritsPerByte)])
	})
}

func packTrits(dst []byte, codes []int8) {
	c := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(codes))), len(codes))
	i := 0
	for ; i < len(dst) && len(c) >= 8; i++ {
		dst[i] = packFive(binary.LittleEndian.Uint64(c))
		c = c[tritsPerByte:]
	}
	for ; i < len(dst); i++ {
		var last [8]byte
		n := copy(last[:tritsPerByte], c)
		dst[i] = packFive(binary.LittleEndian.Uint64(last[:]))
		c = c[n:]
	}
}

// packFive packs the codes in the lowest five bytes of x. With the digits
// code+1 there, byte 4 of the product with the bytes 1, 3, 9, 27, 81 (lowest
// first) is their sum; no byte below it exceeds 242, so nothing carries in.
func packFive(x uint64) byte {
	const (
		ones   = 0x0101_0101_0101_0101
		twos   = ones << 1
		powers = 81<<32 | 27<<24 | 9<<16 | 3<<8 | 1
	)
	// A code's lowest two bits are 3, 0 or 1 and make the digit 0, 1 or 2:
	// digit = (bits + 1) mod 4.
	digits := (x&(ones|twos) + ones) & (ones | twos)
	return byte(digits * powers >> 32)
}

// UnpackTrits writes the first len(codes) ternary codes of src, which
// PackTrits filled. It fails when src is too short, and on a byte above 242,
// which stands for no codes; codes is then undefined.
func UnpackTrits(codes []int8, src []byte) error {
	n := (len(codes) + tritsPerByte - 1) / tritsPerByte
	if len(src) < n {
		return fmt.Errorf("trits: %d bytes are too few for %d codes: need %d", len(src), len(codes), n)
	}
	src = src[:n]
	chunks(n, grain/tritsPerByte, func(lo, hi int) {
		unpackTrits(codes[lo*tritsPerByte:min(len(codes), hi*tritsPerByte)], src[lo:hi])
	})
	for i, b := range src {
		if b >= tritBytes {
			return fmt.Errorf("trits: byte %d is %d: must be at most %d", i, b, tritBytes-1)
		}
	}
	return nil
}

func unpackTrits(codes []int8, src []byte) {
	c := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(codes))), len(codes))
	i := 0
	for ; i < len(src) && len(c) >= 8; i++ {
		binary.LittleEndian.PutUint64(c, fiveTrits[src[i]])
		c = c[tritsPerByte:]
	}
	for ; i < len(src); i++ {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], fiveTrits[src[i]])
		c = c[copy(c, last[:tritsPerByte]):]
	}
}

// fiveTrits[b] holds the codes of byte b, the first in the lowest byte; the
// upper three bytes are zero.
var fiveTrits = func() (table [256]uint64) {
	for b := range tritBytes {
		for i, rest := tritsPerByte-1, b; i >= 0; i, rest = i-1, rest/3 {
			table[b] |= uint64(uint8(rest%3-1)) << (8 * i)
		}
	}
	return table
}()
