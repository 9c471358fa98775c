package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func onlyFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 1 {
		t.Errorf("the folder holds %v, want only the file", entries)
	}
}

func TestWriteCreatesAndReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.bin")
	for _, s := range []string{"first", strings.Repeat("x", 3<<20), ""} {
		if err := Write(path, text(s)); err != nil {
			t.Fatal(err)
		}
		onlyFile(t, path, s)
	}
}

func TestWriteKeepsPermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.bin")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, text("x")); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("permissions became %v", info.Mode())
	}
}

func TestFailureLeavesOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.bin")
	if err := Write(path, text("old")); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left on device")
	err := Write(path, func(w io.Writer) error {
		w.Write(make([]byte, 3<<20)) // reaches the disk before the failure
		return full
	})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not tell the cause and the file", err)
	}
	onlyFile(t, path, "old")
}

// A device that takes no byte makes the flush fail, not fn.
func TestFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer f.Close()
	if err := fill(f, text("x")); err == nil || strings.Contains(err.Error(), f.Name()) {
		t.Errorf("writing to a full device: %v", err)
	}
}

func TestPanicLeavesOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.bin")
	if err := Write(path, text("old")); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { recover() }()
		Write(path, func(io.Writer) error { panic("bug") })
	}()
	onlyFile(t, path, "old")
}

func TestMissingFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no", "a.bin")
	err := Write(path, text("x"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "the folder "+filepath.Dir(path)+" is missing") || strings.Contains(err.Error(), ".tmp") {
		t.Errorf("got %v", err)
	}
}

func TestTargetIsFolder(t *testing.T) {
	if err := Write(t.TempDir(), text("x")); err == nil {
		t.Error("a folder was overwritten")
	}
}

func TestConcurrentWritersNeverMix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.bin")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := Write(path, text(strings.Repeat(string(rune('a'+i)), 5000))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil || len(got) != 5000 || strings.Count(string(got), string(got[:1])) != 5000 {
		t.Errorf("a mixed file of %d bytes, %v", len(got), err)
	}
}
