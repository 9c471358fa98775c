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
