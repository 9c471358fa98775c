package data

import (
	"context"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	batchBytes = 1 << 20  // text that one goroutine works on at a time
	maxUncut   = 64 << 20 // text without a place to cut it
)

// piece is a part of a document whose ids, put after those of the parts before it, are
// the ids of the whole.
type piece struct {
	text    []byte
	from    string // its document, for errors
	heldout bool
	last    bool // the end of text follows
}

// reader cuts the documents of a corpus into pieces, in batches of about batchBytes.
type reader struct {
	corpus  corpus
	index   index
	holdout float64
	cut     func(text []byte) int // see coder
}

// batches emits all pieces in order. Memory holds one batch at a time, and as much of
// the text as must not be cut.
func (r *reader) batches(ctx context.Context, emit func([]piece) error) error {
	var batch []piece
	size := 0
	add := func(p piece) error {
		batch = append(batch, p)
		if size += len(p.text); size < batchBytes {
			return nil
		}
		full := batch
		batch, size = nil, 0
		return emit(full)
	}
	threshold := r.index.threshold(r.holdout)
	err := r.corpus.each(ctx, func(d document) error {
		if r.index.documents == 1 {
			return r.cutByPosition(d, add)
		}
		p := piece{from: d.name, heldout: fraction(d.key) < threshold, last: true}
		return r.pieces(d, 0, d.size, p, add)
	})
	if err != nil || len(batch) == 0 {
		return err
	}
	return emit(batch)
}

// cutByPosition holds the last share of a document out.
func (r *reader) cutByPosition(d document, add func(piece) error) error {
	at := int64(float64(d.size) * (1 - r.holdout))
	next := make([]byte, min(utf8.UTFMax, d.size-at))
	if _, err := d.text.ReadAt(next, at); err != nil && err != io.EOF {
		return fmt.Errorf("data.path: %w", err)
	}
	for len(next) > 0 && !utf8.RuneStart(next[0]) {
		at, next = at+1, next[1:]
	}
	if err := r.pieces(d, 0, at, piece{from: d.name}, add); err != nil {
		return err
	}
	return r.pieces(d, at, d.size, piece{from: d.name, heldout: true}, add)
}

// pieces cuts d[start:end] into pieces like p.
func (r *reader) pieces(d document, start, end int64, p piece, add func(piece) error) error {
	d.size = end
	var rest []byte // read, but not yet in a piece
	for at := start; at < end; {
		text := make([]byte, len(rest)+int(min(batchBytes, end-at)))
		n, err := readBlock(d, text[copy(text, rest):], at)
		if err != nil {
			return err
		}
		at += int64(n)
		k := len(text)
		if at < end {
			k = r.cut(text)
		}
		rest = text[k:]
		if len(rest) > maxUncut {
			return fmt.Errorf("%s: %d bytes of text without white space between words: use tokenizer kind byte or char", d.name, len(rest))
		}
		if k == 0 {
			continue
		}
		q := p
		q.text, q.last = text[:k:k], p.last && at == end
		if err := add(q); err != nil {
			return err
		}
	}
	return nil
}
