package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := Read(path, 3); err != nil || string(b) != "abc" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Read(path, 2); err == nil || !strings.Contains(err.Error(), path+" has 3 bytes: at most 2") {
		t.Errorf("too long: %v", err)
	}
	if _, err := Read(filepath.Join(dir, "none"), 2); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Read(dir, 2); err == nil || !strings.Contains(err.Error(), "is a folder: give a regular file") {
		t.Errorf("a folder: %v", err)
	}
	// A device that can be opened and never ends.
	if _, _, err := Open(os.DevNull); err == nil || !strings.Contains(err.Error(), "give a regular file") {
		t.Errorf("a device: %v", err)
	}
}
