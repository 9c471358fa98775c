package data

import (
	"slices"
	"strings"
	"testing"
)

// A tokenizer taken apart and put together gives the same ids.
func TestByteLevelRoundTrip(t *testing.T) {
	text := "The cat's 12 cats ate\n\n  thése cats <|endoftext|> and 世界"
	words := map[string]int64{" cats": 9, " the": 7, " ate": 5, "The": 3}
	tokens, merges, err := trainBPE(t.Context(), words, 270, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	bpe, err := newBPE(tokens, merges, true)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := bpe.ByteLevel()
	if err != nil {
		t.Fatal(err)
	}
	end, _ := bpe.EndOfText()
	if parts.Split != SplitWords || parts.Tokens[end] != EndOfText || !parts.Special[end] || len(parts.Merges) != len(merges) {
		t.Errorf("%+v", parts)
	}
	again, err := NewByteLevel(parts)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.Encode(nil, []byte(text)), bpe.Encode(nil, []byte(text)); !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
	parts.Tokens[3] = parts.Tokens[4]
	if _, err := NewByteLevel(parts); err == nil || !strings.Contains(err.Error(), "listed twice") {
		t.Errorf("a token twice: %v", err)
	}
}

func TestByteLevelKinds(t *testing.T) {
	single, err := NewBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := single.ByteLevel(); err != nil || b.Split != SplitNothing || b.Tokens['A'] != "A" || b.Tokens[' '] != "Ġ" {
		t.Errorf("%+v, %v", b, err)
	}
	chars, err := newChars(map[rune]bool{'a': true, 'é': true}, false)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := chars.ByteLevel(); err != nil || b.Split != SplitCharacters || !slices.Equal(b.Tokens, []string{"a", "Ã©"}) {
		t.Errorf("%+v, %v", b, err)
	}
}

// Every split into words, with all that may be around it, survives being taken
// apart and put together; added tokens are found in a text and special ones are not.
func TestAddedTokensAndSplits(t *testing.T) {
	base := ByteLevel{NFC: true, WholeWords: true}
	for b := range 256 {
		base.Tokens = append(base.Tokens, toByteLevel(string([]byte{byte(b)})))
	}
	base.Tokens = append(base.Tokens, toByteLevel("é"), "<tool>", "<tool>s", EndOfText)
	base.Special, base.Added = make([]bool, len(base.Tokens)), make([]bool, len(base.Tokens))
	base.Added[257], base.Added[258], base.Special[259] = true, true, true
	for split := range splitters {
		base.Split = split
		tok, err := NewByteLevel(base)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := tok.ByteLevel()
		if err != nil || parts.Split != split || !parts.NFC || !parts.WholeWords || !slices.Equal(parts.Added, base.Added) || !slices.Equal(parts.Special, base.Special) {
			t.Errorf("%s: %+v, %v", split, parts, err)
		}
		// The e and the acute behind it are composed, but not across a token.
		text := "<tool>e\u0301<tool>s<tool>\u0301<|"
		want := []int32{257, 256, 258, 257, 0xcc, 0x81, '<', '|'}
		if got := tok.Encode(nil, []byte(text)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", split, got, want)
		}
		if got := string(tok.Decode(want[:3])); got != "<tool>é<tool>s" || tok.TokenBytes(258) != 7 {
			t.Errorf("%s: %q, %d bytes", split, got, tok.TokenBytes(258))
		}
		if ids := tok.Encode(nil, []byte(EndOfText)); slices.Contains(ids, 259) {
			t.Errorf("%s: text gives the special token: %v", split, ids)
		}
	}
}
