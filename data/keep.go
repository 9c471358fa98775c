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

	"trefoil/internal/atomicfile"
)

// maxUncached is the most text whose ids are held in memory when there is no cache for
// them, in bytes.
const maxUncached = 1 << 30

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

// vocabulary is the trained tokenizer. The cache keeps it as a file of the SHA-256 of a
// tokenizer.json, a line end, and the tokenizer.json.
func (o *opener) vocabulary(ctx context.Context) (*Tokenizer, error) {
	x, cfg := o.reader.index, o.cfg.Tokenizer
	if o.noCache != nil {
		return trainTokenizer(ctx, o.reader, cfg, o.progress)
	}
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
		o.uncached(err)
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

// tokens has the ids of the corpus, from the cache if there is one.
func (o *opener) tokens(ctx context.Context, t *Tokenizer) (*Dataset, error) {
	x := o.reader.index
	key := cacheKey("tokens %x %d %v %x", x.key, x.documents, o.cfg.Holdout, t.hash())
	if o.noCache == nil {
		d, err := o.cachedTokens(ctx, t, key)
		if !errors.As(err, new(unwritable)) {
			return d, err
		}
		o.uncached(err)
	}
	if x.bytes > maxUncached {
		return nil, fmt.Errorf("data.path: %s has %d bytes of text, too many for memory, and the cache cannot be written: %w: %s", o.cfg.Path, x.bytes, o.noCache, cacheRemedy())
	}
	var train, heldout bytes.Buffer
	if err := o.encode(ctx, t, key, &train, &heldout); err != nil {
		return nil, err
	}
	a, na, errA := readTokens(train.Bytes(), key, t.Vocab())
	b, nb, errB := readTokens(heldout.Bytes(), heldoutKey(key), t.Vocab())
	return newDataset(t, a, b, na, nb), errors.Join(errA, errB)
}

// cachedTokens maps the ids of the corpus, encoding it if the cache does not have them.
// If it cannot be written the error is [unwritable].
func (o *opener) cachedTokens(ctx context.Context, t *Tokenizer, key [sha256.Size]byte) (*Dataset, error) {
	paths := [2]string{o.path(key, ".train"), o.path(key, ".heldout")}
	d, err := openPair(paths, key, t)
	if err == nil {
		return d, nil
	}
	o.damaged(err)
	var encoding error
	err = atomicfile.Write(paths[0], func(train io.Writer) error {
		return atomicfile.Write(paths[1], func(heldout io.Writer) error {
			encoding = o.encode(ctx, t, key, train, heldout)
			return encoding
		})
	})
	switch {
	case encoding != nil && !errors.As(encoding, new(unwritable)):
		return nil, encoding
	case err != nil:
		return nil, unwritable{err}
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
	return newDataset(t, train, heldout, a, b), nil
}

func newDataset(t *Tokenizer, train, heldout *Tokens, a, b counts) *Dataset {
	return &Dataset{
		Tokenizer: t, Train: train, Heldout: heldout,
		Documents:    max(1, int(a.documents+b.documents)),
		Bytes:        int64(a.bytes + b.bytes),
		HeldoutBytes: int64(b.bytes),
	}
}

func heldoutKey(key [sha256.Size]byte) [sha256.Size]byte {
	key[len(key)-1] ^= 1
	return key
}
