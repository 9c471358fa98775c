package data

import (
	"context"
	"fmt"
	"maps"
	"unicode/utf8"
)

// vocabularySample is the most text that a BPE vocabulary is trained on, in bytes: of a
// longer text every second, third, ... batch.
const vocabularySample = 512 << 20

// trainTokenizer makes the tokenizer of a corpus: BPE learns from the training documents,
// a vocabulary of characters has those of the held-out documents too.
func trainTokenizer(ctx context.Context, r reader, cfg TokenizerConfig, progress func(stage string, done, total int64)) (*Tokenizer, error) {
	end := r.index.documents > 1
	switch cfg.Kind {
	case Byte:
		return NewBytes(end)
	case Char:
		characters, err := collectCharacters(ctx, r, progress)
		if err != nil {
			return nil, err
		}
		return newChars(characters, end)
	}
	words, err := countWords(ctx, r, progress)
	if err != nil {
		return nil, err
	}
	size := cfg.Vocab
	if end {
		size--
	}
	tokens, merges, err := trainBPE(ctx, words, size, func(tokens int) {
		progress("merges", int64(tokens), int64(size))
	})
	if err != nil {
		return nil, err
	}
	return newBPE(tokens, merges, end)
}

// tally is what one batch says of the vocabulary.
type tally[K comparable] struct {
	counts map[K]int64
	bytes  int64
}

// add counts the batch of b in.
func (t *tally[K]) add(b tally[K]) {
	for k, n := range b.counts {
		t.counts[k] += n
	}
	t.bytes += b.bytes
}

// countWords counts the words of the training documents.
func countWords(ctx context.Context, r reader, progress func(stage string, done, total int64)) (map[string]int64, error) {
	r.cut = wordCut
	stride := int(r.index.bytes/vocabularySample) + 1
	all := tally[string]{counts: map[string]int64{}}
	err := ordered(ctx,
		func(emit func([]piece) error) error {
			number := 0
			return r.batches(ctx, func(batch []piece) error {
				number++
				if number%stride != 0 {
					return nil
				}
				return emit(batch)
			})
		},
		wordsOf,
		func(t tally[string]) error {
			all.add(t)
			progress("vocabulary", all.bytes, r.index.bytes/int64(stride))
			return nil
		})
	return all.counts, err
}

func wordsOf(batch []piece) (tally[string], error) {
	t := tally[string]{counts: map[string]int64{}}
	places := map[string]int{}
	var counts []int64
	for _, p := range batch {
		t.bytes += int64(len(p.text))
		if p.heldout {
			continue
		}
		for start := 0; start < len(p.text); {
			end := wordEnd(p.text, start)
			at, ok := places[string(p.text[start:end])]
			if !ok {
				at = len(counts)
				counts = append(counts, 0)
				places[string(p.text[start:end])] = at
			}
			counts[at]++
			start = end
		}
	}
	for word, at := range places {
		t.counts[word] = counts[at]
	}
	return t, nil
}

// collectCharacters finds the characters of all documents.
func collectCharacters(ctx context.Context, r reader, progress func(stage string, done, total int64)) (map[rune]bool, error) {
	r.cut = runeCut
	all := tally[rune]{counts: map[rune]int64{}}
	err := ordered(ctx,
		func(emit func([]piece) error) error { return r.batches(ctx, emit) },
		charactersOf,
		func(t tally[rune]) error {
			all.add(t)
			progress("vocabulary", all.bytes, r.index.bytes)
			return nil
		})
	set := make(map[rune]bool, len(all.counts))
	for r := range maps.Keys(all.counts) {
		set[r] = true
	}
	return set, err
}

func charactersOf(batch []piece) (tally[rune], error) {
	t := tally[rune]{counts: map[rune]int64{}}
	var ascii [utf8.RuneSelf]int64
	for _, p := range batch {
		t.bytes += int64(len(p.text))
		for i := 0; i < len(p.text); {
			if c := p.text[i]; c < utf8.RuneSelf {
				ascii[c]++
				i++
				continue
			}
			r, size := utf8.DecodeRune(p.text[i:])
			if r == utf8.RuneError && size == 1 {
				return t, fmt.Errorf("%s: %w", p.from, missingCharacter(p.text[i:i+1], r))
			}
			t.counts[r]++
			i += size
		}
	}
	for c, n := range ascii {
		if n > 0 {
			t.counts[rune(c)] = n
		}
	}
	return t, nil
}
