package data

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Split says what a byte-level tokenizer does to text before its merges.
type Split string

const (
	SplitWords      Split = "words"      // the regular expression of GPT-2
	SplitLlama3     Split = "llama 3"    // that of Llama 3: numbers of up to three digits, one mark before letters
	SplitQwen2      Split = "qwen 2"     // that of Qwen 2: as Llama 3's, each digit by itself
	SplitDigits     Split = "digits"     // each digit by itself, then GPT-2's: SmolLM
	SplitNothing    Split = "nothing"    // each byte is a token: there are no merges
	SplitCharacters Split = "characters" // each character is a token: there are no merges
)

// ByteLevel is a byte-level tokenizer in parts, for formats other than
// tokenizer.json.
type ByteLevel struct {
	// Tokens by id, their bytes written as a tokenizer.json writes them, one
	// printable character for each; special ones by name; "" for an id that no
	// token has.
	Tokens  []string
	Special []bool   // tokens that no text gives
	Added   []bool   // tokens that are found in a text before it is split
	Merges  []string // "left right", by rank
	Split   Split
	// WholeWords takes a word that is a token as it is, without merges.
	WholeWords bool
	NFC        bool // characters are composed (Unicode's form C) before
}

// ByteLevel takes the tokenizer apart. Tokenizers of other kinds, or with
// another split, are an error that tells what is different.
func (t *Tokenizer) ByteLevel() (ByteLevel, error) {
	var file tokenizerFile
	if err := json.Unmarshal(t.json, &file); err != nil {
		return ByteLevel{}, err
	}
	split, model, reason := byteLevelOf(file)
	if reason != "" {
		return ByteLevel{}, fmt.Errorf("the tokenizer is not byte-level BPE with the split of GPT-2, Llama 3, Qwen 2 or SmolLM: %s", reason)
	}
	b := ByteLevel{
		Tokens: make([]string, t.Vocab()), Special: slices.Clone(t.special), Added: make([]bool, t.Vocab()),
		Split: split, WholeWords: model.IgnoreMerges, NFC: !isNull(file.Normalizer),
	}
	for token, id := range model.Vocab {
		b.Tokens[id] = token
	}
	for _, a := range file.AddedTokens {
		b.Tokens[a.ID], b.Added[a.ID] = a.Content, !a.Special
	}
	for _, m := range model.Merges {
		line, err := mergeLine(m)
		if err != nil {
			return ByteLevel{}, err
		}
		b.Merges = append(b.Merges, line)
	}
	return b, nil
}

// mergeLine returns a merge, "left right" or ["left", "right"], as one line.
func mergeLine(text json.RawMessage) (string, error) {
	var pair []string
	if json.Unmarshal(text, &pair) == nil {
		return strings.Join(pair, " "), nil
	}
	var line string
	err := json.Unmarshal(text, &line)
	return line, err
}

// NewByteLevel puts a tokenizer together. Added may be nil.
func NewByteLevel(b ByteLevel) (*Tokenizer, error) {
	if _, ok := splitters[b.Split]; !ok || len(b.Special) != len(b.Tokens) || b.Added != nil && len(b.Added) != len(b.Tokens) {
		return nil, fmt.Errorf("tokenizer: split %q of %d tokens, %d marks of special ones, %d of added ones: want a split into words and as many marks as tokens", b.Split, len(b.Tokens), len(b.Special), len(b.Added))
	}
	file := tokenizerJSON{Version: "1.0", AddedTokens: []addedToken{}, PreTokenizer: b.Split.preTokenizer(), Decoder: byteLevel(true)}
	if b.NFC {
		file.Normalizer = &step{Type: "NFC"}
	}
	file.Model = modelJSON{Type: "BPE", IgnoreMerges: b.WholeWords, Vocab: b.Tokens, Merges: append([]string{}, b.Merges...)}
	seen := map[string]bool{}
	for id, token := range b.Tokens {
		if seen[token] {
			return nil, fmt.Errorf("tokenizer: token %q is listed twice, once with id %d", token, id)
		}
		seen[token] = true
		if b.Special[id] || b.Added != nil && b.Added[id] {
			file.AddedTokens = append(file.AddedTokens, addedToken{ID: int64(id), Content: token, Special: b.Special[id]})
		}
	}
	return file.tokenizer()
}
