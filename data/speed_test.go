package data

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// goText is about n bytes of the Go source tree.
func goText(tb testing.TB, n int) []byte {
	tb.Helper()
	c, err := openGoSource(context.Background())
	if err != nil {
		tb.Skipf("no Go source tree: %v", err)
	}
	var text []byte
	for _, path := range c.(*fileCorpus).documents {
		file, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		if text = append(text, file...); len(text) >= n {
			break
		}
	}
	return text
}

// trained is a BPE tokenizer of text.
func trained(tb testing.TB, text []byte, vocab int) *Tokenizer {
	tb.Helper()
	words, err := wordsOf([]piece{{text: text}})
	if err != nil {
		tb.Fatal(err)
	}
	tokens, merges, err := trainBPE(context.Background(), words.counts, vocab, func(int) {})
	if err != nil {
		tb.Fatal(err)
	}
	t, err := newBPE(tokens, merges, false)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func BenchmarkSplit(b *testing.B) {
	text := goText(b, 8<<20)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		for i := 0; i < len(text); {
			i = wordEnd(text, i)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	text := goText(b, 8<<20)
	for _, size := range []struct {
		name  string
		vocab int
	}{{"4096", 4096}, {"32768", 32768}} {
		b.Run(size.name, func(b *testing.B) {
			t := trained(b, text, size.vocab)
			ids := make([]int32, 0, len(text))
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				ids = t.Encode(ids[:0], text)
			}
		})
	}
}

// BenchmarkTrainVocabulary counts the words of a text on one core and learns 4096 tokens.
func BenchmarkTrainVocabulary(b *testing.B) {
	for name, text := range map[string][]byte{"8MB": goText(b, 8<<20), "50MB": allGoText(b, 50<<20)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				trained(b, text, 4096)
			}
		})
	}
}

// allGoText is n bytes of the Go installation, tests and tables included.
func allGoText(tb testing.TB, n int) []byte {
	tb.Helper()
	root, err := goRoot(context.Background())
	if err != nil {
		tb.Skip(err)
	}
	var text []byte
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		file, err := os.ReadFile(path)
		if text = append(text, file...); len(text) >= n {
			return fs.SkipAll
		}
		return err
	})
	if err != nil || len(text) < n {
		tb.Skipf("the Go installation has %d bytes of source: %v", len(text), err)
	}
	return text[:n]
}

// BenchmarkOpenCached finds the ids in the cache: it hashes the text and checks the ids.
func BenchmarkOpenCached(b *testing.B) {
	path := filepath.Join(b.TempDir(), "go.txt")
	text := goText(b, 8<<20)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		b.Fatal(err)
	}
	cfg, dir := DefaultConfig(), b.TempDir()
	cfg.Path = path
	open := func() {
		d, err := Open(context.Background(), cfg, dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
	open()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		open()
	}
}
