package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// The tokenizer.json of a trained tokenizer, in the order of Hugging Face's files.
//
// All three kinds are byte-level BPE to Hugging Face's library:
//   - bpe: the ByteLevel pre-tokenizer, whose regular expression is GPT-2's split;
//   - byte: ByteLevel without the split, and no merges;
//   - char: a split into characters, each of which is a token as a whole
//     (ignore_merges), so that no merges are needed.
type tokenizerJSON struct {
	Version       string       `json:"version"`
	Truncation    *struct{}    `json:"truncation"`
	Padding       *struct{}    `json:"padding"`
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    *step        `json:"normalizer"`
	PreTokenizer  step         `json:"pre_tokenizer"`
	PostProcessor *struct{}    `json:"post_processor"`
	Decoder       step         `json:"decoder"`
	Model         modelJSON    `json:"model"`
}

type addedToken struct {
	ID         int64  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// step is a normalizer (NFC), a pre-tokenizer or a decoder: ByteLevel, Split, Digits or a
// Sequence of them.
type step struct {
	Type           string            `json:"type"`
	AddPrefixSpace *bool             `json:"add_prefix_space,omitempty"`
	TrimOffsets    *bool             `json:"trim_offsets,omitempty"`
	UseRegex       *bool             `json:"use_regex,omitempty"`
	Pattern        map[string]string `json:"pattern,omitempty"`
	Behavior       string            `json:"behavior,omitempty"`
	Invert         *bool             `json:"invert,omitempty"`
	Individual     *bool             `json:"individual_digits,omitempty"`
	Steps          []step            `json:"pretokenizers,omitempty"`
}

type modelJSON struct {
	Type         string     `json:"type"`
	Dropout      *float64   `json:"dropout"`
	Unknown      *string    `json:"unk_token"`
	Prefix       *string    `json:"continuing_subword_prefix"`
	Suffix       *string    `json:"end_of_word_suffix"`
	FuseUnknown  bool       `json:"fuse_unk"`
	ByteFallback bool       `json:"byte_fallback"`
	IgnoreMerges bool       `json:"ignore_merges"`
	Vocab        vocabulary `json:"vocab"`
	Merges       []string   `json:"merges"`
}

// vocabulary is an object of tokens and their ids, in the order of the ids.
type vocabulary []string

func (v vocabulary) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	out.WriteByte('{')
	for id, token := range v {
		if id > 0 {
			out.WriteByte(',')
		}
		if err := enc.Encode(token); err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, ":%d", id)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

func byteLevel(useRegex bool) step {
	return step{Type: "ByteLevel", AddPrefixSpace: new(bool), TrimOffsets: new(bool), UseRegex: &useRegex}
}

// anyCharacter matches one character, line ends included.
const anyCharacter = `[\s\S]`

// isolated splits what matches a pattern off before ByteLevel.
func isolated(pattern string) step {
	each := step{Type: "Split", Pattern: map[string]string{"Regex": pattern}, Behavior: "Isolated", Invert: new(bool)}
	return step{Type: "Sequence", Steps: []step{each, byteLevel(false)}}
}

// preTokenizer is the pre_tokenizer of a split.
func (s Split) preTokenizer() step {
	switch s {
	case SplitNothing:
		return byteLevel(false)
	case SplitCharacters:
		return isolated(anyCharacter)
	case SplitLlama3:
		return isolated(llama3Pattern)
	case SplitQwen2:
		return isolated(qwen2Pattern)
	case SplitDigits:
		individual := true
		return step{Type: "Sequence", Steps: []step{{Type: "Digits", Individual: &individual}, byteLevel(true)}}
	}
	return byteLevel(true)
}

// newBPE is the tokenizer of a vocabulary from [trainBPE]. With end, the end of text
// is its last token.
func newBPE(tokens []string, merges []pairMerge, end bool) (*Tokenizer, error) {
	model := modelJSON{Vocab: byteLevelVocabulary(tokens)}
	for _, m := range merges {
		model.Merges = append(model.Merges, model.Vocab[m.pair.left()]+" "+model.Vocab[m.pair.right()])
	}
	return newTokenizer(SplitWords, model, end)
}

// NewBytes is the tokenizer of single bytes: id = byte. With end, the end of text
// is token 256.
func NewBytes(end bool) (*Tokenizer, error) {
	tokens := make([]string, 256)
	for b := range tokens {
		tokens[b] = string([]byte{byte(b)})
	}
	return newTokenizer(SplitNothing, modelJSON{Vocab: byteLevelVocabulary(tokens)}, end)
}

// newChars is the tokenizer of single characters, by code point.
func newChars(characters map[rune]bool, end bool) (*Tokenizer, error) {
	var tokens []string
	for r := range characters {
		tokens = append(tokens, string(r))
	}
	slices.Sort(tokens) // UTF-8 sorts by code point
	return newTokenizer(SplitCharacters, modelJSON{Vocab: byteLevelVocabulary(tokens), IgnoreMerges: true}, end)
}

func byteLevelVocabulary(tokens []string) vocabulary {
	v := make(vocabulary, 0, len(tokens)+1)
	for _, token := range tokens {
		v = append(v, toByteLevel(token))
	}
	return v
}

// newTokenizer writes a tokenizer.json and reads it: a tokenizer is what its file says.
func newTokenizer(split Split, model modelJSON, end bool) (*Tokenizer, error) {
	file := tokenizerJSON{Version: "1.0", AddedTokens: []addedToken{}, PreTokenizer: split.preTokenizer(), Decoder: byteLevel(true), Model: model}
	file.Model.Type = "BPE"
	if file.Model.Merges == nil {
		file.Model.Merges = []string{}
	}
	if end {
		id := int64(len(model.Vocab))
		file.Model.Vocab = append(file.Model.Vocab, EndOfText)
		file.AddedTokens = append(file.AddedTokens, addedToken{ID: id, Content: EndOfText, Special: true})
	}
	return file.tokenizer()
}

// tokenizer reads the file, written out, as [ParseTokenizer] does.
func (file tokenizerJSON) tokenizer() (*Tokenizer, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(file); err != nil {
		return nil, err
	}
	return ParseTokenizer(out.Bytes())
}
