package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/pretrained"
)

// libraryCoder leaves a tokenizer to the sugarme/tokenizer library, which panics on what
// it does not expect, and is not known to be safe for concurrent use.
type libraryCoder struct {
	mu      sync.Mutex
	library *tokenizer.Tokenizer
	special []bool // tokens that text must not give
	unknown int32  // what it gives instead, or -1 for nothing
}

// newLibraryTokenizer loads what is not byte-level BPE. The library gets neither the
// special tokens, so that it does not find their names in text, nor the steps that put
// them around it; the token for unknown text is the only special one that it gives.
func newLibraryTokenizer(text []byte, file tokenizerFile) (*Tokenizer, error) {
	unknown, err := checkModel(file.Model)
	if err != nil {
		return nil, err
	}
	var whole map[string]json.RawMessage
	if err := parseJSON(text, &whole); err != nil {
		return nil, err
	}
	ordinary := slices.DeleteFunc(slices.Clone(file.AddedTokens), func(a addedToken) bool { return a.Special })
	added, err := json.Marshal(ordinary)
	if err != nil {
		return nil, err
	}
	whole["added_tokens"] = added
	for _, name := range []string{"post_processor", "truncation", "padding"} {
		delete(whole, name)
	}
	reduced, err := json.Marshal(whole)
	if err != nil {
		return nil, err
	}
	t, library, err := loadLibrary(text, reduced, file.AddedTokens)
	if err != nil {
		return nil, err
	}
	if unknown >= int64(t.Vocab()) {
		return nil, fmt.Errorf("model.unk_id: %d is not in model.vocab", unknown)
	}
	t.coder = &libraryCoder{library: library, special: t.special, unknown: int32(unknown)}
	return t, nil
}

// libraryFault tells what of a tokenizer.json the sugarme/tokenizer library does
// otherwise than Hugging Face's, or takes forever for; "" if nothing is known. What is
// let through gave Hugging Face's ids on English and on source code.
func libraryFault(file tokenizerFile) string {
	var model struct {
		Type         string `json:"type"`
		ByteFallback bool   `json:"byte_fallback"`
	}
	if err := json.Unmarshal(file.Model, &model); err != nil {
		return "its model is of another form: " + err.Error()
	}
	var around struct{ Normalizer, PreTokenizer librarySteps }
	err := errors.Join(unmarshal(file.Normalizer, &around.Normalizer), unmarshal(file.PreTokenizer, &around.PreTokenizer))
	if err != nil {
		return "its normalizer or pre_tokenizer is of another form: " + err.Error()
	}
	switch {
	case model.ByteFallback:
		return "it writes characters that it lacks as bytes (byte_fallback), which the tokenizer library does not"
	case model.Type == "BPE":
		return "the tokenizer library gives other ids for BPE that is not byte-level"
	}
	for _, name := range around.Normalizer.names() {
		if !slices.Contains([]string{"BertNormalizer", "Lowercase", "StripAccents", "NFC", "NFD", "NFKC"}, name) {
			return "the tokenizer library does not do its normalizer " + name + " rightly"
		}
	}
	steps := around.PreTokenizer.names()
	splits := []string{"BertPreTokenizer", "WhitespaceSplit"}
	if model.Type != "Unigram" {
		splits = append(splits, "Whitespace")
	}
	for i, name := range steps {
		if !slices.Contains(splits, name) && (i == 0 || name != "Punctuation") {
			return "the tokenizer library does not do the pre_tokenizer " + name + " of " + model.Type + " rightly"
		}
	}
	if len(steps) == 0 {
		return "without a pre_tokenizer the tokenizer library takes forever for a text"
	}
	return ""
}

// unmarshal reads a part of a tokenizer.json that may be missing.
func unmarshal(text json.RawMessage, v any) error {
	if isNull(text) {
		return nil
	}
	return json.Unmarshal(text, v)
}

// librarySteps is a normalizer or a pre-tokenizer that may be a sequence of them.
type librarySteps struct {
	Type          string         `json:"type"`
	Normalizers   []librarySteps `json:"normalizers"`
	PreTokenizers []librarySteps `json:"pretokenizers"`
}

// names lists the types of all steps.
func (s librarySteps) names() []string {
	if s.Type != "Sequence" {
		return strings.Fields(s.Type)
	}
	var list []string
	for _, step := range append(s.Normalizers, s.PreTokenizers...) {
		list = append(list, step.names()...)
	}
	return list
}

// loadLibrary reads the reduced file with the library, and the table of tokens from it.
func loadLibrary(text, reduced []byte, added []addedToken) (*Tokenizer, *tokenizer.Tokenizer, error) {
	var library *tokenizer.Tokenizer
	vocab := map[string]int64{}
	err := guard(func() (err error) {
		if library, err = pretrained.FromReader(bytes.NewReader(reduced)); err != nil {
			return err
		}
		for token, id := range library.GetVocab(true) {
			vocab[token] = int64(id)
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	t := &Tokenizer{json: slices.Clone(text)}
	if err := t.setTokens(vocab, added); err != nil {
		return nil, nil, err
	}
	for id, token := range t.tokens {
		if !t.special[id] {
			t.tokens[id] = strings.ReplaceAll(strings.TrimPrefix(token, "##"), "▁", " ")
		}
	}
	return t, library, nil
}

// checkModel refuses what makes the library end the process instead of failing, and
// returns the id for unknown text, or -1.
func checkModel(text json.RawMessage) (unknown int64, err error) {
	var model struct {
		Type      string          `json:"type"`
		Unknown   *string         `json:"unk_token"`
		UnknownID *uint32         `json:"unk_id"`
		Vocab     json.RawMessage `json:"vocab"`
	}
	if err := parseJSON(text, &model); err != nil {
		return 0, fmt.Errorf("model: %w", err)
	}
	switch model.Type {
	case "Unigram":
		if model.UnknownID == nil {
			return -1, nil
		}
		return int64(*model.UnknownID), nil
	case "BPE", "WordPiece", "WordLevel":
	default:
		return 0, fmt.Errorf("model.type: %q is not known: it must be BPE, WordPiece, WordLevel or Unigram", model.Type)
	}
	var vocab map[string]int32
	if err := parseJSON(model.Vocab, &vocab); err != nil {
		return 0, fmt.Errorf("model.vocab: %w", err)
	}
	if model.Unknown == nil {
		return 0, errors.New("model.unk_token is missing: the vocabulary has no token for unknown text")
	}
	id, ok := vocab[*model.Unknown]
	if !ok {
		return 0, fmt.Errorf("model.unk_token: %q is not in model.vocab", *model.Unknown)
	}
	return int64(id), nil
}

func (c *libraryCoder) encode(dst []int32, text []byte) ([]int32, error) {
	if !utf8.Valid(text) {
		return dst, errors.New("the text is not valid UTF-8, which this tokenizer needs: leave such bytes out, or train with data.tokenizer.kind byte or bpe")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := guard(func() error {
		encoding, err := c.library.EncodeSingle(string(text), false)
		if err != nil {
			return err
		}
		for _, id := range encoding.Ids {
			if c.special[id] {
				id = int(c.unknown)
			}
			if id >= 0 {
				dst = append(dst, int32(id))
			}
		}
		return nil
	})
	if err != nil {
		return dst, fmt.Errorf("encoding with the tokenizer library: %w", err)
	}
	return dst, nil
}

func (c *libraryCoder) decode(ids []int32) []byte {
	list := make([]int, len(ids))
	for i, id := range ids {
		list[i] = int(id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var text []byte
	if guard(func() error { text = []byte(c.library.Decode(list, false)); return nil }) != nil {
		return []byte("\uFFFD")
	}
	return text
}

// cut keeps lines whole: the library takes about a second for 200 KB.
func (c *libraryCoder) cut(text []byte) int { return bytes.LastIndexByte(text, '\n') + 1 }

// guard turns a panic into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it failed: %v", p)
		}
	}()
	return f()
}
