package safetensors

import (
	"bytes"
	"fmt"
	"hash/crc32"
)

const (
	checksumKey    = "trefoil.crc32c"
	checksumPrefix = checksumKey + "."
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func hex(sum uint32) string { return fmt.Sprintf("%08x", sum) }

// checksumField is how the writer spells the header's own checksum, up to its
// eight digits. It cannot occur inside a JSON string, where its quotes would
// be escaped.
var checksumField = []byte(`"` + checksumKey + `":"`)

// headerChecksum returns the checksum of a file's first bytes, the length and
// the header, and where in them its eight digits stand; -1 if nowhere. They
// count as zeros.
func headerChecksum(head []byte) (sum string, at int) {
	at = bytes.Index(head, checksumField)
	if at < 0 {
		return "", -1
	}
	at += len(checksumField)
	if len(head) < at+8 {
		return "", -1
	}
	crc := crc32.Update(0, castagnoli, head[:at])
	crc = crc32.Update(crc, castagnoli, []byte("00000000"))
	return hex(crc32.Update(crc, castagnoli, head[at+8:])), at
}
