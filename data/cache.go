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
	return t, t.write(append(header, key[:]...))
}

// unwritable is an error of the cache, not of the corpus.
type unwritable struct{ error }

func (e unwritable) Unwrap() error { return e.error }

func (t *tokenWriter) write(b []byte) error {
	if _, err := t.w.Write(b); err != nil {
		return unwritable{err}
	}
	return nil
}

// add appends the ids of some documents.
func (t *tokenWriter) add(ids []int32, documents, bytes uint64) error {
	t.tokens += uint64(len(ids))
	t.documents += documents
	t.bytes += bytes
	t.buffer = appendIDs(t.buffer[:0], ids, t.width)
	return t.write(t.buffer)
}

// finish writes the footer.
func (t *tokenWriter) finish() error {
	var footer []byte
	for _, n := range []uint64{t.tokens, t.documents, t.bytes} {
		footer = binary.LittleEndian.AppendUint64(footer, n)
	}
	if err := t.write(footer); err != nil {
		return err
	}
	return t.write(binary.LittleEndian.AppendUint32(nil, t.crc.Sum32()))
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
	t, c, err := readTokens(file, key, vocab)
	if err != nil {
		return nil, counts{}, errors.Join(err, file.Unmap())
	}
	t.file = file
	return t, c, nil
}

// readTokens reads a token file in memory once, with the checks of [openTokens], and
// finds its ids. It has at least a header and a footer.
func readTokens(file []byte, key [sha256.Size]byte, vocab int) (*Tokens, counts, error) {
	header, footer := file[:headerBytes], file[len(file)-footerBytes:]
	t := &Tokens{ids: file[headerBytes : len(file)-footerBytes], width: idWidth(vocab)}
	c := counts{
		binary.LittleEndian.Uint64(footer),
		binary.LittleEndian.Uint64(footer[8:]),
		binary.LittleEndian.Uint64(footer[16:]),
	}
	switch width := int(binary.LittleEndian.Uint32(header[12:])); {
	case string(header[:8]) != tokenMagic:
		return nil, c, errors.New("it is not a token file")
	case binary.LittleEndian.Uint32(header[8:]) != tokenVersion:
		return nil, c, errors.New("it is of another version")
	case [sha256.Size]byte(header[16:]) != key:
		return nil, c, errors.New("it belongs to another corpus or tokenizer")
	case width != t.width || len(t.ids)%width != 0 || uint64(len(t.ids)/width) != c.tokens:
		return nil, c, errors.New("its size is wrong")
	case crc32.Checksum(file[:len(file)-4], castagnoli) != binary.LittleEndian.Uint32(footer[24:]):
		return nil, c, errors.New("its checksum is wrong")
	}
	block := make([]int32, 1<<14)
	for at := 0; at < t.Len(); at += len(block) {
		for _, id := range block[:t.Read(block, at)] {
			if id < 0 || int(id) >= vocab {
				return nil, c, fmt.Errorf("it has id %d outside the vocabulary of %d", id, vocab)
			}
		}
	}
	return t, c, nil
}
