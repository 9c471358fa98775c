package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxTokenizerJSON = 128 << 20 // bytes
	maxHoles         = 1024      // ids that no token has
)

// tokenizerFile is what matters of a tokenizer.json.
type tokenizerFile struct {
	AddedTokens  []addedToken    `json:"added_tokens"`
	Normalizer   json.RawMessage `json:"normalizer"`
	PreTokenizer json.RawMessage `json:"pre_tokenizer"`
	Model        json.RawMessage `json:"model"`
}

type bpeFile struct {
	Type         string            `json:"type"`
	Dropout      float64           `json:"dropout"`
	Prefix       string            `json:"continuing_subword_prefix"`
	Suffix       string            `json:"end_of_word_suffix"`
	ByteFallback bool              `json:"byte_fallback"`
	IgnoreMerges bool              `json:"ignore_merges"`
	Vocab        map[string]int64  `json:"vocab"`
	Merges       []json.RawMessage `json:"merges"`
}

// ParseTokenizer reads a Hugging Face tokenizer.json. Byte-level BPE with one of the
// splits of [Split] gives exactly the ids of Hugging Face's library, for text without the
// names of special tokens. Of the others, WordPiece, WordLevel and Unigram are left to the
// sugarme/tokenizer library, with the pre-tokenizers and normalizers that it does as
// Hugging Face does on usual text (see [libraryFault]); on rare characters their ids can
// differ. They are slow (less than 1 MB a second), and [Tokenizer.TokenBytes] counts the
// bytes of the token as it stands in the vocabulary. That library ends the process on some
// files that are not sound, so load only trusted ones. The rest is refused with the reason.
func ParseTokenizer(text []byte) (*Tokenizer, error) {
	var file tokenizerFile
	if err := parseJSON(text, &file); err != nil {
		return nil, fmt.Errorf("not a tokenizer.json: %w", err)
	}
	if isNull(file.Model) {
		return nil, fmt.Errorf("not a tokenizer.json: it has no model")
	}
	split, model, reason := byteLevelOf(file)
	if reason == "" {
		return parseByteLevel(text, file, model, split)
	}
	if fault := libraryFault(file); fault != "" {
		return nil, fmt.Errorf("the tokenizer is not supported: %s (nor is it byte-level BPE with the split of GPT-2, Llama 3, Qwen 2 or SmolLM: %s)", fault, reason)
	}
	t, err := newLibraryTokenizer(text, file)
	if err != nil {
		return nil, fmt.Errorf("it is not byte-level BPE (%s), and the tokenizer library cannot read it either: %w", reason, err)
	}
	return t, nil
}

// parseJSON is json.Unmarshal with errors in terms of the text.
func parseJSON(text []byte, v any) error {
	if len(text) == 0 {
		return errors.New("it is missing")
	}
	err := json.Unmarshal(text, v)
	switch e := err.(type) {
	case *json.UnmarshalTypeError:
		what := "the value"
		if e.Field != "" {
			what = e.Field
		}
		return fmt.Errorf("byte %d: %s is a %s, which it cannot be", e.Offset, what, e.Value)
	case *json.SyntaxError:
		return fmt.Errorf("byte %d: %w", e.Offset, err)
	}
	return err
}

// byteLevelOf reads a byte-level tokenizer, or tells why the file is none.
func byteLevelOf(file tokenizerFile) (split Split, model bpeFile, reason string) {
	if split, reason = splitOf(file.PreTokenizer); reason == "" {
		model, reason = bpeOf(file.Model, split)
	}
	if reason == "" {
		reason = aroundSplit(file, split)
	}
	return split, model, reason
}

// aroundSplit tells what a file does before its split that is not supported. It may
// compose characters (NFC, as Qwen 2 does) and look for added tokens in the text.
func aroundSplit(file tokenizerFile, split Split) string {
	nfc := false
	if !isNull(file.Normalizer) {
		var n struct {
			Type string `json:"type"`
		}
		if json.Unmarshal(file.Normalizer, &n) != nil || n.Type != "NFC" {
			return fmt.Sprintf("its normalizer is %.60q", file.Normalizer)
		}
		nfc = true
	}
	sought := 0
	for _, a := range file.AddedTokens {
		switch {
		case a.Special:
			continue
		case split == SplitNothing || split == SplitCharacters:
			return fmt.Sprintf("its added token %q is looked for in text", a.Content)
		case a.SingleWord || a.LStrip || a.RStrip || nfc && a.Normalized:
			return fmt.Sprintf("its added token %q depends on the text around it", a.Content)
		case a.Content == "" || strings.ContainsFunc(a.Content, unicode.IsSpace):
			return fmt.Sprintf("its added token %q has white space", a.Content)
		}
		if sought++; sought > maxSought {
			return fmt.Sprintf("it looks for more than %d added tokens in text", maxSought)
		}
	}
	if nfc && (split == SplitNothing || split == SplitCharacters) {
		return "it has a normalizer"
	}
	return ""
}

// maxSought is the most added tokens that are looked for in text.
const maxSought = 4096

// splitOf tells the split of a byte-level tokenizer, or why the file is none.
func splitOf(preTokenizer json.RawMessage) (split Split, reason string) {
	var s step
	if json.Unmarshal(preTokenizer, &s) != nil {
		return "", "its pre_tokenizer is of another form"
	}
	split = SplitWords
	if s.Type == "Sequence" && len(s.Steps) == 2 {
		if split = firstStep(s.Steps[0]); split == "" {
			return "", "it has another split"
		}
		s = s.Steps[1]
	}
	useRegex := s.UseRegex == nil || *s.UseRegex
	switch {
	case s.Type != "ByteLevel":
		return "", fmt.Sprintf("its pre_tokenizer is %q", s.Type)
	case s.AddPrefixSpace == nil || *s.AddPrefixSpace:
		return "", "it puts a space before text"
	case split == SplitWords && !useRegex:
		return SplitNothing, ""
	case useRegex != (split == SplitWords || split == SplitDigits):
		return "", "it has another split"
	}
	return split, ""
}

// firstStep tells the split by what comes before ByteLevel, "" if it is another.
func firstStep(s step) Split {
	switch {
	case s.Type == "Digits" && s.Individual != nil && *s.Individual:
		return SplitDigits
	case s.Type != "Split" || s.Behavior != "Isolated" || s.Invert != nil && *s.Invert:
		return ""
	}
	switch s.Pattern["Regex"] {
	case anyCharacter:
		return SplitCharacters
	case llama3Pattern:
		return SplitLlama3
	case qwen2Pattern:
		return SplitQwen2
	}
	return ""
}

// bpeOf reads a BPE model, or tells why it is none that goes with the split.
func bpeOf(text json.RawMessage, split Split) (model bpeFile, reason string) {
	if err := parseJSON(text, &model); err != nil {
		return model, "its model: " + err.Error()
	}
	switch {
	case model.Type != "BPE" && (model.Type != "" || model.Merges == nil):
		reason = fmt.Sprintf("its model is %q", model.Type)
	case model.Dropout != 0:
		reason = "it has dropout"
	case model.Prefix != "" || model.Suffix != "":
		reason = "it marks the parts of words"
	case (split == SplitNothing || split == SplitCharacters) && len(model.Merges) > 0:
		reason = "it merges without splitting into words"
	case model.ByteFallback:
		reason = "it has byte_fallback"
	case split == SplitCharacters && !model.IgnoreMerges:
		reason = "it splits characters into bytes"
	}
	return model, reason
}

// parseByteLevel builds the tokenizer of a file that [byteLevelOf] accepts.
func parseByteLevel(text []byte, file tokenizerFile, model bpeFile, split Split) (*Tokenizer, error) {
	t := &Tokenizer{json: slices.Clone(text)}
	if err := t.setTokens(model.Vocab, file.AddedTokens); err != nil {
		return nil, err
	}
	var err error
	switch split {
	case SplitNothing:
		t.coder = &byteCoder{ids: byteIDs(t)}
	case SplitCharacters:
		t.coder, err = newCharCoder(t)
	default:
		var b *bpeCoder
		if b, err = newBPECoder(t, model, splitters[split]); err == nil {
			t.coder = around(b, file)
		}
	}
	return t, err
}

// setTokens fills the table of tokens from the vocabulary and the added tokens.
func (t *Tokenizer) setTokens(vocab map[string]int64, added []addedToken) error {
	most := int64(min(maxVocab, len(vocab)+len(added)+maxHoles))
	ids := make(map[string]int64, len(vocab)+len(added))
	for token, id := range vocab {
		ids[token] = id
	}
	for _, a := range added {
		if id, ok := ids[a.Content]; ok && id != a.ID {
			return fmt.Errorf("token %q has id %d in the vocabulary and %d among the added tokens", a.Content, id, a.ID)
		}
		ids[a.Content] = a.ID
	}
	size := int64(0)
	for token, id := range ids {
		if id < 0 || id >= most {
			return fmt.Errorf("token %q has id %d: ids of these %d tokens must be from 0 to %d", token, id, len(ids), most-1)
		}
		size = max(size, id+1)
	}
	if size == 0 {
		return fmt.Errorf("its vocabulary is empty")
	}
	t.tokens, t.special, t.end = make([]string, size), make([]bool, size), -1
	taken := make([]bool, size)
	for token, id := range ids {
		if taken[id] {
			return fmt.Errorf("id %d belongs to two tokens, one of them %q", id, token)
		}
		taken[id] = true
		t.tokens[id] = token
		if bytes, ok := fromByteLevel(token); ok {
			t.tokens[id] = bytes
		}
	}
	t.setSpecial(added)
	return nil
}

// endNames are the special tokens that can end a document, by preference.
var endNames = []string{EndOfText, "<|end_of_text|>", "</s>", "<eos>", "[SEP]"}

func (t *Tokenizer) setSpecial(added []addedToken) {
	rank := len(endNames)
	for _, a := range added {
		t.tokens[a.ID] = a.Content
		if !a.Special {
			continue
		}
		t.special[a.ID] = true
		if i := slices.Index(endNames, a.Content); i >= 0 && i < rank {
			rank, t.end = i, int32(a.ID)
		}
	}
}

// byteIDs finds the token of each byte, -1 if there is none.
func byteIDs(t *Tokenizer) (ids [256]int32) {
	for b := range ids {
		ids[b] = -1
	}
	for id, token := range t.tokens {
		if len(token) == 1 && !t.special[id] {
			ids[token[0]] = int32(id)
		}
	}
	return ids
}

func newCharCoder(t *Tokenizer) (*charCoder, error) {
	c := &charCoder{other: map[rune]int32{}}
	for b := range c.ascii {
		c.ascii[b] = -1
	}
	for id, token := range t.tokens {
		if t.special[id] || token == "" {
			continue
		}
		r, size := utf8.DecodeRuneInString(token)
		if size != len(token) || r == utf8.RuneError && size == 1 {
			return nil, fmt.Errorf("token %d of a vocabulary of characters is %q: it must be one character", id, token)
		}
		if r < utf8.RuneSelf {
			c.ascii[r] = int32(id)
		} else {
			c.other[r] = int32(id)
		}
	}
	return c, nil
}

func newBPECoder(t *Tokenizer, model bpeFile, split splitter) (*bpeCoder, error) {
	b := &bpeCoder{split: split, bytes: byteIDs(t), merges: make(map[pair]merge, len(model.Merges))}
	b.partial = slices.Contains(b.bytes[:], -1)
	for rank, text := range model.Merges {
		p, id, err := parseMerge(text, model.Vocab)
		if err != nil {
			return nil, fmt.Errorf("model.merges[%d]: %w", rank, err)
		}
		if t.special[id] {
			return nil, fmt.Errorf("model.merges[%d]: it makes the special token %q, which no text may give", rank, t.tokens[id])
		}
		b.merges[p] = merge{int32(rank), id}
	}
	if model.IgnoreMerges {
		b.whole = make(map[string]int32, len(t.tokens))
		for id, token := range t.tokens {
			if token != "" && !t.special[id] {
				b.whole[token] = int32(id)
			}
		}
	}
	return b, nil
}

// parseMerge reads "left right" or ["left", "right"].
func parseMerge(text json.RawMessage, vocab map[string]int64) (pair, int32, error) {
	var parts []string
	if json.Unmarshal(text, &parts) != nil {
		var line string
		if err := parseJSON(text, &line); err != nil {
			return 0, 0, err
		}
		parts = strings.Split(line, " ")
	}
	if len(parts) != 2 {
		return 0, 0, fmt.Errorf("%s is not a pair of tokens", text)
	}
	var ids [3]int32
	for i, token := range []string{parts[0], parts[1], parts[0] + parts[1]} {
		id, ok := vocab[token]
		if !ok || id < 0 || id > math.MaxInt32 {
			return 0, 0, fmt.Errorf("%q is not in the vocabulary", token)
		}
		ids[i] = int32(id)
	}
	return pairOf(ids[0], ids[1]), ids[2], nil
}

func isNull(text json.RawMessage) bool {
	return len(text) == 0 || string(text) == "null"
}
