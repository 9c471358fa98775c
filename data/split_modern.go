package data

import "unicode/utf8"

// The splits of later tokenizers, as regular expressions. Of the alternatives the
// first that matches counts.
const (
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Pattern  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// A splitter is a split into words.
type splitter struct {
	// end is where the word that begins at text[start] ends.
	end func(text []byte, start int) int
	// cut is the last place where text, of which more follows, can be cut so that
	// the words of both parts are those of the whole; 0 if there is none.
	cut func(text []byte) int
}

// splitters are the splits into words.
var splitters = map[Split]splitter{
	SplitWords:  {wordEnd, wordCut},
	SplitDigits: {digitsWordEnd, wordCut},
	SplitLlama3: {func(text []byte, start int) int { return modernWordEnd(text, start, 3) }, modernCut},
	SplitQwen2:  {func(text []byte, start int) int { return modernWordEnd(text, start, 1) }, modernCut},
}

// digitsWordEnd is [wordEnd] of the text up to the next number, each character of
// which is a word.
func digitsWordEnd(text []byte, start int) int {
	if kind, size := classAt(text, start); kind == number {
		return start + size
	}
	end := wordEnd(text, start)
	// To a word the number behind it is the end of the text: it takes all white
	// space before that, and none that is the number's.
	if kind, _ := classAt(text, start); kind != space {
		return end
	}
	i := runEnd(text, start, space)
	if i < len(text) {
		if kind, _ := classAt(text, i); kind == number {
			return i
		}
	}
	return end
}

// modernWordEnd is the end of the word of Llama 3 or Qwen 2, whose numbers have at
// most so many digits.
func modernWordEnd(text []byte, start, digits int) int {
	if text[start] == '\'' {
		if n := anyContraction(text[start:]); n > 0 {
			return start + n
		}
	}
	kind, size := classAt(text, start)
	next := start + size
	switch kind {
	case letter:
		return runEnd(text, next, letter)
	case number:
		return numberEnd(text, next, digits-1)
	}
	if c := text[start]; c != '\r' && c != '\n' && next < len(text) {
		follows, size := classAt(text, next)
		if follows == letter {
			return runEnd(text, next+size, letter)
		}
		if c == ' ' && follows == other {
			kind, next = other, next+size
		}
	}
	if kind == other {
		return newlinesEnd(text, runEnd(text, next, other))
	}
	return modernSpaceEnd(text, start)
}

// numberEnd is the end of at most so many digits at text[i].
func numberEnd(text []byte, i, digits int) int {
	for ; digits > 0 && i < len(text); digits-- {
		kind, size := classAt(text, i)
		if kind != number {
			break
		}
		i += size
	}
	return i
}

// newlinesEnd is the end of [\r\n]* at text[i].
func newlinesEnd(text []byte, i int) int {
	for i < len(text) && (text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// modernSpaceEnd is the end of \s*[\r\n]+|\s+(?!\S)|\s+ at text[start]: white space with
// a line end in it goes up to the last of those.
func modernSpaceEnd(text []byte, start int) int {
	end := runEnd(text, start, space)
	for i := end - 1; i >= start; i-- {
		if text[i] == '\r' || text[i] == '\n' {
			return i + 1
		}
	}
	return spaceEnd(text, start)
}

// anyContraction is [contraction] in small letters, capitals, and with U+017F, the long
// s, which folds to s.
func anyContraction(text []byte) int {
	const longS = "\u017f"
	if len(text) > len(longS) && string(text[1:1+len(longS)]) == longS {
		return 1 + len(longS)
	}
	var small [3]byte
	n := copy(small[:], text)
	for i := 1; i < n; i++ {
		if c := small[i]; c >= 'A' && c <= 'Z' {
			small[i] = c | 0x20
		}
	}
	return contraction(small[:n])
}

// modernCut is a cut as [wordCut] makes it, but not before a line end that can belong
// to the marks before it.
func modernCut(text []byte) int {
	for i := len(text) - 1; i > 0; i-- {
		c := text[i]
		if c >= utf8.RuneSelf || asciiClass[c] != space {
			continue
		}
		r, _ := utf8.DecodeLastRune(text[:i])
		before := classOf(r)
		if before == letter || before == number || before == other && c != '\r' && c != '\n' {
			return i
		}
	}
	return 0
}
