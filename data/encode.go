package data

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

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
