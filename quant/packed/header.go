package packed

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	magic      = "trefoil\n"
	newest     = 2 // version that is understood
	headerSize = 128
	alignment  = 64
)

// The sections, in the order of the header and of the file.
const (
	configSection = iota
	tokenizerSection
	indexSection
	sectionCount
)

var sectionNames = [sectionCount]string{"config", "tokenizer", "index"}

// Places of the header's fields.
const (
	versionAt  = 8
	sizeAt     = 16
	sectionsAt = 24
	sectionRow = 24
	crcAt      = headerSize - 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// align rounds an offset up to the next multiple of 64.
func align(offset int64) int64 { return (offset + alignment - 1) &^ (alignment - 1) }

// section is where a section lies and what its checksum is.
type section struct {
	offset, length int64
	crc            uint32
}

type header struct {
	version  uint32
	size     int64 // of the file
	sections [sectionCount]section
}

func (h header) encode() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[versionAt:], h.version)
	binary.LittleEndian.PutUint64(b[sizeAt:], uint64(h.size))
	for i, s := range h.sections {
		row := b[sectionsAt+i*sectionRow:]
		binary.LittleEndian.PutUint64(row, uint64(s.offset))
		binary.LittleEndian.PutUint64(row[8:], uint64(s.length))
		binary.LittleEndian.PutUint32(row[16:], s.crc)
	}
	binary.LittleEndian.PutUint32(b[crcAt:], checksum(b[:crcAt]))
	return b
}

// decodeHeader reads and checks the header of the file b, down to the
// checksums of the sections.
func decodeHeader(b []byte) (header, error) {
	var h header
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return h, fmt.Errorf("header: this is not a .trefoil file: make one with cmd/export")
	}
	if got := binary.LittleEndian.Uint32(b[crcAt:]); got != checksum(b[:crcAt]) {
		return h, fmt.Errorf("header: its checksum does not match: the file is damaged")
	}
	if h.version = binary.LittleEndian.Uint32(b[versionAt:]); h.version < 1 || h.version > newest {
		return h, fmt.Errorf("header: version %d of the format is not supported, only 1 to %d: export the run again", h.version, newest)
	}
	h.size = int64(binary.LittleEndian.Uint64(b[sizeAt:]))
	if h.size != int64(len(b)) {
		return h, fmt.Errorf("header: the file has %d bytes instead of %d: it was cut off or added to", len(b), h.size)
	}
	next := int64(headerSize)
	for i := range h.sections {
		row := b[sectionsAt+i*sectionRow:]
		s := section{
			offset: int64(binary.LittleEndian.Uint64(row)),
			length: int64(binary.LittleEndian.Uint64(row[8:])),
			crc:    binary.LittleEndian.Uint32(row[16:]),
		}
		if s.offset != align(next) || s.length < 0 || s.length > h.size-s.offset {
			return h, fmt.Errorf("section %s: offset %d and length %d are out of place in a file of %d bytes",
				sectionNames[i], s.offset, s.length, h.size)
		}
		if checksum(b[s.offset:s.offset+s.length]) != s.crc {
			return h, fmt.Errorf("section %s: its checksum does not match: the file is damaged", sectionNames[i])
		}
		h.sections[i], next = s, s.offset+s.length
	}
	return h, nil
}
