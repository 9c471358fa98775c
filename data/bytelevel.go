package data

import "unicode/utf8"

// A tokenizer.json writes the bytes of a token as printable characters, one a byte
// (Radford et al. 2019, bytes_to_unicode): printable Latin-1 stands for itself, the
// other 68 bytes for U+0100 and following.

var (
	byteRune  [256]rune     // the character of each byte
	runeByte  map[rune]byte // and back
	gpt2Bytes [256]byte     // bytes by their character: the order of GPT-2's first 256 ids
)

func init() {
	runeByte = make(map[rune]byte, 256)
	printable := func(b int) bool {
		return b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xff && b != 0xad
	}
	n := 0
	for _, want := range []bool{true, false} {
		next := rune(0x100)
		for b := range 256 {
			if printable(b) != want {
				continue
			}
			byteRune[b] = rune(b)
			if !want {
				byteRune[b] = next
				next++
			}
			runeByte[byteRune[b]] = byte(b)
			gpt2Bytes[n] = byte(b)
			n++
		}
	}
}

// toByteLevel writes bytes as the characters that stand for them.
func toByteLevel(token string) string {
	text := make([]byte, 0, 2*len(token))
	for i := range len(token) {
		text = utf8.AppendRune(text, byteRune[token[i]])
	}
	return string(text)
}

// fromByteLevel is the bytes that the characters of text stand for; ok is false if one
// of them stands for none, as in the name of a special token.
func fromByteLevel(text string) (token string, ok bool) {
	bytes := make([]byte, 0, len(text))
	for _, r := range text {
		b, ok := runeByte[r]
		if !ok {
			return "", false
		}
		bytes = append(bytes, b)
	}
	return string(bytes), true
}
