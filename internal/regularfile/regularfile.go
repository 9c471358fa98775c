// Package regularfile opens files to read from. A pipe or a device in the
// place of a file, which would have a reader wait forever, is refused before
// it is opened.
package regularfile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Open opens the regular file at path and returns its size in bytes.
func Open(path string) (*os.File, int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		what := "a device, a pipe or a socket"
		if info.IsDir() {
			what = "a folder"
		}
		return nil, 0, fmt.Errorf("%s is %s: give a regular file", path, what)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// Read returns what is in a regular file of at most limit bytes. A longer one
// is refused by its size, without reading it.
func Read(path string, limit int64) ([]byte, error) {
	f, size, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes: at most %d are expected in such a file", path, size, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}
