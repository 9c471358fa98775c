package packed

import (
	"encoding/binary"
	"fmt"
	"math"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// Scales are the scales of a matrix [rows, cols].
type Scales struct {
	// Granularity is quant.PerTensor (one scale; the empty string means the
	// same), quant.PerChannel (one a row) or quant.PerGroup.
	Granularity quant.Granularity
	// Group is the number of consecutive codes of a row that share a scale
	// with quant.PerGroup; it divides the columns.
	Group  int
	Values []float32
	// Type is what the scales are stored as, each being a number of the type:
	// quant.Float32 (4 bytes; the empty string means the same), quant.Float16
	// (2) or quant.PowerOfTwo (1). In memory they are float32.
	Type quant.ScaleType
}

// check reports scales that are not finite, or not of their type, and those
// with which a code of the format stands for an infinity.
func (s Scales) check(f Format) error {
	switch s.Type {
	case "", quant.Float32, quant.Float16, quant.PowerOfTwo:
	default:
		return fmt.Errorf("scales of type %q are not known: use one of %q", string(s.Type), quant.ScaleTypes())
	}
	if i := kernel.FirstNonFinite(s.Values); i >= 0 {
		return fmt.Errorf("scale %d is %v: the weights it came from are not finite", i, s.Values[i])
	}
	lowest, _ := f.Range()
	for i, v := range s.Values {
		if reach := v * float32(lowest); reach-reach != 0 {
			return fmt.Errorf("scale %d, %v, is too large: the code %d of %v stands for an infinity", i, v, lowest, f)
		}
		if s.Type == quant.Float16 && !s.Type.Holds(v) || s.Type == quant.PowerOfTwo && (!s.Type.Holds(v) || v < smallestPower) {
			return fmt.Errorf("scale %d, %v, is no positive %s: round it, or store scales as float32", i, v, s.Type)
		}
	}
	return nil
}

// smallestPower is the least normal float32, which is a power of two.
const smallestPower = 0x1p-126

// scaleBytes is how many bytes a scale of the type takes.
func scaleBytes(t quant.ScaleType) int {
	switch t {
	case quant.Float16:
		return 2
	case quant.PowerOfTwo:
		return 1
	}
	return 4
}

// encodeScales returns scales as they stand in a file, little-endian. A power
// of two is the exponent bits of its float32.
func encodeScales(t quant.ScaleType, scales []float32) []byte {
	b := make([]byte, 0, scaleBytes(t)*len(scales))
	switch t {
	case quant.Float16:
		half := make([]uint16, len(scales))
		kernel.EncodeFloat16(half, scales)
		b, _ = binary.Append(b, binary.LittleEndian, half)
	case quant.PowerOfTwo:
		for _, s := range scales {
			b = append(b, byte(math.Float32bits(s)>>23))
		}
	default:
		b, _ = binary.Append(b, binary.LittleEndian, scales)
	}
	return b
}

// decodeScales is the opposite of encodeScales, for all of b.
func decodeScales(t quant.ScaleType, b []byte) []float32 {
	scales := make([]float32, len(b)/scaleBytes(t))
	for i := range scales {
		switch t {
		case quant.Float16:
			half := [1]uint16{binary.LittleEndian.Uint16(b[2*i:])}
			kernel.DecodeFloat16(scales[i:i+1], half[:])
		case quant.PowerOfTwo:
			scales[i] = math.Float32frombits(uint32(b[i]) << 23)
		default:
			scales[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return scales
}
