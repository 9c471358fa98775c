package data

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/edsrzf/mmap-go"
)

// A token file is, all numbers little-endian:
//
//	header  magic [8]byte, version uint32, width uint32 (2 or 4), key [32]byte
//	ids     width bytes each
//	footer  tokens, documents, bytes uint64, CRC-32C of everything before uint32
//
// The key is the hash of all that decides the ids: the corpus, the split and the
// tokenizer.
const (
	tokenMagic   = "TREFTOKS"
	tokenVersion = 1 // changes with anything that changes ids
	headerBytes  = 16 + sha256.Size
	footerBytes  = 28
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CacheDir is the folder for vocabularies and token ids: trefoil in the user's cache
// folder.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for caches: %w: name one", err)
	}
	return filepath.Join(dir, "trefoil"), nil
}

// counts is what the footer says of a token file.
type counts struct{ tokens, documents, bytes uint64 }

// tokenWriter writes a token file.
type tokenWriter struct {
	w      io.Writer
	crc    hash.Hash32
	width  int
	buffer []byte
	counts
}

func newTokenWriter(w io.Writer, key [sha256.Size]byte, width int) (*tokenWriter, error) {
	t := &tokenWriter{crc: crc32.New(castagnoli), width: width}
	t.w = io.MultiWriter(w, t.crc)
	header := []byte(tokenMagic)
	header = binary.LittleEndian.AppendUint32(header, tokenVersion)
	header = binary.LittleEndian.AppendUint32(header, uint32(width))
	_, err := t.w.Write(append(header, key[:]...))
	return t, err
}

// add appends the ids of some documents.
func (t *tokenWriter) add(ids []int32, documents, bytes uint64) error {
	t.tokens += uint64(len(ids))
	t.documents += documents
	t.bytes += bytes
	t.buffer = appendIDs(t.buffer[:0], ids, t.width)
	_, err := t.w.Write(t.buffer)
	return err
}

// finish writes the footer.
func (t *tokenWriter) finish() error {
	var footer []byte
	for _, n := range []uint64{t.tokens, t.documents, t.bytes} {
		footer = binary.LittleEndian.AppendUint64(footer, n)
	}
	if _, err := t.w.Write(footer); err != nil {
		return err
	}
	_, err := t.w.Write(binary.LittleEndian.AppendUint32(nil, t.crc.Sum32()))
	return err
}

// openTokens maps a token file into memory, after checking that it is whole, that it is
// the file of this key, and that its ids are below vocab.
func openTokens(path string, key [sha256.Size]byte, vocab int) (*Tokens, counts, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, counts{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, counts{}, err
	}
	if info.Size() < headerBytes+footerBytes {
		return nil, counts{}, errors.New("it is too short")
	}
	file, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, counts{}, fmt.Errorf("mapping it into memory: %w", err)
	}
	t := &Tokens{width: idWidth(vocab), file: file}
	c, err := t.check(key, vocab)
	if err != nil {
		return nil, counts{}, errors.Join(err, t.close())
	}
	return t, c, nil
}

// check reads the mapped file once, and finds its ids.
func (t *Tokens) check(key [sha256.Size]byte, vocab int) (counts, error) {
	header, footer := t.file[:headerBytes], t.file[len(t.file)-footerBytes:]
	ids := t.file[headerBytes : len(t.file)-footerBytes]
	c := counts{
		binary.LittleEndian.Uint64(footer),
		binary.LittleEndian.Uint64(footer[8:]),
		binary.LittleEndian.Uint64(footer[16:]),
	}
	switch width := int(binary.LittleEndian.Uint32(header[12:])); {
	case string(header[:8]) != tokenMagic:
		return c, errors.New("it is not a token file")
	case binary.LittleEndian.Uint32(header[8:]) != tokenVersion:
		return c, errors.New("it is of another version")
	case [sha256.Size]byte(header[16:]) != key:
		return c, errors.New("it belongs to another corpus or tokenizer")
	case width != t.width || len(ids)%width != 0 || uint64(len(ids)/width) != c.tokens:
		return c, errors.New("its size is wrong")
	case crc32.Checksum(t.file[:len(t.file)-4], castagnoli) != binary.LittleEndian.Uint32(footer[24:]):
		return c, errors.New("its checksum is wrong")
	}
	t.ids = ids
	block := make([]int32, 1<<14)
	for at := 0; at < t.Len(); at += len(block) {
		for _, id := range block[:t.Read(block, at)] {
			if id < 0 || int(id) >= vocab {
				return c, fmt.Errorf("it has id %d outside the vocabulary of %d", id, vocab)
			}
		}
	}
	return c, nil
}
