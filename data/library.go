package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/pretrained"
)

// libraryCoder leaves a tokenizer to the sugarme/tokenizer library, which panics on what
// it does not expect, and is not known to be safe for concurrent use.
type libraryCoder struct {
	mu      sync.Mutex
	library *tokenizer.Tokenizer
}

// newLibraryTokenizer loads what is not byte-level BPE. The library gets neither the
// special tokens, so that it does not find their names in text, nor the steps that put
// them around it.
func newLibraryTokenizer(text []byte, file tokenizerFile) (*Tokenizer, error) {
	if err := checkModel(file.Model); err != nil {
		return nil, err
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
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
	return loadLibrary(text, reduced, file.AddedTokens)
}

func loadLibrary(text, reduced []byte, added []addedToken) (*Tokenizer, error) {
	c := &libraryCoder{}
	vocab := map[string]int64{}
	err := guard(func() (err error) {
		if c.library, err = pretrained.FromReader(bytes.NewReader(reduced)); err != nil {
			return err
		}
		for token, id := range c.library.GetVocab(true) {
			vocab[token] = int64(id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{json: slices.Clone(text), coder: c}
	if err := t.setTokens(vocab, added); err != nil {
		return nil, err
	}
	for id, token := range t.tokens {
		if !t.special[id] {
			t.tokens[id] = strings.ReplaceAll(strings.TrimPrefix(token, "##"), "▁", " ")
		}
	}
	return t, nil
}

// checkModel refuses what makes the library end the process instead of failing.
func checkModel(text json.RawMessage) error {
	var model struct {
		Type    string          `json:"type"`
		Unknown *string         `json:"unk_token"`
		Vocab   json.RawMessage `json:"vocab"`
	}
	if err := json.Unmarshal(text, &model); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	switch model.Type {
	case "Unigram":
		return nil
	case "BPE", "WordPiece", "WordLevel":
	default:
		return fmt.Errorf("model.type: %q is not known: it must be BPE, WordPiece, WordLevel or Unigram", model.Type)
	}
	var vocab map[string]int32
	if err := json.Unmarshal(model.Vocab, &vocab); err != nil {
		return fmt.Errorf("model.vocab: %w", err)
	}
	if model.Unknown == nil {
		return fmt.Errorf("model.unk_token is missing: the vocabulary has no token for unknown text")
	}
	if _, ok := vocab[*model.Unknown]; !ok {
		return fmt.Errorf("model.unk_token: %q is not in model.vocab", *model.Unknown)
	}
	return nil
}

func (c *libraryCoder) encode(dst []int32, text []byte) ([]int32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := guard(func() error {
		encoding, err := c.library.EncodeSingle(string(text), false)
		if err != nil {
			return err
		}
		for _, id := range encoding.Ids {
			dst = append(dst, int32(id))
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
