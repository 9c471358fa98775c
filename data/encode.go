package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"trefoil/internal/atomicfile"
)

// cacheKey is the hash of all that a cached file depends on, and of the version.
func cacheKey(format string, parts ...any) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d "+format, append([]any{tokenVersion}, parts...)...))
}

// path is a file of the cache.
func (o *opener) path(key [sha256.Size]byte, suffix string) string {
	return filepath.Join(o.dir, hex.EncodeToString(key[:12])+suffix)
}

// damaged notes that a file of the cache must be made again, unless it is only missing.
func (o *opener) damaged(err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		o.warnings = append(o.warnings, fmt.Sprintf("the cache could not be used: %v: it was made again", err))
	}
}

// cachedVocabulary is the trained tokenizer: a file of the SHA-256 of a tokenizer.json, a
// line end, and the tokenizer.json.
func (o *opener) cachedVocabulary(ctx context.Context) (*Tokenizer, error) {
	x, cfg := o.reader.index, o.cfg.Tokenizer
	path := o.path(cacheKey("vocabulary %x %d %v %s %d", x.key, x.documents, o.cfg.Holdout, cfg.Kind, cfg.Vocab), ".vocabulary")
	t, err := readVocabulary(path)
	if err == nil {
		return t, nil
	}
	o.damaged(fmt.Errorf("%s: %w", path, err))
	if t, err = trainTokenizer(ctx, o.reader, cfg, o.progress); err != nil {
		return nil, err
	}
	err = atomicfile.Write(path, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%x\n%s", t.hash(), t.JSON())
		return err
	})
	if err != nil {
		return nil, cacheError(err)
	}
	return t, nil
}

func readVocabulary(path string) (*Tokenizer, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	sum, text, _ := bytes.Cut(file, []byte("\n"))
	if want := sha256.Sum256(text); string(sum) != hex.EncodeToString(want[:]) {
		return nil, errors.New("its checksum is wrong")
	}
	return ParseTokenizer(text)
}

// tokens maps the ids of the corpus, encoding it if the cache does not have them.
func (o *opener) tokens(ctx context.Context, t *Tokenizer) (*Dataset, error) {
	x := o.reader.index
	key := cacheKey("tokens %x %d %v %x", x.key, x.documents, o.cfg.Holdout, t.hash())
	paths := [2]string{o.path(key, ".train"), o.path(key, ".heldout")}
	d, err := openPair(paths, key, t)
	if err == nil {
		return d, nil
	}
	o.damaged(err)
	opened := false
	err = atomicfile.Write(paths[0], func(train io.Writer) error {
		return atomicfile.Write(paths[1], func(heldout io.Writer) error {
			opened = true
			return o.encode(ctx, t, key, train, heldout)
		})
	})
	switch {
	case err != nil && (!opened || errors.Is(err, syscall.ENOSPC)):
		return nil, cacheError(err)
	case err != nil:
		return nil, err
	}
	return openPair(paths, key, t)
}

// openPair maps the files of both sides, whose keys differ in the last bit.
func openPair(paths [2]string, key [sha256.Size]byte, t *Tokenizer) (*Dataset, error) {
	train, a, err := openTokens(paths[0], key, t.Vocab())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", paths[0], err)
	}
	heldout, b, err := openTokens(paths[1], heldoutKey(key), t.Vocab())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", paths[1], err), train.close())
	}
	return &Dataset{
		Tokenizer: t, Train: train, Heldout: heldout,
		Documents:    max(1, int(a.documents+b.documents)),
		Bytes:        int64(a.bytes + b.bytes),
		HeldoutBytes: int64(b.bytes),
	}, nil
}

func heldoutKey(key [sha256.Size]byte) [sha256.Size]byte {
	key[len(key)-1] ^= 1
	return key
}

// encoded is the ids of a batch: [0] to train on, [1] held out.
type encoded [2]struct {
	ids              []int32
	documents, bytes uint64
}

// encode writes the ids of the whole corpus, then reads it again: what changed in the
// meantime must not get into the cache.
func (o *opener) encode(ctx context.Context, t *Tokenizer, key [sha256.Size]byte, train, heldout io.Writer) error {
	a, errA := newTokenWriter(train, key, idWidth(t.Vocab()))
	b, errB := newTokenWriter(heldout, heldoutKey(key), idWidth(t.Vocab()))
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	writers := [2]*tokenWriter{a, b}
	r := o.reader
	r.cut = t.coder.cut
	err := ordered(ctx,
		func(emit func([]piece) error) error { return r.batches(ctx, emit) },
		t.encodeBatch,
		func(e encoded) error {
			for side, w := range writers {
				if err := w.add(e[side].ids, e[side].documents, e[side].bytes); err != nil {
					return err
				}
			}
			o.progress("encode", int64(a.bytes+b.bytes), r.index.bytes)
			return nil
		})
	if err != nil {
		return err
	}
	if err := o.unchanged(ctx); err != nil {
		return err
	}
	return errors.Join(a.finish(), b.finish())
}

func (o *opener) unchanged(ctx context.Context) error {
	again, err := o.index(ctx)
	if err == nil && again != o.reader.index {
		err = fmt.Errorf("data.path: %s changed while it was read: run again when nothing writes to it", o.cfg.Path)
	}
	return err
}

// encodeBatch encodes the pieces of a batch, with the end of text after each document.
func (t *Tokenizer) encodeBatch(batch []piece) (encoded, error) {
	var e encoded
	for _, p := range batch {
		side := &e[0]
		if p.heldout {
			side = &e[1]
		}
		var err error
		if side.ids, err = t.coder.encode(side.ids, p.text); err != nil {
			return e, fmt.Errorf("%s: %w", p.from, err)
		}
		side.bytes += uint64(len(p.text))
		if p.last {
			side.documents++
			side.ids = append(side.ids, t.end)
		}
	}
	return e, nil
}
