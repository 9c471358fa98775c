package data

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxRecord is the longest line of a JSONL file.
const maxRecord = 256 << 20

// recordCorpus is one document a line of a JSONL file: the text of a field. Blank lines
// and empty texts are no documents.
type recordCorpus struct {
	path  string
	field string
}

func (c *recordCorpus) warning() string { return "" }

// index takes each line that is not blank for a document. It looks for bytes that are not
// UTF-8, which the JSON decoder would replace in silence, and not into the records.
func (c *recordCorpus) index(ctx context.Context, progress func(done int64)) (index, error) {
	var x index
	contents := sha256.New()
	fmt.Fprintf(contents, "%q\n", c.field)
	err := c.lines(ctx, func(number int, line []byte) error {
		if !utf8.Valid(line) {
			return fmt.Errorf("%s:%d: the line is not valid UTF-8, as JSON has to be: convert the file, as by iconv -f LATIN1 -t UTF-8, or repair the line", c.path, number)
		}
		contents.Write(line)
		x.bytes += int64(len(line))
		if len(bytes.TrimSpace(line)) > 0 {
			x.add(strconv.Itoa(number))
		}
		progress(x.bytes)
		return nil
	})
	contents.Sum(x.key[:0])
	return x, err
}

func (c *recordCorpus) each(ctx context.Context, visit func(document) error) error {
	return c.lines(ctx, func(number int, line []byte) error {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			return nil
		}
		name := fmt.Sprintf("%s:%d", c.path, number)
		text, err := fieldOf(line, c.field)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if text == "" {
			return nil
		}
		return visit(document{name: name, key: strconv.Itoa(number), size: int64(len(text)), text: strings.NewReader(text)})
	})
}

// fieldOf is the text of one field of a JSON object. An escape of half a character, such
// as \ud800 alone, is U+FFFD in it.
func fieldOf(record []byte, field string) (string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(record, &fields); err != nil {
		return "", fmt.Errorf("not a JSON object: %w", err)
	}
	value, ok := fields[field]
	if !ok {
		return "", fmt.Errorf("no field %q: set data.field to one of its fields %q", field, slices.Sorted(maps.Keys(fields)))
	}
	var text *string
	if err := json.Unmarshal(value, &text); err != nil || text == nil {
		return "", fmt.Errorf("field %q is not a string: set data.field to one that is", field)
	}
	return *text, nil
}

// lines visits the lines of the file, numbered from 1, with their line ends.
func (c *recordCorpus) lines(ctx context.Context, visit func(number int, line []byte) error) error {
	f, err := os.Open(c.path)
	if err != nil {
		return fmt.Errorf("data.path: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	var line []byte
	for number := 1; ; {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case len(line) > maxRecord:
			return fmt.Errorf("%s:%d: the line is longer than %d bytes: a JSONL file has one record a line", c.path, number, maxRecord)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return fmt.Errorf("data.path: %w", err)
		}
		if len(line) > 0 {
			text := line
			if number == 1 {
				text = bytes.TrimPrefix(text, []byte(byteOrderMark))
			}
			if err := visit(number, text); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // the end
		}
		line, number = line[:0], number+1
	}
}
