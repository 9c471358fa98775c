// Package atomicfile writes files that are either whole or not there.
//
// A file is written under a temporary name in the folder of its target,
// synced to the disk and only then renamed over the target, so that a crash,
// a full disk or a failing writer leaves what was there before.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const bufferSize = 1 << 20

// Write replaces the file at path by what fn writes. The writer that fn gets
// is buffered. If fn, the disk or the rename fails, the error says so, the
// temporary file is removed and the old file, if there was one, stays as it
// was. A new file gets permissions 0644 less the umask; an existing one keeps
// its own.
func Write(path string, fn func(io.Writer) error) error {
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file: choose another name", path)
		}
		mode = info.Mode().Perm()
	}
	f, err := create(path, mode)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("writing %s: the folder %s is missing (%w): make it first", path, filepath.Dir(path), cause(err))
	case err != nil:
		return fmt.Errorf("writing %s: %w", path, cause(err))
	}
	renamed := false
	defer func() { // also when fn panics
		if !renamed {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := fill(f, fn); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("writing %s: %w", path, cause(err))
	}
	renamed = true
	return syncFolder(filepath.Dir(path))
}

// create opens a file with a new name beside path. Unlike os.CreateTemp it
// lets the umask decide about the permissions of a new file.
func create(path string, mode os.FileMode) (*os.File, error) {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s.%d-%d.tmp", path, os.Getpid(), i)
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if !errors.Is(err, os.ErrExist) {
			return f, err
		}
	}
}

// cause takes the temporary name, which says nothing to anyone, off an error.
func cause(err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return e.Err
	case *os.LinkError:
		return e.Err
	}
	return err
}

// A namelessWriter writes to a file and keeps its name out of errors.
type namelessWriter struct{ f *os.File }

func (w namelessWriter) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	return n, cause(err)
}

// fill writes, syncs and closes f.
func fill(f *os.File, fn func(io.Writer) error) error {
	w := bufio.NewWriterSize(namelessWriter{f}, bufferSize)
	if err := fn(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return cause(err)
	}
	return cause(f.Close())
}

// syncFolder makes a rename in folder survive a loss of power. Windows has no
// such call and needs none.
func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
