package data

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// fileCorpus is one document a file.
type fileCorpus struct {
	documents []string // paths, sorted by name
	names     []string // paths below the folder of the corpus, with forward slashes
	doubtful  []string // what index found that is hardly text, by file
}

func (c *fileCorpus) warning() string {
	switch n := len(c.doubtful); {
	case n == 0:
		return ""
	case n > 1:
		return fmt.Sprintf("%s, the first of %d such files: convert to UTF-8 if that is not meant", c.doubtful[0], n)
	}
	return c.doubtful[0] + ": convert to UTF-8 if that is not meant"
}

// openFolder lists the files of a folder that match a pattern; without patterns, those
// that are not hidden.
func openFolder(root string, include []string) (corpus, error) {
	c := &fileCorpus{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("data.path: %w", err)
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		hidden := strings.HasPrefix(entry.Name(), ".") && path != root
		switch {
		case entry.IsDir() && hidden && len(include) == 0:
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		case len(include) == 0 && !hidden, matchesAny(include, name):
			c.names = append(c.names, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(c.names) == 0 && len(include) == 0 {
		return nil, fmt.Errorf("data.path: the folder %s is empty (what begins with a dot does not count): give a folder with text", root)
	}
	if len(c.names) == 0 {
		return nil, fmt.Errorf("data.path: no file of the folder %s matches data.include %q: give patterns such as **/*.txt", root, include)
	}
	c.setRoot(root)
	return c, nil
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return doublestar.MatchUnvalidated(pattern, name)
	})
}

// setRoot puts the names in order and finds their paths.
func (c *fileCorpus) setRoot(root string) {
	slices.Sort(c.names)
	c.documents = make([]string, len(c.names))
	for i, name := range c.names {
		c.documents[i] = filepath.Join(root, filepath.FromSlash(name))
	}
}

func (c *fileCorpus) each(ctx context.Context, visit func(document) error) error {
	for i, path := range c.documents {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := visitFile(path, c.names[i], visit); err != nil {
			return err
		}
	}
	return nil
}

// byteOrderMark is U+FEFF, which some editors put before UTF-8. It is no text.
const byteOrderMark = "\ufeff"

func visitFile(path, key string, visit func(document) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("data.path: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("data.path: %w", err)
	}
	if info.Size() == 0 {
		return nil
	}
	d := document{name: path, key: key, size: info.Size(), text: f}
	mark := make([]byte, len(byteOrderMark))
	if n, _ := f.ReadAt(mark, 0); string(mark[:n]) == byteOrderMark { // what else is wrong shows when the text is read
		d.size -= int64(n)
		d.text = io.NewSectionReader(f, int64(n), d.size)
	}
	if d.size == 0 {
		return nil
	}
	return visit(d)
}

func (c *fileCorpus) index(ctx context.Context, progress func(done int64)) (index, error) {
	var x index
	names := sha256.New()
	block := make([]byte, checkBlock+utf8.UTFMax)
	var refused []string // files that are not text, and why
	c.doubtful = nil
	err := c.each(ctx, func(d document) error {
		contents := sha256.New()
		var check textCheck
		kept := 0 // bytes at the head of block, of a character that the block before broke off
		for at := int64(0); at < d.size; {
			n, err := readBlock(d, block[kept:kept+checkBlock], at)
			if err != nil {
				return err
			}
			at += int64(n)
			text := block[:kept+n]
			contents.Write(text[kept:])
			whole := len(text)
			if at < d.size {
				whole = runeCut(text)
			}
			if reason := check.block(text[:whole]); reason != "" {
				refused = append(refused, d.name+" is not text: "+reason)
			}
			if len(refused) == maxRefused {
				return c.refuse(refused)
			}
			if len(refused) > 0 {
				return nil
			}
			kept = copy(block, text[whole:])
			progress(x.bytes + at)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		if check.invalid > 0 {
			c.doubtful = append(c.doubtful, fmt.Sprintf("%s has invalid UTF-8 (%d of its bytes, the first is byte %d)", d.name, check.invalid, check.first))
		}
		x.add(d.key)
		x.bytes += d.size
		names.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(d.key))))
		names.Write([]byte(d.key))
		names.Write(binary.LittleEndian.AppendUint64(nil, uint64(d.size)))
		names.Write(contents.Sum(nil))
		return nil
	})
	names.Sum(x.key[:0])
	if err == nil && len(refused) > 0 {
		err = c.refuse(refused)
	}
	return x, err
}

// maxRefused is how many files that are not text are listed.
const maxRefused = 5

// refuse says what to do about files that are not text.
func (c *fileCorpus) refuse(files []string) error {
	remedy := "give a text file, in UTF-8 (iconv converts: iconv -f LATIN1 -t UTF-8, or -f UTF-16)"
	if c.names[0] != "" { // a folder
		remedy = "leave such files out by data.include, or convert text to UTF-8, as by iconv -f LATIN1 -t UTF-8"
	}
	return fmt.Errorf("data.path: %s: %s", strings.Join(files, "; "), remedy)
}

// readBlock fills block from offset at on, or as far as the document goes.
func readBlock(d document, block []byte, at int64) (int, error) {
	block = block[:min(int64(len(block)), d.size-at)]
	n, err := d.text.ReadAt(block, at)
	if n == len(block) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		return n, fmt.Errorf("%s became shorter while it was read: run again when nothing writes to it", d.name)
	}
	return n, fmt.Errorf("data.path: %w", err)
}
