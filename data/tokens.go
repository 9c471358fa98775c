package data

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/edsrzf/mmap-go"
)

// Tokens is a sequence of token ids, in memory or memory-mapped. It is safe for
// concurrent use.
type Tokens struct {
	ids   []byte // little-endian, width bytes each
	width int    // 2 or 4
	file  mmap.MMap
}

// NewTokens keeps ids in memory. Each must be a token of a vocabulary of vocab.
func NewTokens(ids []int32, vocab int) (*Tokens, error) {
	t := &Tokens{width: idWidth(vocab)}
	for i, id := range ids {
		if id < 0 || int(id) >= vocab {
			return nil, fmt.Errorf("token %d of %d is id %d, outside the vocabulary of %d", i, len(ids), id, vocab)
		}
	}
	t.ids = appendIDs(make([]byte, 0, len(ids)*t.width), ids, t.width)
	return t, nil
}

// Len is the number of tokens.
func (t *Tokens) Len() int { return len(t.ids) / t.width }

// Read copies the tokens from offset on into dst and returns how many there were:
// len(dst), or fewer at the end.
func (t *Tokens) Read(dst []int32, offset int) int {
	n := max(0, min(len(dst), t.Len()-offset))
	if n == 0 {
		return 0
	}
	src := t.ids[offset*t.width:]
	if t.width == 2 {
		for i := range dst[:n] {
			dst[i] = int32(binary.LittleEndian.Uint16(src[2*i:]))
		}
		return n
	}
	for i := range dst[:n] {
		dst[i] = int32(binary.LittleEndian.Uint32(src[4*i:]))
	}
	return n
}

// close unmaps the file, if there is one.
func (t *Tokens) close() error {
	if t.file == nil {
		return nil
	}
	file := t.file
	t.ids, t.file = nil, nil
	return file.Unmap()
}

// idWidth is the number of bytes of an id on disk.
func idWidth(vocab int) int {
	if vocab <= math.MaxUint16+1 {
		return 2
	}
	return 4
}

func appendIDs(dst []byte, ids []int32, width int) []byte {
	for _, id := range ids {
		if width == 2 {
			dst = binary.LittleEndian.AppendUint16(dst, uint16(id))
		} else {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(id))
		}
	}
	return dst
}
