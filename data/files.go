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

	"github.com/bmatcuk/doublestar/v4"
)

// fileCorpus is one document a file.
type fileCorpus struct {
	documents []string // paths, sorted by name
	names     []string // paths below the folder of the corpus, with forward slashes
	doubtful  string   // what index found that is hardly text
}

func (c *fileCorpus) warning() string { return c.doubtful }

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
	return visit(document{name: path, key: key, size: info.Size(), text: f})
}

func (c *fileCorpus) index(ctx context.Context, progress func(done int64)) (index, error) {
	var x index
	names := sha256.New()
	block := make([]byte, 1<<20)
	var refused []string // files that are not text, and why
	c.doubtful = ""
	err := c.each(ctx, func(d document) error {
		contents := sha256.New()
		for at := int64(0); at < d.size; {
			n, err := readBlock(d, block, at)
			if err != nil {
				return err
			}
			if at == 0 {
				reason, invalid := checkText(block[:min(n, 64<<10)])
				if reason != "" {
					refused = append(refused, d.name+" is not text: "+reason)
				} else if invalid > 0 && c.doubtful == "" {
					c.doubtful = fmt.Sprintf("%s has invalid UTF-8 (%d of the bytes read at its head), and perhaps others have too: convert to UTF-8 if that is not meant", d.name, invalid)
				}
			}
			if len(refused) == maxRefused {
				return c.refuse(refused)
			}
			if len(refused) > 0 {
				return nil
			}
			contents.Write(block[:n])
			at += int64(n)
			progress(x.bytes + at)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
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
