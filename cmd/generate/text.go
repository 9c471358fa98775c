package main

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// A textWriter passes text on in whole UTF-8 characters: a token may end in
// the middle of one. Bytes that cannot become a character are written as
// U+FFFD.
type textWriter struct {
	w       io.Writer
	pending []byte // the beginning of a character
}

func (t *textWriter) write(b []byte) error {
	t.pending = append(t.pending, b...)
	n := whole(t.pending)
	_, err := t.w.Write(bytes.ToValidUTF8(t.pending[:n], []byte("\uFFFD")))
	t.pending = append(t.pending[:0], t.pending[n:]...)
	return err
}

// close writes what is left, and ends the line.
func (t *textWriter) close() error {
	_, err := t.w.Write(append(bytes.ToValidUTF8(t.pending, []byte("\uFFFD")), '\n'))
	return err
}

// whole returns the length of b without a character that has only begun.
func whole(b []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		tail := b[len(b)-i:]
		if utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}
