// Package gguf reads and writes GGUF files, the format of llama.cpp:
//
//	4 bytes   "GGUF"
//	4 bytes   version: 3 (2 has the same layout)
//	8 bytes   number of tensors
//	8 bytes   number of metadata keys
//	the keys  name, type of the value (4 bytes), value
//	tensors   name, number of dimensions (4 bytes), dimensions (8 bytes each,
//	          the fastest first), type (4 bytes), offset from the data (8 bytes)
//	the data  from the next multiple of the alignment on, each tensor at a
//	          multiple of the alignment; it is 32 unless the key
//	          general.alignment says otherwise
//
// All numbers are little-endian. A string is its length in 8 bytes and its
// bytes. An array is the type of its elements (4 bytes), their number (8
// bytes) and the elements.
//
// Elements of tensors come in blocks that share a scale: see [Type]. The rules
// by which values become blocks are those of llama.cpp's reference quantizers,
// to the bit.
//
// A reader trusts no number that it reads. It holds the names and places of
// what the header lists; values, however long, are read when they are asked
// for. Lengths and offsets are checked against the size of the file before
// anything is allocated for them.
package gguf

import "fmt"

const (
	magic            = "GGUF"
	version          = 3
	defaultAlignment = 32
	alignmentKey     = "general.alignment"

	// Bounds on what a header may ask for, far beyond what models have.
	maxHeader  = 256 << 20 // bytes
	maxKeys    = 1 << 16
	maxTensors = 1 << 20
	maxKey     = 1<<16 - 1 // bytes of a key's name, by the specification
	maxDims    = 4
	maxNesting = 4 // arrays in arrays

	// maxName is the longest name of a tensor, in bytes, that llama.cpp reads.
	maxName = 63
)

// A ValueType is the type of a metadata value, by its number in the file.
type ValueType uint32

const (
	Uint8 ValueType = iota
	Int8
	Uint16
	Int16
	Uint32
	Int32
	Float32
	Bool
	String
	Array
	Uint64
	Int64
	Float64
)

var valueNames = [...]string{"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array", "uint64", "int64", "float64"}

// String returns the name of the type, such as uint32.
func (t ValueType) String() string {
	if int(t) < len(valueNames) {
		return valueNames[t]
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// size returns the bytes of a value: 0 if they depend on the value.
func (t ValueType) size() int64 {
	switch t {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16:
		return 2
	case Uint32, Int32, Float32:
		return 4
	case Uint64, Int64, Float64:
		return 8
	}
	return 0
}

// leastSize returns the fewest bytes that a value takes.
func (t ValueType) leastSize() int64 {
	switch t {
	case String:
		return 8
	case Array:
		return 12
	}
	return t.size()
}

// align rounds n up to a multiple of alignment, a power of two.
func align(n, alignment int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }

// elements returns the product of a shape whose size is known to fit.
func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// rowLength returns the last dimension of a row-major shape.
func rowLength(shape []int) int {
	if len(shape) == 0 {
		return 1
	}
	return shape[len(shape)-1]
}
