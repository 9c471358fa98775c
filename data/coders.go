package data

import (
	"fmt"
	"unicode/utf8"
)

// byteCoder gives one id a byte.
type byteCoder struct {
	ids [256]int32 // -1 if the vocabulary lacks it
}

func (c *byteCoder) encode(dst []int32, text []byte) ([]int32, error) {
	var err error
	for _, b := range text {
		if id := c.ids[b]; id >= 0 {
			dst = append(dst, id)
		} else if err == nil {
			err = fmt.Errorf("byte %#02x is not in the vocabulary of the tokenizer: train with data.tokenizer.kind byte or bpe, which have every byte", b)
		}
	}
	return dst, err
}

func (c *byteCoder) cut(text []byte) int { return len(text) }

// charCoder gives one id a character.
type charCoder struct {
	ascii [utf8.RuneSelf]int32 // -1 if the vocabulary lacks it
	other map[rune]int32
}

func (c *charCoder) encode(dst []int32, text []byte) ([]int32, error) {
	var err error
	for i := 0; i < len(text); {
		if b := text[i]; b < utf8.RuneSelf && c.ascii[b] >= 0 {
			dst = append(dst, c.ascii[b])
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if id, ok := c.other[r]; ok && (r != utf8.RuneError || size > 1) {
			dst = append(dst, id)
		} else if err == nil {
			err = missingCharacter(text[i:i+size], r)
		}
		i += size
	}
	return dst, err
}

func missingCharacter(text []byte, r rune) error {
	if r == utf8.RuneError && len(text) == 1 {
		return fmt.Errorf("byte %#02x is not valid UTF-8, which a vocabulary of characters needs: leave it out, or train with data.tokenizer.kind byte or bpe", text[0])
	}
	return fmt.Errorf("the character %q (%U) is not in the vocabulary: leave it out, or train with data.tokenizer.kind byte or bpe, which have every character", r, r)
}

func (c *charCoder) cut(text []byte) int { return runeCut(text) }

func (b *bpeCoder) cut(text []byte) int { return b.split.cut(text) }
