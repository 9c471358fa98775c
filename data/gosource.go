package data

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// openGoSource lists the Go source tree of the user's installation: the .go files below
// $(go env GOROOT)/src that someone has written. Left out are tests (_test.go),
// the folders testdata and vendor, generated files and tables ([isGenerated],
// [isTable]).
func openGoSource(ctx context.Context) (corpus, error) {
	root, err := goRoot(ctx)
	if err != nil {
		return nil, err
	}
	root = filepath.Join(root, "src")
	c := &fileCorpus{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case entry.IsDir() && (name == "testdata" || name == "vendor"):
			return fs.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || isGenerated(text) || isTable(text) {
			return err
		}
		rel, err := filepath.Rel(root, path)
		c.names = append(c.names, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("data.path: go: %w", err)
	}
	if len(c.names) == 0 {
		return nil, fmt.Errorf("data.path: go: %s has no Go source files: install Go with its sources, or set data.path to a folder of text", root)
	}
	c.setRoot(root)
	return c, nil
}

// goRoot is the folder of the Go installation.
func goRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	root := strings.TrimSpace(string(out))
	if err != nil || root == "" {
		if root = os.Getenv("GOROOT"); root == "" {
			return "", fmt.Errorf("data.path: go: asking the go command for its GOROOT: %w: put go on the PATH, set GOROOT, or set data.path to a text file or folder", err)
		}
	}
	return root, nil
}

// isGenerated recognises the line by which generators mark their Go files:
// "// Code generated ... DO NOT EDIT."
func isGenerated(text []byte) bool {
	begin, end := []byte("// Code generated "), []byte(" DO NOT EDIT.")
	for bytes.Contains(text, begin) {
		_, rest, _ := bytes.Cut(text, begin)
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		start := len(text) - len(rest) - len(begin)
		if (start == 0 || text[start-1] == '\n') && bytes.HasSuffix(bytes.TrimRight(line, "\r"), end) {
			return true
		}
		text = after
	}
	return false
}

// isTable recognises a Go file most of whose lines are elements of a composite literal:
// of the lines that are not blank, more than half begin with a digit, a quote, a brace or
// a minus sign and end in a comma (leaving aside a // comment), in a file of at least 50
// such elements.
func isTable(text []byte) bool {
	lines, elements := 0, 0
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		lines++
		if i := bytes.Index(line, []byte("//")); i > 0 {
			line = bytes.TrimSpace(line[:i])
		}
		if bytes.IndexByte([]byte("0123456789\"'`{-"), line[0]) >= 0 && line[len(line)-1] == ',' {
			elements++
		}
	}
	return elements >= 50 && 2*elements > lines
}
