package packed

import (
	"fmt"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// A Format is how a [Matrix] stores its codes, row after row without gaps, in
// whole blocks. Field f of byte j of a block belongs to code 32f+j; a block of
// three bits is two blocks of lower two bits and one of upper bits.
type Format uint8

const (
	Bits1 = Format(kernel.Bits1) // -1 and 1; 256 codes in 32 bytes
	Trits = Format(kernel.Trits) // -1 to 1; 5 codes in a byte: 1.6 bits
	Bits2 = Format(kernel.Bits2) // -2 to 1; 128 codes in 32 bytes
	Bits3 = Format(kernel.Bits3) // -4 to 3; 256 codes in 96 bytes
	Bits4 = Format(kernel.Bits4) // -8 to 7; 64 codes in 32 bytes
	Bits8 = Format(kernel.Bits8) // -128 to 127; a code in a byte
)

var formatNames = map[Format]string{Bits1: "1 bit", Trits: "1.6 bits", Bits2: "2 bits", Bits3: "3 bits", Bits4: "4 bits", Bits8: "8 bits"}

func (f Format) String() string {
	if name, ok := formatNames[f]; ok {
		return name
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// Range returns the least and the largest code. Bits1 has no code 0.
func (f Format) Range() (lo, hi int8) { return kernel.Packing(f).Range() }

// Bytes returns how many bytes n codes take, in whole blocks.
func (f Format) Bytes(n int) int { return kernel.Packing(f).Size(n) }

// Fitting returns the format of the fewest bits that holds the codes of a grid.
func Fitting(g quant.Grid) (Format, error) {
	if g == (quant.Grid{Min: -1, Max: 1, Step: 2}) {
		return Bits1, nil
	}
	for _, f := range []Format{Trits, Bits2, Bits3, Bits4, Bits8} {
		if lo, hi := f.Range(); int(lo) <= g.Min && g.Max <= int(hi) {
			return f, nil
		}
	}
	return 0, fmt.Errorf("codes from %d to %d do not fit 8 bits", g.Min, g.Max)
}

func (f Format) check() error {
	if _, ok := formatNames[f]; !ok {
		return fmt.Errorf("format %d is not known: use Bits1, Trits, Bits2, Bits3, Bits4 or Bits8", uint8(f))
	}
	return nil
}

// holds reports whether a code can be stored.
func (f Format) holds(code int8) bool {
	lo, hi := f.Range()
	return lo <= code && code <= hi && (f != Bits1 || code != 0)
}
