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

// checkText looks for what is not text in the first bytes of a file: why they
// are none, and how many are not valid UTF-8, be they few enough or not.
func checkText(head []byte) (reason string, invalid int) {
	if i := bytes.IndexByte(head, 0); i >= 0 {
		return fmt.Sprintf("byte %d is zero, as in binary files and UTF-16", i), 0
	}
	whole := head[:runeCut(head)] // the head may end inside a character
	for i := 0; i < len(whole); {
		r, size := utf8.DecodeRune(whole[i:])
		if r == utf8.RuneError && size == 1 {
			invalid++
		}
		i += size
	}
	if invalid > 4 && invalid*1000 > len(head) {
		return fmt.Sprintf("%d of its first %d bytes are not valid UTF-8", invalid, len(head)), invalid
	}
	return "", invalid
}
