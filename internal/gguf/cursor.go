package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const readAhead = 32 << 10

// A cursor reads a file from front to back through a small buffer, and skips
// what nobody asked for without reading it. After its first error it returns
// zeros; err keeps the error.
type cursor struct {
	r     io.ReaderAt
	size  int64  // of the file
	pos   int64  // of the next byte
	ahead []byte // read already, from pos on
	buf   []byte
	err   error
}

func newCursor(r io.ReaderAt, size, pos int64) *cursor {
	return &cursor{r: r, size: size, pos: pos, buf: make([]byte, min(readAhead, size-pos))}
}

// fail keeps the first error, with the place it occurred at.
func (c *cursor) fail(at int64, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("byte %d: %w", at, fmt.Errorf(format, args...))
	}
}

// has reports whether n more bytes exist and belong to a header of sane size.
func (c *cursor) has(n uint64, what string) bool {
	switch {
	case c.err != nil:
	case n > uint64(c.size-c.pos):
		c.fail(c.pos, "%s takes %d bytes, but the file ends at byte %d: it is cut off or damaged", what, n, c.size)
	case uint64(c.pos)+n > maxHeader:
		c.fail(c.pos, "%s takes %d bytes: the header would reach beyond %d", what, n, maxHeader)
	default:
		return true
	}
	return false
}

// take returns the next n bytes, at most readAhead, valid until the next call;
// nil after an error.
func (c *cursor) take(n int, what string) []byte {
	if !c.has(uint64(n), what) {
		return nil
	}
	if n > len(c.ahead) {
		b := c.buf[:min(int64(len(c.buf)), c.size-c.pos)]
		if got, err := c.r.ReadAt(b, c.pos); got < len(b) {
			c.fail(c.pos+int64(got), "%w", noEOF(err))
			return nil
		}
		c.ahead = b
	}
	b := c.ahead[:n]
	c.ahead, c.pos = c.ahead[n:], c.pos+int64(n)
	return b
}

// noEOF gives the end of a file that should go on its own name.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// skip passes over n bytes.
func (c *cursor) skip(n uint64, what string) {
	if !c.has(n, what) {
		return
	}
	c.ahead = c.ahead[min(n, uint64(len(c.ahead))):]
	c.pos += int64(n)
}

func (c *cursor) uint32(what string) uint32 {
	if b := c.take(4, what); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64(what string) uint64 {
	if b := c.take(8, what); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// string reads a length and so many bytes, but no more than most.
func (c *cursor) string(most uint64, what string) string {
	at := c.pos
	n := c.uint64("the length of " + what)
	if n > most {
		c.fail(at, "%s has a length of %d bytes: at most %d are allowed", what, n, most)
	}
	if !c.has(n, what) {
		return ""
	}
	out := make([]byte, 0, n)
	for uint64(len(out)) < n && c.err == nil {
		out = append(out, c.take(int(min(n-uint64(len(out)), readAhead)), what)...)
	}
	return string(out)
}
