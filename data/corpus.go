package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"unicode/utf8"
)

// corpus is text as a list of documents, always in the same order.
type corpus interface {
	// index reads everything once.
	index(ctx context.Context, progress func(done int64)) (index, error)
	// each visits the documents that are not empty; a document is valid during
	// its visit.
	each(ctx context.Context, visit func(document) error) error
	// warning is what the user should know after index, or "".
	warning() string
}

type document struct {
	name string // where it is, for errors
	key  string // what decides whether it is held out
	size int64
	text io.ReaderAt
}

// index identifies a corpus.
type index struct {
	key             [sha256.Size]byte // changes with the names and contents of the documents
	documents       int
	bytes           int64  // size of the documents, or of the file that they are in
	lowest, highest uint64 // fractions of the documents
}

// fraction places a document between 0 and 2^64, by its key alone.
func fraction(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:8])
}

// add counts a document in.
func (x *index) add(key string) {
	f := fraction(key)
	if x.documents == 0 {
		x.lowest, x.highest = f, f
	}
	x.lowest, x.highest = min(x.lowest, f), max(x.highest, f)
	x.documents++
}

// threshold is the fraction below which a document is held out, so that there is one
// on each side.
func (x *index) threshold(holdout float64) uint64 {
	t := uint64(math.Ldexp(holdout, 64))
	if x.lowest >= t {
		t = x.lowest + 1
	}
	return min(t, x.highest)
}

// openCorpus finds the documents of a configuration that is valid.
func openCorpus(ctx context.Context, cfg Config) (corpus, error) {
	if cfg.Path == GoSource {
		return openGoSource(ctx)
	}
	info, err := os.Stat(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("data.path: %w: set it to %q, a text file, a folder or a .jsonl file", err, GoSource)
	}
	switch {
	case info.IsDir():
		return openFolder(cfg.Path, cfg.Include)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("data.path: %s is not a regular file: save its text to a file", cfg.Path)
	case info.Size() == 0:
		return nil, fmt.Errorf("data.path: %s is empty: give a file with text", cfg.Path)
	case isJSONL(cfg.Path):
		return &recordCorpus{cfg.Path, cfg.Field}, nil
	}
	return &fileCorpus{documents: []string{cfg.Path}, names: []string{""}}, nil
}

// textCheck looks for what is not text in a file, block by block.
type textCheck struct {
	at      int64 // where the next block begins
	invalid int   // bytes that are not valid UTF-8
	first   int64 // where the first of them is
}

// checkBlock is the size of a block, but for the last and for characters that
// are not cut.
const checkBlock = 1 << 20

// block looks at the next block and returns why the file is not text, or "": a
// few bytes that are not valid UTF-8 do not make it binary.
func (c *textCheck) block(b []byte) (reason string) {
	at, size, before := c.at, len(b), c.invalid
	c.at += int64(size)
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return fmt.Sprintf("byte %d is zero, as in binary files and UTF-16", at+int64(i))
	}
	if !utf8.Valid(b) {
		c.count(b, at)
	}
	if at > 0 {
		size = checkBlock // a short one at the end says less
	}
	if n := c.invalid - before; n > 4 && n*1000 > size {
		return fmt.Sprintf("%d of the %d bytes from byte %d on are not valid UTF-8", n, len(b), at)
	}
	return ""
}

func (c *textCheck) count(b []byte, at int64) {
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			if c.invalid == 0 {
				c.first = at + int64(i)
			}
			c.invalid++
		}
		i += size
	}
}
