package data

import (
	"unicode"
	"unicode/utf8"
)

// The split of GPT-2 cuts text into words that byte-level BPE encodes one by one.
// It is the regular expression (Radford et al. 2019, encoder.py)
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// where \s is Unicode white space. A byte that is not part of valid UTF-8 counts as
// a character that is neither white space nor letter nor number.

type class uint8

const (
	other class = iota
	letter
	number
	space
)

var asciiClass = func() (classes [utf8.RuneSelf]class) {
	for c := range classes {
		classes[c] = classOf(rune(c))
	}
	return classes
}()

func classOf(r rune) class {
	switch {
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	case unicode.IsSpace(r):
		return space
	}
	return other
}

// classAt is the class of the character at text[i], and its length in bytes.
func classAt(text []byte, i int) (class, int) {
	if c := text[i]; c < utf8.RuneSelf {
		return asciiClass[c], 1
	}
	r, size := utf8.DecodeRune(text[i:])
	return classOf(r), size
}

// wordEnd is where the word that begins at text[start] ends.
func wordEnd(text []byte, start int) int {
	first, i := text[start], start
	if first == '\'' {
		if n := contraction(text[start:]); n > 0 {
			return start + n
		}
	}
	if first == ' ' && start+1 < len(text) {
		i++ // a space belongs to the word after it
	}
	kind, size := classAt(text, i)
	if kind == space {
		return spaceEnd(text, start)
	}
	return runEnd(text, i+size, kind)
}

// runEnd is where the characters of one class from text[i] on end.
func runEnd(text []byte, i int, kind class) int {
	for i < len(text) {
		if c := text[i]; c < utf8.RuneSelf {
			if asciiClass[c] != kind {
				return i
			}
			i++
			continue
		}
		k, size := classAt(text, i)
		if k != kind {
			return i
		}
		i += size
	}
	return i
}

// spaceEnd is the end of \s+(?!\S)|\s+ at text[start]: white space before other text
// leaves its last character for the next word, unless it is the only one.
func spaceEnd(text []byte, start int) int {
	end, last := start, start
	for end < len(text) {
		kind, size := classAt(text, end)
		if kind != space {
			break
		}
		last, end = end, end+size
	}
	if end == len(text) || last == start {
		return end
	}
	return last
}

// contraction is the length of 's|'t|'re|'ve|'m|'ll|'d at the start of text, or 0.
func contraction(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case 's', 't', 'm', 'd':
		return 2
	}
	if len(text) < 3 {
		return 0
	}
	switch string(text[1:3]) {
	case "re", "ve", "ll":
		return 3
	}
	return 0
}

// wordCut is the last place of text where it can be cut so that the words of both
// parts are the words of the whole: before white space that follows something else.
// No word crosses it (only the first character of a word can be white space), and no
// white space before it waits to see what follows. It is 0 if there is none.
func wordCut(text []byte) int {
	for i := len(text) - 1; i > 0; i-- {
		c := text[i]
		if c >= utf8.RuneSelf || asciiClass[c] != space {
			continue
		}
		if r, _ := utf8.DecodeLastRune(text[:i]); classOf(r) != space {
			return i
		}
	}
	return 0
}

// runeCut is the last place of text that is not inside a character.
func runeCut(text []byte) int {
	for i := len(text) - 1; i >= max(0, len(text)-utf8.UTFMax); i-- {
		if utf8.RuneStart(text[i]) {
			if utf8.FullRune(text[i:]) {
				return len(text)
			}
			return i
		}
	}
	return len(text)
}
