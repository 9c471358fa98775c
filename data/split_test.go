package data

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"unicode/utf8"
)

// Go's regexp has neither lookahead nor Unicode's \s: the white space is written out, and
// \s+(?!\S) is done by hand.
var gpt2Words = func() *regexp.Regexp {
	const white = `\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}`
	return regexp.MustCompile(`^(?:'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^` + white + `\p{L}\p{N}]+|([` + white + `]+))`)
}()

func regexpWords(text []byte) (words []string) {
	for len(text) > 0 {
		m := gpt2Words.FindSubmatchIndex(text)
		end := m[1]
		if m[2] >= 0 && end < len(text) { // white space before something else
			if _, size := utf8.DecodeLastRune(text[:end]); size < end {
				end -= size
			}
		}
		words = append(words, string(text[:end]))
		text = text[end:]
	}
	return words
}

func wordsIn(text []byte) (words []string) {
	for start := 0; start < len(text); {
		end := wordEnd(text, start)
		words = append(words, string(text[start:end]))
		start = end
	}
	return words
}

func TestSplitEqualsRegexp(t *testing.T) {
	for _, text := range [][]byte{mixedText(t), goText(t, 300<<10)} {
		got, want := wordsIn(text), regexpWords(text)
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("word %d: got %q, want %q", i, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
			}
		}
	}
}

func TestSplitOfInvalidUTF8(t *testing.T) {
	got := wordsIn([]byte("a\xff\xfe b \xe4\xb8 \xf0\x9f\x91.\xc3"))
	want := []string{"a", "\xff\xfe", " b", " \xe4\xb8", " \xf0\x9f\x91.\xc3"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"", " ", "  a", "'s're 'x", "a \u00a0\u3000b\n\n", "\xff \xc3", "½²٣ e\u0301"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := wordsIn(text)
		if utf8.Valid(text) && !slices.Equal(got, regexpWords(text)) {
			t.Fatalf("%q: got %q, want %q", text, got, regexpWords(text))
		}
		if cut := wordCut(text); cut > 0 {
			if parts := append(wordsIn(text[:cut]), wordsIn(text[cut:])...); !slices.Equal(parts, got) {
				t.Fatalf("%q cut at %d: %q, uncut %q", text, cut, parts, got)
			}
		}
	})
}

func TestCutsKeepWords(t *testing.T) {
	text := mixedText(t)
	random := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		start := random.IntN(len(text) - 2000)
		for !utf8.RuneStart(text[start]) {
			start++
		}
		part := text[start : start+200+random.IntN(500)]
		whole := append(slices.Clone(part), text[start+len(part):start+1000]...)
		cut := wordCut(part)
		if cut == 0 {
			continue
		}
		if parts := append(wordsIn(whole[:cut]), wordsIn(whole[cut:])...); !slices.Equal(parts, wordsIn(whole)) {
			t.Fatalf("%q cut at %d has other words", whole, cut)
		}
		if cut := runeCut(part); utf8.Valid(whole) && !utf8.Valid(part[:cut]) {
			t.Fatalf("%q is cut inside a character", part)
		}
	}
	if cut := wordCut(bytes.Repeat([]byte{'x'}, 100)); cut != 0 {
		t.Errorf("a single word is cut at %d", cut)
	}
}
