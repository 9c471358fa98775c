package kernel

import (
	"math"
	"slices"
	"unsafe"
)

// A Packing is a way to store small integer codes. Codes follow one another
// in blocks; only whole blocks are stored. Field f of byte j of a block belongs
// to code 32f+j, but for Trits.
//
//	packing  codes  bytes  range
//	Bits1      256     32  -1, 1       bit f of byte j: 1 for -1, 0 for 1
//	Trits        5      1  -1 to 1     as PackTrits has it
//	Bits2      128     32  -2 to 1     bits 2f and 2f+1 of byte j: two's complement
//	Bits3      256     96  -4 to 3     two blocks of the lower two bits, one of bit 2
//	Bits4       64     32  -8 to 7     bits 4f to 4f+3 of byte j
//	Bits8        1      1  -128 to 127
type Packing uint8

const (
	Bits1 Packing = 1 + iota
	Trits
	Bits2
	Bits3
	Bits4
	Bits8
)

// maxBlock is the number of codes of the largest block.
const maxBlock = 8 * plane

// Block returns how many codes make a block, and in how many bytes.
func (p Packing) Block() (codes, bytes int) {
	switch p {
	case Bits1:
		return 8 * plane, plane
	case Trits:
		return tritsPerByte, 1
	case Bits2:
		return 4 * plane, plane
	case Bits3:
		return 8 * plane, 3 * plane
	case Bits4:
		return 2 * plane, plane
	}
	return 1, 1
}

// Range returns the least and the largest code. Bits1 has no code 0.
func (p Packing) Range() (lo, hi int8) {
	switch p {
	case Bits1, Trits:
		return -1, 1
	case Bits2:
		return -2, 1
	case Bits3:
		return -4, 3
	case Bits4:
		return -8, 7
	}
	return -128, 127
}

// Size returns how many bytes n codes take.
func (p Packing) Size(n int) int {
	codes, bytes := p.Block()
	return (n + codes - 1) / codes * bytes
}

// Pack packs codes within the range into dst, which has Size(len(codes)) bytes
// or more; the last block is filled up with code 0 (1 for Bits1). It runs on
// one thread.
func (p Packing) Pack(dst []byte, codes []int8) {
	n, size := p.Block()
	src := asBytes(codes)
	whole := len(src) / n
	packBlocks(dst[:whole*size], src, p)
	if rest := src[whole*n:]; len(rest) > 0 {
		var last [maxBlock]byte
		copy(last[:n], rest)
		packBlocks(dst[whole*size:][:size], last[:n], p)
	}
}

// Unpack writes the codes first, first+1, ... that Pack packed into src, as
// many as fit codes. Any bytes give codes within the range; a byte of Trits
// above 242 gives zeros. It runs on one thread.
func (p Packing) Unpack(codes []int8, src []byte, first int) {
	n, size := p.Block()
	dst, src := asBytes(codes), src[first/n*size:]
	for skip := first % n; len(dst) > 0; skip = 0 {
		if whole := len(dst) / n; skip == 0 && whole > 0 {
			unpackBlocks(dst[:whole*n], src, p)
			dst, src = dst[whole*n:], src[whole*size:]
			continue
		}
		var block [maxBlock]byte
		unpackBlocks(block[:n], src, p)
		dst, src = dst[copy(dst, block[skip:n]):], src[size:]
	}
}

// packChunk codes are quantized and packed, or unpacked and dequantized, at a
// time: whole blocks of every packing. Fewer cost more calls; more were slower
// too, since memory rests for longer while a chunk's codes are worked on. A
// goroutine takes packTask chunks or more.
const (
	packChunk = tritsPerByte * maxBlock
	packTask  = 16
)

// QuantizePacked quantizes x and packs the codes into dst. Every group of
// elements, the last perhaps shorter, has a bound of its own:
//
//	code = clamp(round(x*(hi/bounds[i/group])), lo, hi)
//
// rounding half to even; NaN gives 0. The packing must have the codes lo to hi.
func (p Packing) QuantizePacked(dst []byte, x, bounds []float32, group int, lo, hi float32) {
	n, size := p.Block()
	chunks((len(x)+packChunk-1)/packChunk, packTask, func(from, to int) {
		space := taskSpace()
		defer space.release()
		buf := grow(&space.int8, packChunk)
		for at := from * packChunk; at < min(to*packChunk, len(x)); at += packChunk {
			codes := buf[:min(packChunk, len(x)-at)]
			eachGroup(at, len(codes), group, func(g, from, to int) {
				quantize8(codes[from:to], x[at+from:at+to], hi/bounds[g], lo, hi)
			})
			p.Pack(dst[at/n*size:], codes)
		}
	})
}

// DequantizePacked writes the floats first, first+1, ... that src stands for,
// as many as fit x: code * scales[i/group].
func (p Packing) DequantizePacked(x []float32, src []byte, first int, scales []float32, group int) {
	p.eachChunk(src, first, len(x), func(_ *workspace, codes []int8, at int) {
		eachGroup(first+at, len(codes), group, func(g, from, to int) {
			dequantize8(x[at+from:at+to], codes[from:to], scales[g])
		})
	})
}

// DequantizePackedFloat16 rounds to binary16 what DequantizePacked writes.
func (p Packing) DequantizePackedFloat16(x []uint16, src []byte, first int, scales []float32, group int) {
	p.eachChunk(src, first, len(x), func(space *workspace, codes []int8, at int) {
		floats := grow(&space.float32, len(codes))
		eachGroup(first+at, len(codes), group, func(g, from, to int) {
			dequantize8(floats[from:to], codes[from:to], scales[g])
		})
		encodeHalf(x[at:at+len(codes)], floats)
	})
}

// eachChunk calls body, in parallel, for pieces of the n codes from first on;
// at is where a piece begins among them.
func (p Packing) eachChunk(src []byte, first, n int, body func(space *workspace, codes []int8, at int)) {
	chunks((n+packChunk-1)/packChunk, packTask, func(from, to int) {
		space := taskSpace()
		defer space.release()
		buf := grow(&space.int8, packChunk)
		for at := from * packChunk; at < min(to*packChunk, n); at += packChunk {
			codes := buf[:min(packChunk, n-at)]
			p.Unpack(codes, src, first+at)
			body(space, codes, at)
		}
	})
}

// eachGroup calls body for the groups that n elements from first on belong
// to, with the part of the n elements that does.
func eachGroup(first, n, group int, body func(g, from, to int)) {
	for from := 0; from < n; {
		g := (first + from) / group
		to := min(n, (g+1)*group-first)
		body(g, from, to)
		from = to
	}
}

// GroupAbsMean writes the [AbsMean] of every group of elements of x.
func GroupAbsMean(bounds, x []float32, group int) {
	eachBound(bounds, x, group, func(x []float32) float32 {
		space := taskSpace()
		defer space.release()
		lanes := grow(&space.float32, absMeanLanes)
		total := 0.0
		for block := range slices.Chunk(x, absMeanBlock) {
			clear(lanes)
			total += absSum(lanes, block)
		}
		return max(float32(total/float64(len(x))), clampMin)
	})
}

// GroupAbsMax writes max|x|, at least 1e-5, of every group of elements of x.
func GroupAbsMax(bounds, x []float32, group int) {
	eachBound(bounds, x, group, func(x []float32) float32 { return max(absMax(x), clampMin) })
}

func eachBound(bounds, x []float32, group int, bound func(x []float32) float32) {
	chunks(len(bounds), rowGrain(group), func(lo, hi int) {
		for g := lo; g < hi; g++ {
			bounds[g] = bound(x[g*group : min(len(x), (g+1)*group)])
		}
	})
}

// AbsMax returns max|x|, at least 1e-5.
func AbsMax(x []float32) float32 {
	space := callSpace()
	defer space.release()
	bounds := grow(&space.float32, (len(x)+grain-1)/grain)
	GroupAbsMax(bounds, x, grain)
	return max(clampMin, absMaxPortable(bounds))
}

// QuantizeRowsBytes is [QuantizeRows] with codes of 8 bits, stored as Bits8
// does: dst has rows*cols bytes.
func QuantizeRowsBytes(dst []byte, scales, x []float32, rows, cols int) {
	QuantizeRows(AsCodes(dst), scales, x, rows, cols, math.MaxInt8)
}

// AsCodes returns the memory of b, which Bits8 packed, as codes.
func AsCodes(b []byte) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}
