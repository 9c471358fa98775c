package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func charsOf(t *testing.T, text []byte, end bool) *Tokenizer {
	t.Helper()
	set := map[rune]bool{}
	for _, r := range string(text) {
		set[r] = true
	}
	tok, err := newChars(set, end)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func bytesTokenizer(t *testing.T, end bool) *Tokenizer {
	t.Helper()
	tok, err := NewBytes(end)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestShakespeareHas65Characters(t *testing.T) {
	text := shakespeare(t)
	tok := charsOf(t, text, false)
	if tok.Vocab() != 65 {
		t.Fatalf("%d characters, want 65", tok.Vocab())
	}
	if _, ok := tok.EndOfText(); ok {
		t.Error("one document needs no end of text")
	}
	// The ids of nanoGPT's prepare.py: sorted by code point.
	if got, want := tok.Encode(nil, []byte("\n !Az")), []int32{0, 1, 2, 13, 64}; !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
	if ids := tok.Encode(nil, text); len(ids) != len(text) || !bytes.Equal(tok.Decode(ids), text) {
		t.Error("the text does not come back")
	}
}

func TestTextComesBack(t *testing.T) {
	text := mixedText(t)
	for name, tok := range map[string]*Tokenizer{
		"bpe": trained(t, text, 700), "char": charsOf(t, text, true), "byte": bytesTokenizer(t, true),
	} {
		ids := tok.Encode(nil, text)
		if !bytes.Equal(tok.Decode(ids), text) {
			t.Errorf("%s: the text does not come back", name)
		}
		n := 0
		for _, id := range ids {
			n += tok.TokenBytes(id)
		}
		if n != len(text) {
			t.Errorf("%s: the tokens have %d bytes, the text %d", name, n, len(text))
		}
		again, err := ParseTokenizer(tok.JSON())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !slices.Equal(again.Encode(nil, text), ids) || again.Vocab() != tok.Vocab() || again.end != tok.end {
			t.Errorf("%s: its tokenizer.json is another tokenizer", name)
		}
	}
}

func TestSpecialTokenInTextIsText(t *testing.T) {
	text := []byte("a<|endoftext|>b")
	tokens, merges, err := trainBPE(t.Context(), map[string]int64{"<|": 9, "endoftext": 9, "|>": 9, EndOfText: 9}, 400, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	// Even a token of the same bytes would only get its own id.
	tokens = slices.DeleteFunc(tokens, func(s string) bool { return s == EndOfText })
	merges = slices.DeleteFunc(merges, func(m pairMerge) bool { return int(m.id) >= len(tokens) })
	bpe, err := newBPE(tokens, merges, true)
	if err != nil {
		t.Fatal(err)
	}
	for name, tok := range map[string]*Tokenizer{"bpe": bpe, "char": charsOf(t, text, true), "byte": bytesTokenizer(t, true)} {
		end, ok := tok.EndOfText()
		if !ok || int(end) != tok.Vocab()-1 {
			t.Errorf("%s: the end of text is %d of %d", name, end, tok.Vocab())
		}
		ids := tok.Encode(nil, text)
		if slices.Contains(ids, end) || !bytes.Equal(tok.Decode(ids), text) {
			t.Errorf("%s: %q gives the special id %d, or does not come back: %v", name, text, end, ids)
		}
		if tok.TokenBytes(end) != 0 || string(tok.Decode([]int32{end})) != EndOfText {
			t.Errorf("%s: the end of text has %d bytes and is written %q", name, tok.TokenBytes(end), tok.Decode([]int32{end}))
		}
	}
}

func TestWhatTheVocabularyLacks(t *testing.T) {
	tok := charsOf(t, []byte("abcé"), false)
	if got := tok.Encode(nil, []byte("aXé\xffb")); !slices.Equal(got, []int32{0, 3, 1}) {
		t.Errorf("ids %v, want those of a, é and b", got)
	}
	for text, want := range map[string]string{"aXb": "'X' (U+0058)", "a\u4e2d": "U+4E2D", "\xff": "0xff is not valid UTF-8", "abc": ""} {
		err := tok.Check([]byte(text))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	for _, id := range []int32{-1, 4, math.MaxInt32} {
		if got := tok.Decode([]int32{0, id, 1}); string(got) != "a\uFFFDb" {
			t.Errorf("id %d is decoded as %q", id, got)
		}
		if tok.TokenBytes(id) != 0 {
			t.Errorf("id %d has %d bytes", id, tok.TokenBytes(id))
		}
	}
}

func TestParseMergesAsPairs(t *testing.T) {
	const file = `{"added_tokens":[{"id":5,"content":"</s>","special":true},{"id":6,"content":"<eos>","special":true}],
	 "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true},
	 "model":{"type":"BPE","unk_token":null,"vocab":{"a":0,"b":1,"Ġ":2,"ab":3,"Ġab":4},"merges":[["a","b"],"Ġ ab"]}}`
	tok, err := ParseTokenizer([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode(nil, []byte("ab aba")); !slices.Equal(got, []int32{3, 4, 0}) {
		t.Errorf("ids %v, want [3 4 0]", got)
	}
	if end, ok := tok.EndOfText(); !ok || end != 5 || tok.Vocab() != 7 {
		t.Errorf("the end of text is %d of %d, want 5 of 7", end, tok.Vocab())
	}
	if err := tok.Check([]byte("abc")); err == nil || !strings.Contains(err.Error(), "0x63") {
		t.Errorf("a byte outside the vocabulary gives %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	const start = `{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"type":"BPE",`
	for file, want := range map[string]string{
		``:                                       "not a tokenizer.json",
		`[]`:                                     "not a tokenizer.json",
		`{}`:                                     "no model",
		start + `"vocab":{},"merges":[]}}`:       "empty",
		start + `"vocab":{"a":-1},"merges":[]}}`: "id -1",
		start + `"vocab":{"a":2000000000},"merges":[]}}`:                                              "id 2000000000",
		start + `"vocab":{"a":0,"b":0},"merges":[]}}`:                                                 "two tokens",
		start + `"vocab":{"a":0},"merges":["a b"]}}`:                                                  "model.merges[0]",
		start + `"vocab":{"a":0},"merges":["a"]}}`:                                                    "not a pair",
		start + `"vocab":{"a":0},"merges":[7]}}`:                                                      "model.merges[0]",
		start + `"vocab":{"a":0},"merges":[]},"added_tokens":[` + special("a", 1) + `]}`:              "among the added tokens",
		start + `"vocab":{"a":0,"aa":1},"merges":["a a"]},"added_tokens":[` + special("aa", 1) + `]}`: "special token",
		library("", "BertPreTokenizer", `{"type":"WordPiece","vocab":{"a":0}}`):                       "unk_token",
		library("", "BertPreTokenizer", `{"type":"Magic"}`):                                           `"Magic" is not known`,
		library("", "BertPreTokenizer", `{"type":"WordPiece","vocab":{"a":0},"unk_token":"[UNK]"}`):   "[UNK]",
		library("", "", `{"type":"BPE","vocab":{"a":0},"merges":[],"byte_fallback":true}`):            "byte_fallback",
		library("", "BertPreTokenizer", `{"type":"BPE","vocab":{"a":0},"merges":[]}`):                 "other ids for BPE that is not byte-level",
		library("Prepend", "BertPreTokenizer", `{"type":"WordPiece","vocab":{"a":0}}`):                "its normalizer Prepend",
		library("", "Metaspace", `{"type":"Unigram","vocab":[["a",0]]}`):                              "the pre_tokenizer Metaspace of Unigram",
		library("", "Whitespace", `{"type":"Unigram","vocab":[["a",0]]}`):                             "the pre_tokenizer Whitespace of Unigram",
		library("", "Split", `{"type":"WordPiece","vocab":{"a":0}}`):                                  "the pre_tokenizer Split",
		library("", "", `{"type":"Unigram","vocab":[["a",0]]}`):                                       "without a pre_tokenizer",
	} {
		if _, err := ParseTokenizer([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n\tgives %v, want %q", file, err, want)
		}
	}
}

// library is a file that is left to the library, with a normalizer and a
// pre-tokenizer of so named types.
func library(normalizer, preTokenizer, model string) string {
	part := func(kind string) string {
		if kind == "" {
			return "null"
		}
		return `{"type":"` + kind + `"}`
	}
	return `{"normalizer":` + part(normalizer) + `,"pre_tokenizer":` + part(preTokenizer) + `,"model":` + model + `}`
}

func special(token string, id int) string {
	return fmt.Sprintf(`{"id":%d,"content":%q,"special":true}`, id, token)
}

func TestLoadTokenizer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if _, err := LoadTokenizer(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file gives %v", err)
	}
	if err := os.WriteFile(path, bytesTokenizer(t, false).JSON(), 0o644); err != nil {
		t.Fatal(err)
	}
	tok, err := LoadTokenizer(path)
	if err != nil || tok.Vocab() != 256 {
		t.Errorf("the bytes come back as %v, %v", tok, err)
	}
}

func FuzzParseTokenizer(f *testing.F) {
	tok, err := NewBytes(true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tok.JSON())
	chars, err := newChars(map[rune]bool{'a': true, 'é': true}, true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(chars.JSON())
	f.Add([]byte(`{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"type":"BPE","vocab":{"a":0,"aa":9},"merges":["a a",["a","a"]]}}`))
	for _, name := range []string{"wordpiece", "unigram"} {
		file, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Add([]byte(`{"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false}]},` +
		`"added_tokens":[{"id":3,"content":"a\u00e9","special":false}],"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}`))
	f.Add([]byte(library("Lowercase", "Metaspace", `{"type":"Unigram"}`)))
	f.Fuzz(func(t *testing.T, file []byte) {
		var parts tokenizerFile
		if json.Unmarshal(file, &parts) == nil {
			if _, _, reason := byteLevelOf(parts); reason != "" && libraryFault(parts) == "" {
				checkModel(parts.Model) // what guards the library's parser, which may end the process
				return
			}
		}
		tok, err := ParseTokenizer(file)
		if err != nil {
			return
		}
		if tok.Vocab() > len(file)+maxHoles {
			t.Fatalf("%d bytes make %d tokens", len(file), tok.Vocab())
		}
		for _, id := range tok.Encode(nil, []byte("aaé <|endoftext|>\xff")) {
			if id < 0 || int(id) >= tok.Vocab() || tok.special[id] {
				t.Fatalf("text gives id %d of %d", id, tok.Vocab())
			}
		}
		if !utf8.Valid(tok.Decode([]int32{-1})) {
			t.Fatal("no replacement")
		}
	})
}

// What is wrong with a tokenizer.json is told in its own terms.
func TestErrorsNameFieldsOfTheFile(t *testing.T) {
	for text, want := range map[string]string{
		`{"added_tokens":[3],"model":{}}`:            "not a tokenizer.json: byte 18: added_tokens is a number, which it cannot be",
		`{"added_tokens":[{"id":"one"}],"model":{}}`: "added_tokens.id is a string, which it cannot be",
		`{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},"model":{"type":"BPE","merges":5}}`: "merges is a number, which it cannot be",
		`{"pre_tokenizer":{"type":"WhitespaceSplit"},"model":{"type":"WordPiece"}}`:                         "model.vocab: it is missing",
		`{"model":`: "byte 9: unexpected end of JSON input",
	} {
		_, err := ParseTokenizer([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := LoadTokenizer("nope.json"); err == nil || !strings.Contains(err.Error(), "give the path of a tokenizer.json") {
		t.Errorf("a missing file: %v", err)
	}
}
