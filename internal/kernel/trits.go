package kernel

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"
)

const (
	// tritsPerByte ternary codes fit one byte, since 3^5 = 243 <= 256.
	tritsPerByte = 5
	tritBytes    = 243

	// tritWord bytes are packed or unpacked at a time. The codes are then read
	// or written eight at a time, of which five count: three beyond the last.
	tritWord      = 8
	tritWordCodes = tritWord*tritsPerByte + 3
)

// PackTrits packs ternary codes five to a byte, the first most significant:
// byte = sum over i of (code[i]+1)*3^(4-i). The last byte is filled up with
// code 0. dst has at least ceil(len(codes)/5) bytes.
func PackTrits(dst []byte, codes []int8) {
	n := (len(codes) + tritsPerByte - 1) / tritsPerByte
	dst = dst[:n]
	chunks(n, grain/tritsPerByte, func(lo, hi int) {
		packTrits(dst[lo:hi], asBytes(codes[lo*tritsPerByte:min(len(codes), hi*tritsPerByte)]))
	})
}

func packTrits(dst, codes []byte) {
	for len(codes) >= tritWordCodes {
		c := (*[tritWordCodes]byte)(codes)
		binary.LittleEndian.PutUint64(dst, packFive(c[0:8])|packFive(c[5:13])<<8|
			packFive(c[10:18])<<16|packFive(c[15:23])<<24|
			packFive(c[20:28])<<32|packFive(c[25:33])<<40|
			packFive(c[30:38])<<48|packFive(c[35:43])<<56)
		dst, codes = dst[tritWord:], codes[tritWord*tritsPerByte:]
	}
	for i := range dst {
		var last [8]byte
		codes = codes[copy(last[:tritsPerByte], codes):]
		dst[i] = byte(packFive(last[:]))
	}
}

// packFive packs the first five of eight codes. With their digits code+1 in
// the lowest bytes of a word, byte 4 of the product with the bytes 1, 3, 9, 27,
// 81 (lowest first) is their sum; no byte below it exceeds 242, so nothing
// carries in.
func packFive(codes []byte) uint64 {
	const (
		ones   = 0x0101_0101_0101_0101
		threes = 3 * ones
		powers = 81<<32 | 27<<24 | 9<<16 | 3<<8 | 1
	)
	// A code's lowest two bits are 3, 0 or 1 and make the digit 0, 1 or 2:
	// digit = (bits + 1) mod 4.
	digits := (binary.LittleEndian.Uint64(codes)&threes + ones) & threes
	return digits * powers >> 32 & 0xff
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
	var bad atomic.Bool
	chunks(n, grain/tritsPerByte, func(lo, hi int) {
		if !unpackTrits(asBytes(codes[lo*tritsPerByte:min(len(codes), hi*tritsPerByte)]), src[lo:hi]) {
			bad.Store(true)
		}
	})
	if bad.Load() {
		i := slices.IndexFunc(src, func(b byte) bool { return b >= tritBytes })
		return fmt.Errorf("trits: byte %d is %d: must be at most %d", i, src[i], tritBytes-1)
	}
	return nil
}

// unpackTrits reports whether every byte of src stands for codes.
func unpackTrits(codes, src []byte) bool {
	var all uint64
	for len(codes) >= tritWordCodes {
		c, s := (*[tritWordCodes]byte)(codes), (*[tritWord]byte)(src)
		put := func(c []byte, five uint64) {
			binary.LittleEndian.PutUint64(c, five)
			all |= five
		}
		put(c[0:8], fiveTrits[s[0]])
		put(c[5:13], fiveTrits[s[1]])
		put(c[10:18], fiveTrits[s[2]])
		put(c[15:23], fiveTrits[s[3]])
		put(c[20:28], fiveTrits[s[4]])
		put(c[25:33], fiveTrits[s[5]])
		put(c[30:38], fiveTrits[s[6]])
		put(c[35:43], fiveTrits[s[7]])
		codes, src = codes[tritWord*tritsPerByte:], src[tritWord:]
	}
	for _, b := range src {
		var last [8]byte
		all |= fiveTrits[b]
		binary.LittleEndian.PutUint64(last[:], fiveTrits[b])
		codes = codes[copy(codes, last[:tritsPerByte]):]
	}
	return all&notTrits == 0
}

// notTrits marks the bytes in fiveTrits that stand for no codes.
const notTrits = 1 << 63

// fiveTrits[b] holds the codes of byte b, the first in the lowest byte; the
// upper three bytes are zero.
var fiveTrits = func() (table [256]uint64) {
	for b := range table {
		if b >= tritBytes {
			table[b] = notTrits
			continue
		}
		for i, rest := tritsPerByte-1, b; i >= 0; i, rest = i-1, rest/3 {
			table[b] |= uint64(uint8(rest%3-1)) << (8 * i)
		}
	}
	return table
}()

// asBytes returns the memory of s.
func asBytes(s []int8) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s))
}
