package export

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"trefoil/internal/safetensors"
)

// checkPlace refuses to write a file where another one is that is not of an
// export: one of the run, or one whose first bytes are not the format's. An
// empty file gives way. Folders are for [checkFolder].
func (r *Run) checkPlace(path string, f Format) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case f == HuggingFace || f == PackedHuggingFace:
		return nil
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file, and the format %s is one: choose another name", path, f)
	case r.owns(path, info):
		return fmt.Errorf("%s is a file of the run: choose another name", path)
	case info.Size() == 0:
		return nil
	}
	begins := begins(path, map[Format]string{Trefoil: "trefoil\n", GGUF: "GGUF"}[f])
	if f == SafeTensors {
		begins = isPlain(path)
	}
	if !begins {
		return fmt.Errorf("%s is there already, and is not a file that an export in the format %s wrote: choose another name, or move it away", path, f)
	}
	return nil
}

// owns tells whether a file is what training left of the run.
func (r *Run) owns(path string, info fs.FileInfo) bool {
	folder := Folder(r.Dir)
	for _, own := range []string{folder.Config(), folder.Tokenizer(), folder.Evaluation(), folder.Last(), folder.Best()} {
		if other, err := os.Stat(own); err == nil && os.SameFile(info, other) {
			return true
		}
	}
	return false
}

// begins tells whether a file begins with a text.
func begins(path, with string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(with))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == with
}

// isPlain tells whether a file is one that [Run.Write] wrote in the format
// safetensors.
func isPlain(path string) bool {
	f, err := safetensors.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return f.Metadata(modelKey) != ""
}

// checkFolder refuses a folder for Hugging Face that holds files by the names
// of the parts that no export wrote: the model card tells.
func checkFolder(dir string, parts []part) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is a file, and the format a folder: choose another name", dir)
	}
	if card, err := os.ReadFile(filepath.Join(dir, cardFile)); err == nil && isCard(string(card)) {
		return nil
	}
	for _, p := range parts {
		path := filepath.Join(dir, p.name)
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there already, and is not of an export: choose another folder", path)
		}
	}
	return nil
}

// isCard tells whether a text is the model card of an export: one with the tag
// in its front matter, the lines between the first, ---, and the next of the
// kind.
func isCard(text string) bool {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	end := slices.Index(lines[1:], "---")
	return lines[0] == "---" && end >= 0 && slices.Contains(lines[1:1+end], cardTag)
}
