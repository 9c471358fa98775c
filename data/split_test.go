package data

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Go's regexp has neither lookahead nor Unicode's \s: the white space is written out, and
// \s+(?!\S), the only alternative in a group, is done by hand.
func splitPattern(alternatives string) *regexp.Regexp {
	const white = `\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}`
	return regexp.MustCompile("^(?:" + strings.ReplaceAll(alternatives, "SPACE", white) + "|([" + white + "]+))")
}

const modernAlternatives = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,DIGITS}| ?[^SPACE\p{L}\p{N}]+[\r\n]*|[SPACE]*[\r\n]+`

var splitPatterns = map[Split]*regexp.Regexp{
	SplitWords:  splitPattern(`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^SPACE\p{L}\p{N}]+`),
	SplitDigits: splitPattern(`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^SPACE\p{L}\p{N}]+`), // of the text between numbers
	SplitLlama3: splitPattern(strings.ReplaceAll(modernAlternatives, "DIGITS", "3")),
	SplitQwen2:  splitPattern(strings.ReplaceAll(modernAlternatives, "DIGITS", "1")),
}

var numbers = regexp.MustCompile(`^\p{N}`)

func regexpWords(split Split, text []byte) (words []string) {
	if split == SplitDigits {
		for start, i := 0, 0; i <= len(text); {
			if i < len(text) && !numbers.Match(text[i:]) {
				_, size := utf8.DecodeRune(text[i:])
				i += size
				continue
			}
			words = append(words, patternWords(splitPatterns[split], text[start:i])...)
			_, size := utf8.DecodeRune(text[i:])
			if i < len(text) {
				words = append(words, string(text[i:i+size]))
			}
			i += max(size, 1)
			start = i
		}
		return words
	}
	return patternWords(splitPatterns[split], text)
}

func patternWords(pattern *regexp.Regexp, text []byte) (words []string) {
	for len(text) > 0 {
		m := pattern.FindSubmatchIndex(text)
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

func wordsIn(split Split, text []byte) (words []string) {
	for start := 0; start < len(text); {
		end := splitters[split].end(text, start)
		words = append(words, string(text[start:end]))
		start = end
	}
	return words
}

func TestSplitEqualsRegexp(t *testing.T) {
	for split := range splitters {
		for _, text := range [][]byte{mixedText(t), goText(t, 300<<10)} {
			got, want := wordsIn(split, text), regexpWords(split, text)
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					t.Fatalf("%s: word %d: got %q, want %q", split, i, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
				}
			}
		}
	}
}

// The words of the models' own tokenizers, by hand.
func TestSplits(t *testing.T) {
	const text = "It'S 12345  years!\n\n\tok "
	for split, want := range map[Split][]string{
		SplitWords:  {"It", "'", "S", " 12345", " ", " years", "!", "\n\n", "\t", "ok", " "},
		SplitDigits: {"It", "'", "S", " ", "1", "2", "3", "4", "5", " ", " years", "!", "\n\n", "\t", "ok", " "},
		SplitLlama3: {"It", "'S", " ", "123", "45", " ", " years", "!\n\n", "\tok", " "},
		SplitQwen2:  {"It", "'S", " ", "1", "2", "3", "4", "5", " ", " years", "!\n\n", "\tok", " "},
	} {
		if got := wordsIn(split, []byte(text)); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", split, got, want)
		}
	}
}

func TestSplitOfInvalidUTF8(t *testing.T) {
	got := wordsIn(SplitWords, []byte("a\xff\xfe b \xe4\xb8 \xf0\x9f\x91.\xc3"))
	want := []string{"a", "\xff\xfe", " b", " \xe4\xb8", " \xf0\x9f\x91.\xc3"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"", " ", "  a", "'s're 'x", "a \u00a0\u3000b\n\n", "\xff \xc3", "½²٣ e\u0301", "'\u017f'LL 1234\r\n !\n\n \n\tx", "a  12 3"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, split := range splitters {
			got := wordsIn(name, text)
			if utf8.Valid(text) && !slices.Equal(got, regexpWords(name, text)) {
				t.Fatalf("%s: %q: got %q, want %q", name, text, got, regexpWords(name, text))
			}
			if cut := split.cut(text); cut > 0 {
				if parts := append(wordsIn(name, text[:cut]), wordsIn(name, text[cut:])...); !slices.Equal(parts, got) {
					t.Fatalf("%s: %q cut at %d: %q, uncut %q", name, text, cut, parts, got)
				}
			}
		}
	})
}

func TestCutsKeepWords(t *testing.T) {
	text := mixedText(t)
	random := rand.New(rand.NewPCG(3, 3))
	for name, split := range splitters {
		for range 200 {
			start := random.IntN(len(text) - 2000)
			for !utf8.RuneStart(text[start]) {
				start++
			}
			part := text[start : start+200+random.IntN(500)]
			whole := append(slices.Clone(part), text[start+len(part):start+1000]...)
			cut := split.cut(part)
			if cut == 0 {
				continue
			}
			if parts := append(wordsIn(name, whole[:cut]), wordsIn(name, whole[cut:])...); !slices.Equal(parts, wordsIn(name, whole)) {
				t.Fatalf("%s: %q cut at %d has other words", name, whole, cut)
			}
			if cut := runeCut(part); utf8.Valid(whole) && !utf8.Valid(part[:cut]) {
				t.Fatalf("%q is cut inside a character", part)
			}
		}
		if cut := split.cut(bytes.Repeat([]byte{'x'}, 100)); cut != 0 {
			t.Errorf("%s: a single word is cut at %d", name, cut)
		}
	}
}
