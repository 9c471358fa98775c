package data

import (
	"context"
	"errors"
)

// Dataset is a corpus as token ids.
type Dataset struct {
	Tokenizer    *Tokenizer
	Train        *Tokens
	Heldout      *Tokens
	Documents    int      // number of documents of the corpus
	Bytes        int64    // bytes of text of the corpus
	HeldoutBytes int64    // bytes of text held out
	Warnings     []string // what the user should know: a damaged cache that was encoded again, a vocabulary smaller than asked for
}

// Open reads the corpus of cfg, trains or loads its tokenizer, and maps its ids
// into memory, encoding it unless cacheDir already has the ids. An empty cacheDir
// is [CacheDir]. progress, if not nil, is told the stage ("index", "vocabulary",
// "encode") and the bytes of text done so far, from one goroutine at a time.
// Cancelling ctx ends it with the error of ctx.
func Open(ctx context.Context, cfg Config, cacheDir string, progress func(stage string, done, total int64)) (*Dataset, error) {
	return nil, errors.New("data.Open: not yet")
}

// Close unmaps the ids: Train and Heldout are empty from then on.
func (d *Dataset) Close() error {
	return errors.Join(d.Train.close(), d.Heldout.close())
}
