package data

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Dataset is a corpus as token ids.
type Dataset struct {
	Tokenizer    *Tokenizer
	Train        *Tokens
	Heldout      *Tokens
	Documents    int      // number of documents of the corpus
	Bytes        int64    // bytes of text of the corpus
	HeldoutBytes int64    // bytes of text held out
	Warnings     []string // what the user should know: a cache that is damaged or cannot be written, a vocabulary smaller than asked for
}

// Open reads the corpus of cfg, trains or loads its tokenizer, and maps its ids into
// memory, after encoding it unless the folder cacheDir has the ids. An empty cacheDir is
// [CacheDir]. Where that folder cannot be written, be it full or not allowed, the ids of a
// corpus of up to a gigabyte are held in memory instead, and [Dataset.Warnings] says so.
// The vocabulary of a trained tokenizer may be smaller than cfg asks for: build the model
// by [Tokenizer.Vocab].
//
// progress, if not nil, is told the stage and how much of it is done: bytes of the
// corpus in "index", "vocabulary" and "encode", tokens in "merges". A total that is not
// known is -1; that of a JSONL file is its size. It is called from one goroutine at a time. Cancelling ctx ends Open with the cause.
func Open(ctx context.Context, cfg Config, cacheDir string, progress func(stage string, done, total int64)) (*Dataset, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	o := &opener{cfg: cfg, dir: cacheDir, progress: progress}
	if progress == nil {
		o.progress = func(string, int64, int64) {}
	}
	return o.open(ctx)
}

// Close unmaps the ids: Train and Heldout are empty from then on, and must not be read
// at the same time.
func (d *Dataset) Close() error {
	return errors.Join(d.Train.close(), d.Heldout.close())
}

// opener is one call of [Open].
type opener struct {
	cfg      Config
	dir      string // of the cache
	noCache  error  // why there is none; nil if there is
	progress func(stage string, done, total int64)
	reader   reader
	warnings []string
}

func (o *opener) open(ctx context.Context) (*Dataset, error) {
	if err := o.openDir(); err != nil {
		o.uncached(err)
	}
	corpus, err := openCorpus(ctx, o.cfg)
	if err != nil {
		return nil, err
	}
	o.reader = reader{corpus: corpus, holdout: o.cfg.Holdout}
	if o.reader.index, err = o.index(ctx); err != nil {
		return nil, err
	}
	if w := corpus.warning(); w != "" {
		o.warnings = append(o.warnings, "data.path: "+w)
	}
	if info, err := os.Stat(o.cfg.Path); len(o.cfg.Include) > 0 && (o.cfg.Path == GoSource || err == nil && !info.IsDir()) {
		o.warnings = append(o.warnings, fmt.Sprintf("data.include is not used: it chooses files of a folder, and data.path is %s", o.cfg.Path))
	}
	if o.cfg.Field != DefaultConfig().Field && !isJSONL(o.cfg.Path) {
		o.warnings = append(o.warnings, fmt.Sprintf("data.field is not used: it names a field of a .jsonl file's records, and data.path is %s", o.cfg.Path))
	}
	if o.reader.index.documents == 0 {
		return nil, fmt.Errorf("data.path: %s has no text: give a corpus with text", o.cfg.Path)
	}
	t, err := o.tokenizer(ctx)
	if err != nil {
		return nil, err
	}
	d, err := o.tokens(ctx, t)
	if err != nil {
		return nil, err
	}
	if d.Train.Len() < 2 || d.Heldout.Len() < 2 {
		err := fmt.Errorf("data.path: %s is too short: it gives %d tokens to train on and %d held out: use a longer text", o.cfg.Path, d.Train.Len(), d.Heldout.Len())
		return nil, errors.Join(err, d.Close())
	}
	d.Warnings = o.warnings
	return d, nil
}

// index reads the whole corpus once.
func (o *opener) index(ctx context.Context) (index, error) {
	return o.reader.corpus.index(ctx, func(done int64) { o.progress("index", done, -1) })
}

// tokenizer loads the tokenizer, or takes it from the cache, or trains it.
func (o *opener) tokenizer(ctx context.Context) (*Tokenizer, error) {
	if o.cfg.Tokenizer.Kind == File {
		t, err := LoadTokenizer(o.cfg.Tokenizer.Path)
		if err != nil {
			return nil, fmt.Errorf("data.tokenizer.path: %w", err)
		}
		if _, ok := t.EndOfText(); !ok && o.reader.index.documents > 1 {
			return nil, fmt.Errorf("data.tokenizer.path: %s has no special token to end a document, such as %q, but the corpus has %d documents: use another tokenizer, or one file", o.cfg.Tokenizer.Path, EndOfText, o.reader.index.documents)
		}
		return t, nil
	}
	t, err := o.vocabulary(ctx)
	if err == nil && o.cfg.Tokenizer.Kind == BPE && t.Vocab() < o.cfg.Tokenizer.Vocab {
		o.warnings = append(o.warnings, fmt.Sprintf("data.tokenizer.vocab: the text gives only %d tokens, not %d", t.Vocab(), o.cfg.Tokenizer.Vocab))
	}
	return t, err
}
