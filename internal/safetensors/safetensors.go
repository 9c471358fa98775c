// Package safetensors reads and writes Hugging Face's safetensors files:
//
//	8 bytes   length n of the header, little-endian
//	n bytes   header: JSON, padded with spaces to a multiple of 8
//	          {"__metadata__": {"key": "value", ...},
//	           "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
//	the rest  the tensors' elements, little-endian, row-major, without gaps;
//	          offsets count from the end of the header
//
// The writer adds checksums, which other readers take for metadata: under
// "trefoil.crc32c.NAME" the CRC32-C of each tensor's bytes, and under
// "trefoil.crc32c" that of the length and the header, computed with eight
// zeros in its own place; all as eight hexadecimal digits. The reader checks
// them when they are there: the header's when a file is opened, a tensor's
// when it is read.
//
// A reader trusts no number that it reads. Lengths and offsets are checked
// against the size of the file before anything is allocated for them.
package safetensors

import (
	"fmt"
	"math"
)

// A DType is the type of a tensor's elements, as files spell it.
type DType string

const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I16  DType = "I16"
	I8   DType = "I8"
	U64  DType = "U64"
	U32  DType = "U32"
	U16  DType = "U16"
	U8   DType = "U8"
	Bool DType = "BOOL"

	F8E4M3 DType = "F8_E4M3"
	F8E5M2 DType = "F8_E5M2"
)

var sizes = map[DType]int64{
	F64: 8, F32: 4, F16: 2, BF16: 2,
	I64: 8, I32: 4, I16: 2, I8: 1,
	U64: 8, U32: 4, U16: 2, U8: 1, Bool: 1,
	F8E4M3: 1, F8E5M2: 1,
}

// Bytes returns the size of an element.
func (d DType) Bytes() int { return int(sizes[d]) }

// byteLength returns the bytes that a tensor takes, or an error if the dtype
// is unknown, a dimension negative or the product too large for an int64.
func byteLength(d DType, shape []int) (int64, error) {
	n, ok := sizes[d]
	if !ok {
		return 0, fmt.Errorf("dtype %q is not supported", d)
	}
	for _, dim := range shape {
		if dim < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		if dim > 0 && n > math.MaxInt64/int64(dim) {
			return 0, fmt.Errorf("shape %v is too large", shape)
		}
		n *= int64(dim)
	}
	return n, nil
}

const (
	metadataKey   = "__metadata__"
	lengthBytes   = 8
	maxHeader     = 100_000_000 // as in the reference implementation
	chunkElements = 16 << 10    // elements converted at a time
)

// shortestEntry is an entry of the header that takes the fewest bytes.
const shortestEntry = `"":{"dtype":"U8","shape":[],"data_offsets":[0,1]},`

// entry is a tensor's description in the header.
type entry struct {
	DType   DType   `json:"dtype"`
	Shape   []int   `json:"shape"`
	Offsets []int64 `json:"data_offsets"`
}
