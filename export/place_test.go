package export

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An export replaces an older one, and nothing else.
func TestExportReplacesOnlyExports(t *testing.T) {
	r := load(t, fakeRun(t))
	outside := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(outside, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write := func(path string, f Format) error {
		if f == Trefoil {
			_, err := r.Export(t.Context(), path, options)
			return err
		}
		_, err := r.Write(t.Context(), path, f, options)
		return err
	}
	folder := Folder(r.Dir)
	own := []string{folder.Config(), folder.Tokenizer(), folder.Evaluation(), folder.Last()}
	other := filepath.Join(t.TempDir(), "other.safetensors")
	writeTensors(t, other, nil, nil)
	for _, f := range []Format{Trefoil, GGUF, SafeTensors} {
		for _, path := range append(own, file("notes.txt", "my notes"), other) {
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := write(path, f); err == nil || !strings.Contains(err.Error(), path+" is ") || !strings.Contains(err.Error(), "choose another name") {
				t.Errorf("%s over %s: %v", f, path, err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Errorf("%s over %s: the file was replaced", f, path)
			}
		}
		again := filepath.Join(outside, "model."+string(f))
		for _, path := range []string{file("empty."+string(f), ""), again, again} {
			if err := write(path, f); err != nil {
				t.Errorf("%s over %s: %v", f, path, err)
			}
		}
	}

	file("config.json", "{}")
	for _, dir := range []string{r.Dir, outside} {
		if err := write(dir, HuggingFace); err == nil || !strings.Contains(err.Error(), "is not of an export: choose another folder") {
			t.Errorf("a folder over %s: %v", dir, err)
		}
	}
	again := filepath.Join(outside, "hf")
	for range 2 {
		if err := write(again, HuggingFace); err != nil {
			t.Error(err)
		}
	}
}

// A folder that holds one file by the name of a part, but is not of an export,
// is left as it is; a card tells an export by its front matter alone.
func TestFolderOfOthers(t *testing.T) {
	r := load(t, fakeRun(t))
	for _, c := range [][2]string{
		{"model.safetensors", ""}, {"config.json", "{}"}, {"tokenizer.json", "{}"}, {"tokenizer_config.json", "{}"},
		{"special_tokens_map.json", "{}"}, {"generation_config.json", "{}"}, {"README.md", ""},
		{"README.md", "# Clover\n\n- trefoil\n"},
		{"README.md", "---\ntags:\n- clover\n---\n\n- trefoil\n"},
		{"README.md", "---\ntags:\n- trefoil-like\n---\n"},
		{"README.md", "---\n- trefoil\n"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, c[0])
		if err := os.WriteFile(path, []byte(c[1]), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Write(t.Context(), dir, HuggingFace, options); err == nil || !strings.Contains(err.Error(), path+" is there already, and is not of an export: choose another folder") {
			t.Errorf("over %s, %q: %v", c[0], c[1], err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
			t.Errorf("over %s, %q: the folder holds %v (%v)", c[0], c[1], list, err)
		}
	}
	dir := t.TempDir() // a card that somebody went on to write
	if err := os.WriteFile(filepath.Join(dir, cardFile), []byte("---\r\ntags:\r\n  - trefoil\r\n---\r\nMine.\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Write(t.Context(), dir, HuggingFace, options); err != nil {
		t.Error(err)
	}
}
