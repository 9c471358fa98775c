package data

import (
	"crypto/sha256"
	"fmt"

	"trefoil/internal/regularfile"
)

// EndOfText is the special token after each document of a corpus that has more
// than one.
const EndOfText = "<|endoftext|>"

// Tokenizer turns text into token ids and back. It is immutable and safe for
// concurrent use.
type Tokenizer struct {
	tokens  []string // the bytes of each token; of a special one, its name
	special []bool   // tokens that no text gives
	end     int32    // the end of text, or -1
	json    []byte
	coder   coder
}

// coder is the part of a tokenizer that differs from kind to kind.
type coder interface {
	// encode appends the ids of text to dst. It leaves out what the vocabulary
	// lacks, and its error then names the first such character and the remedy.
	encode(dst []int32, text []byte) ([]int32, error)
	// cut is the last place where text, of which more follows, can be cut so that
	// its parts give the ids of the whole; 0 if there is none.
	cut(text []byte) int
}

// Vocab is the number of ids: each is at least 0 and below it.
func (t *Tokenizer) Vocab() int { return len(t.tokens) }

// EndOfText is the id that follows a document; ok is false if there is none.
func (t *Tokenizer) EndOfText() (id int32, ok bool) { return t.end, t.end >= 0 }

// TokenBytes is the number of bytes of text that id stands for, for bits per
// byte: 0 for a special token and for an id outside the vocabulary.
func (t *Tokenizer) TokenBytes(id int32) int {
	if id < 0 || int(id) >= len(t.tokens) || t.special[id] {
		return 0
	}
	return len(t.tokens[id])
}

// Encode appends the ids of text to dst. No text gives a special id: "<|endoftext|>"
// is encoded as the characters that it is made of. What the vocabulary lacks is left
// out: [Tokenizer.Check] tells.
func (t *Tokenizer) Encode(dst []int32, text []byte) []int32 {
	dst, _ = t.coder.encode(dst, text)
	return dst
}

// Check reports the first character of text that the vocabulary lacks: a vocabulary
// of characters has only those of its corpus.
func (t *Tokenizer) Check(text []byte) error {
	_, err := t.coder.encode(nil, text)
	return err
}

// Decode returns the text of ids. A special token is written by its name, and an id
// outside the vocabulary as U+FFFD, the replacement character.
func (t *Tokenizer) Decode(ids []int32) []byte {
	if l, ok := t.coder.(*libraryCoder); ok {
		return l.decode(ids)
	}
	var text []byte
	for _, id := range ids {
		if id < 0 || int(id) >= len(t.tokens) {
			text = append(text, "\uFFFD"...)
			continue
		}
		text = append(text, t.tokens[id]...)
	}
	return text
}

// JSON is the tokenizer as a Hugging Face tokenizer.json, which [ParseTokenizer] and
// Hugging Face's own library read. The caller must not change it.
func (t *Tokenizer) JSON() []byte { return t.json }

// hash identifies the ids that the tokenizer gives.
func (t *Tokenizer) hash() [sha256.Size]byte { return sha256.Sum256(t.json) }

// LoadTokenizer reads the tokenizer.json at path: see [ParseTokenizer].
func LoadTokenizer(path string) (*Tokenizer, error) {
	text, err := regularfile.Read(path, maxTokenizerJSON)
	if err != nil {
		return nil, fmt.Errorf("%w: give the path of a tokenizer.json", err)
	}
	t, err := ParseTokenizer(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}
