package data

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func configOf(path, kind string) Config {
	cfg := DefaultConfig()
	cfg.Path, cfg.Tokenizer = path, TokenizerConfig{Kind: kind}
	if kind == BPE {
		cfg.Tokenizer.Vocab = 300
	}
	return cfg
}

func open(t *testing.T, cfg Config, cache string) *Dataset {
	t.Helper()
	d, err := Open(t.Context(), cfg, cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func allIDs(tokens *Tokens) []int32 {
	ids := make([]int32, tokens.Len())
	tokens.Read(ids, 0)
	return ids
}

func TestOneFileIsCutByPosition(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.txt")
	text := strings.Repeat("abc déf\n", 50) // 450 bytes
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{BPE, Char, Byte} {
		d := open(t, configOf(path, kind), t.TempDir())
		train, heldout := d.Tokenizer.Decode(allIDs(d.Train)), d.Tokenizer.Decode(allIDs(d.Heldout))
		if string(train)+string(heldout) != text || len(train) != 405 {
			t.Errorf("%s: %d bytes to train on and %d held out", kind, len(train), len(heldout))
		}
		if _, ok := d.Tokenizer.EndOfText(); ok || d.Documents != 1 || d.Bytes != 450 || d.HeldoutBytes != 45 {
			t.Errorf("%s: %d documents, %d bytes, %d held out, end of text %v", kind, d.Documents, d.Bytes, d.HeldoutBytes, ok)
		}
	}
	cfg := configOf(path, Byte)
	cfg.Holdout = 0.094 // the cut at byte 407 is inside é: it moves to its end
	d := open(t, cfg, t.TempDir())
	if heldout := d.Tokenizer.Decode(allIDs(d.Heldout)); !strings.HasPrefix(text, string(d.Tokenizer.Decode(allIDs(d.Train)))) || !strings.HasSuffix(text, string(heldout)) {
		t.Errorf("held out %q", heldout)
	}
}

func TestNanoGPTSplit(t *testing.T) {
	shakespeare(t)
	d := open(t, configOf("../../shared/data/tinyshakespeare.txt", Char), t.TempDir())
	if d.Tokenizer.Vocab() != 65 || d.Train.Len() != 1003854 || d.Heldout.Len() != 111540 {
		t.Errorf("vocabulary %d, %d and %d tokens; nanoGPT has 65, 1003854 and 111540", d.Tokenizer.Vocab(), d.Train.Len(), d.Heldout.Len())
	}
}

func manyFiles() map[string]string {
	files := map[string]string{}
	for i := range 60 {
		files[fmt.Sprintf("d%d/f%d.txt", i%7, i)] = strings.Repeat(fmt.Sprintf("document %d has words; é\n", i), 3+i)
	}
	return files
}

func TestDocumentsAreWholeAndEndEach(t *testing.T) {
	files := manyFiles()
	root := writeFiles(t, files)
	for _, kind := range []string{BPE, Char, Byte} {
		d := open(t, configOf(root, kind), t.TempDir())
		end, ok := d.Tokenizer.EndOfText()
		if !ok || d.Documents != len(files) {
			t.Fatalf("%s: %d documents, end of text %v", kind, d.Documents, ok)
		}
		found := 0
		for side, tokens := range []*Tokens{d.Train, d.Heldout} {
			ids := allIDs(tokens)
			for len(ids) > 0 {
				n := slices.Index(ids, end)
				text := string(d.Tokenizer.Decode(ids[:n]))
				var i int
				fmt.Sscanf(text, "document %d", &i)
				name := fmt.Sprintf("d%d/f%d.txt", i%7, i)
				heldout := float64(fraction(name))/(1<<63)/2 < 0.1
				if text != files[name] || heldout != (side == 1) {
					t.Fatalf("%s: document %s is on side %d, or has another text", kind, name, side)
				}
				ids, found = ids[n+1:], found+1
			}
		}
		if found != len(files) {
			t.Errorf("%s: %d documents found", kind, found)
		}
	}
}

func TestCacheIsUsedAndChecked(t *testing.T) {
	root, cache := writeFiles(t, manyFiles()), t.TempDir()
	cfg := configOf(root, BPE)
	first := open(t, cfg, cache)
	want := allIDs(first.Train)
	stages := map[string]bool{}
	d, err := Open(t.Context(), cfg, cache, func(stage string, _, _ int64) { stages[stage] = true })
	if err != nil {
		t.Fatal(err)
	}
	if d.Close() != nil || stages["encode"] || stages["vocabulary"] || !stages["index"] {
		t.Errorf("with a cache the stages are %v", stages)
	}
	files, err := filepath.Glob(filepath.Join(cache, "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("cache has %q, %v", files, err)
	}
	for _, file := range files {
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, bad := range map[string][]byte{
			"a flipped bit": flipped(good, len(good)/2), "a flipped first bit": flipped(good, 0), "another last byte": flipped(good, len(good)-1),
			"a cut end": good[:len(good)-2], "few bytes": good[:5], "no bytes": {}, "more bytes": append(slices.Clone(good), 0, 0),
		} {
			// As a copy under a new name: the old file may be mapped.
			if err := errors.Join(os.WriteFile(file+".bad", bad, 0o644), os.Rename(file+".bad", file)); err != nil {
				t.Fatal(err)
			}
			d := open(t, cfg, cache)
			if !slices.Equal(allIDs(d.Train), want) {
				t.Errorf("%s with %s gives other tokens", filepath.Ext(file), name)
			}
			if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], file) {
				t.Errorf("%s with %s: warnings %q", filepath.Ext(file), name, d.Warnings)
			}
			if again, err := os.ReadFile(file); err != nil || !slices.Equal(again, good) {
				t.Errorf("%s with %s was not made again: %v", filepath.Ext(file), name, err)
			}
		}
	}
}

func flipped(file []byte, at int) []byte {
	file = slices.Clone(file)
	file[at] ^= 4
	return file
}

func TestChangesGiveOtherTokens(t *testing.T) {
	root, cache := writeFiles(t, manyFiles()), t.TempDir()
	cfg := configOf(root, Byte)
	before := open(t, cfg, cache)
	path := filepath.Join(root, "d0", "f0.txt")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[0] = 'D' // same name, same size
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	after := open(t, cfg, cache)
	if slices.Equal(allIDs(before.Train), allIDs(after.Train)) {
		t.Error("a changed file gives the tokens of the old one")
	}
	if err := os.Rename(path, filepath.Join(root, "d0", "other.txt")); err != nil {
		t.Fatal(err)
	}
	cfg.Holdout = 0.3
	if d := open(t, cfg, cache); d.HeldoutBytes <= after.HeldoutBytes {
		t.Error("a larger share held out changes nothing")
	}
}

func TestTwoProcessesAtOnce(t *testing.T) {
	root, cache := writeFiles(t, manyFiles()), t.TempDir()
	cfg := configOf(root, BPE)
	var sets [4]*Dataset
	var running sync.WaitGroup
	for i := range sets {
		running.Go(func() {
			d, err := Open(context.Background(), cfg, cache, nil)
			if err != nil {
				t.Error(err)
				return
			}
			sets[i] = d
		})
	}
	running.Wait()
	for _, d := range sets {
		if d == nil || !slices.Equal(allIDs(d.Train), allIDs(sets[0].Train)) {
			t.Fatal("two at once get different tokens")
		}
	}
	for _, d := range sets {
		if err := d.Close(); err != nil || d.Train.Len() != 0 {
			t.Errorf("closed: %d tokens, %v", d.Train.Len(), err)
		}
	}
}

func TestRecordsAreDocuments(t *testing.T) {
	var lines strings.Builder
	for i := range 100 {
		fmt.Fprintf(&lines, "{\"id\":%d,\"body\":\"record %d\\n\"}\n", i, i+1)
	}
	root := writeFiles(t, map[string]string{"many.jsonl": lines.String(), "one.jsonl": `{"body":"0123456789"}`})
	cfg := configOf(filepath.Join(root, "many.jsonl"), Char)
	cfg.Field = "body"
	d := open(t, cfg, t.TempDir())
	train, heldout := string(d.Tokenizer.Decode(allIDs(d.Train))), string(d.Tokenizer.Decode(allIDs(d.Heldout)))
	for i := 1; i <= 100; i++ {
		record := fmt.Sprintf("record %d\n"+EndOfText, i)
		held := float64(fraction(fmt.Sprint(i)))/(1<<63)/2 < 0.1
		if strings.Contains(train, record) == held || strings.Contains(heldout, record) != held {
			t.Errorf("record %d: held out %v, want %v", i, !held, held)
		}
	}
	if d.Documents != 100 {
		t.Errorf("%d documents, want 100", d.Documents)
	}
	cfg.Path = filepath.Join(root, "one.jsonl")
	cfg.Holdout = 0.2
	d = open(t, cfg, t.TempDir())
	if got := d.Tokenizer.Decode(allIDs(d.Heldout)); string(got) != "89" {
		t.Errorf("of one record %q is held out, want its end", got)
	}
}

func TestFileTokenizer(t *testing.T) {
	dir := t.TempDir()
	with, without := filepath.Join(dir, "with.json"), filepath.Join(dir, "without.json")
	for path, end := range map[string]bool{with: true, without: false} {
		if err := os.WriteFile(path, bytesTokenizer(t, end).JSON(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cfg := configOf(writeFiles(t, manyFiles()), File)
	cfg.Tokenizer.Path = with
	if d := open(t, cfg, t.TempDir()); d.Tokenizer.Vocab() != 257 {
		t.Errorf("vocabulary of %d, want 257", d.Tokenizer.Vocab())
	}
	cfg.Tokenizer.Path = "testdata/wordpiece.json"
	if d := open(t, cfg, t.TempDir()); d.Tokenizer.Vocab() != 11 || d.Documents != len(manyFiles()) {
		t.Errorf("WordPiece: vocabulary of %d, %d documents", d.Tokenizer.Vocab(), d.Documents)
	}
	cfg.Tokenizer.Path = without
	if _, err := Open(t.Context(), cfg, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "no special token to end a document") {
		t.Errorf("no end of text: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	root := writeFiles(t, map[string]string{
		"empty.txt": "", "one.txt": "x", "zero.txt": "ab\x00cd", "latin.txt": strings.Repeat("\xe9\xe8 ab", 100), "bad.txt": "ok ok ok ok ok \xff ok ok ok",
		"field.jsonl": `{"text":"a"}` + "\n" + `{"body":"b","n":1}`, "number.jsonl": `{"text":"a"}` + "\n" + `{"text":1}`, "broken.jsonl": `{"text":"a"}` + "\n{",
		"latin.jsonl": `{"text":"a"}` + "\n" + `{"text":"caf` + "\xe9" + `"}`,
		"null.jsonl":  `{"text":null}` + "\n" + `{"text":"b"}`, "blank.jsonl": "\n\n",
		"none/empty.txt": "", "hidden/.a": "a", "words.json": "{}",
	})
	for _, c := range []struct{ path, kind, want string }{
		{"missing.txt", Byte, "missing.txt"},
		{"empty.txt", Byte, "is empty"},
		{"one.txt", Byte, "too short"},
		{"zero.txt", Byte, "byte 2 is zero"},
		{"", Byte, "leave such files out by data.include"},
		{"hidden", Byte, "is empty"},
		{"latin.txt", Byte, "not valid UTF-8"},
		{"bad.txt", Char, "0xff is not valid UTF-8"},
		{"field.jsonl", Byte, `field.jsonl:2: no field "text": set data.field to one of its fields ["body" "n"]`},
		{"number.jsonl", Byte, `number.jsonl:2: field "text" is not a string`},
		{"broken.jsonl", Byte, "broken.jsonl:2: not a JSON object"},
		{"latin.jsonl", Byte, "latin.jsonl:2: the line is not valid UTF-8"},
		{"null.jsonl", BPE, `null.jsonl:1: field "text" is not a string`},
		{"blank.jsonl", BPE, "has no text"},
		{"none", Byte, "has no text"},
	} {
		_, err := Open(t.Context(), configOf(filepath.Join(root, c.path), c.kind), t.TempDir(), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.path, err, c.want)
		}
	}
	cfg := configOf(filepath.Join(root, "bad.txt"), File)
	cfg.Tokenizer.Path = filepath.Join(root, "words.json")
	if _, err := Open(t.Context(), cfg, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "data.tokenizer.path") {
		t.Errorf("a bad tokenizer.json gives %v", err)
	}
}

// Without a cache a corpus gives the same ids, from memory, and a warning.
func TestGoesOnWithoutACache(t *testing.T) {
	root := writeFiles(t, map[string]string{"a.txt": strings.Repeat("a rose is a rose. ", 50), "b.txt": strings.Repeat("what is in a name? ", 50), "file": ""})
	cfg := configOf(root, BPE)
	cfg.Include, cfg.Tokenizer.Vocab = []string{"*.txt"}, 262
	dir := t.TempDir()
	want := open(t, cfg, dir)
	// Folders stand where the vocabulary, or the ids, would be.
	vocabulary, ids := t.TempDir(), t.TempDir()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		blocked := ids
		if filepath.Ext(f.Name()) == ".vocabulary" {
			blocked = vocabulary
		}
		if err := os.Mkdir(filepath.Join(blocked, f.Name()), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, cache := range map[string]string{"a file": filepath.Join(root, "file"), "vocabulary": vocabulary, "ids": ids} {
		d := open(t, cfg, cache)
		if n := len(d.Warnings); n == 0 || !strings.HasPrefix(d.Warnings[n-1], "the cache cannot be written: ") {
			t.Errorf("%s: warnings %q", name, d.Warnings)
		}
		if !slices.Equal(d.Train.ids, want.Train.ids) || !slices.Equal(d.Heldout.ids, want.Heldout.ids) ||
			d.Documents != 2 || d.Bytes != want.Bytes || d.HeldoutBytes != want.HeldoutBytes {
			t.Errorf("%s: %d and %d tokens of %d documents and %d bytes, %d held out", name, d.Train.Len(), d.Heldout.Len(), d.Documents, d.Bytes, d.HeldoutBytes)
		}
	}
}

// A full disk shows only when ids are written, and then it is not the corpus that
// is to blame.
func TestFullCache(t *testing.T) {
	w, err := newTokenWriter(&limited{100}, [32]byte{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.add(make([]int32, 10), 1, 10); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"ids": w.add(make([]int32, 100), 1, 100), "footer": w.finish()} {
		if !errors.As(err, new(unwritable)) || !errors.Is(err, errFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var errFull = errors.New("full")

// limited is a disk with room for some bytes.
type limited struct{ room int }

func (l *limited) Write(b []byte) (int, error) {
	if l.room -= len(b); l.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestSmallVocabularyIsReported(t *testing.T) {
	root := writeFiles(t, map[string]string{"a.txt": strings.Repeat("ab ", 20)})
	cfg := configOf(filepath.Join(root, "a.txt"), BPE)
	d := open(t, cfg, t.TempDir())
	if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], fmt.Sprintf("only %d tokens", d.Tokenizer.Vocab())) {
		t.Errorf("warnings %q with a vocabulary of %d", d.Warnings, d.Tokenizer.Vocab())
	}
}

func TestDoubtfulTextIsReported(t *testing.T) {
	const a, b = 6000, 1<<20 - 1 // the é of b.txt is cut by the end of a block
	root := writeFiles(t, map[string]string{
		"a.txt": strings.Repeat("ab ", a/3) + "\xe9 ab",
		"b.txt": strings.Repeat("x", b) + "é" + strings.Repeat("x", 5000) + "\xc3",
	})
	for path, want := range map[string]string{
		"a.txt": "a.txt has invalid UTF-8 (1 of its bytes, the first is byte 6000): convert",
		"b.txt": "b.txt has invalid UTF-8 (1 of its bytes, the first is byte 1053577): convert",
		"":      "a.txt has invalid UTF-8 (1 of its bytes, the first is byte 6000), the first of 2 such files: convert",
	} {
		d := open(t, configOf(filepath.Join(root, path), Byte), t.TempDir())
		if len(d.Warnings) != 1 || !strings.Contains(d.Warnings[0], want) {
			t.Errorf("warnings %q, want %q", d.Warnings, want)
		}
	}
	cfg := configOf(filepath.Join(root, "a.txt"), Byte)
	cfg.Include, cfg.Field = []string{"*.txt"}, "body"
	if d := open(t, cfg, t.TempDir()); len(d.Warnings) != 3 || !strings.Contains(d.Warnings[1], "data.include is not used") || !strings.Contains(d.Warnings[2], "data.field is not used") {
		t.Errorf("warnings %q", d.Warnings)
	}
}

// What is not text is found far behind the head of a file too.
func TestBinaryBehindText(t *testing.T) {
	text := strings.Repeat("to be or not to be\n", 200_000) // 3.8 MB
	for want, tail := range map[string]string{
		"is not text: byte 3800005 is zero":                      "\x7fELF\x02\x00\x01",
		"bytes from byte 3145728 on are not valid UTF-8: give a": strings.Repeat("\xe9\xff", 5000),
	} {
		root := writeFiles(t, map[string]string{"a.txt": text + tail})
		_, err := Open(t.Context(), configOf(filepath.Join(root, "a.txt"), Byte), t.TempDir(), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A byte-order mark is not text, of whatever kind the corpus is.
func TestByteOrderMark(t *testing.T) {
	text := strings.Repeat("a rose is a rose. ", 9)
	for name, file := range map[string]string{"a.txt": text, "b.jsonl": `{"text":"` + text + `"}`} {
		var ids [2][]int32
		for i, mark := range []string{"", "\ufeff"} {
			root := writeFiles(t, map[string]string{name: mark + file})
			d := open(t, configOf(filepath.Join(root, name), Char), t.TempDir())
			ids[i] = append(allIDs(d.Train), allIDs(d.Heldout)...)
			if d.Bytes != int64(len(text)) || d.Tokenizer.Vocab() != 8 {
				t.Errorf("%s: %d bytes in %d characters, want %d in 8", name, d.Bytes, d.Tokenizer.Vocab(), len(text))
			}
		}
		if !slices.Equal(ids[0], ids[1]) {
			t.Errorf("%s: the mark changes the ids", name)
		}
	}
}

func TestStaleFilesAreRemoved(t *testing.T) {
	dir := writeFiles(t, map[string]string{"ab.train.12-0.tmp": "old", "ab.heldout.12-0.tmp": "new", "other.tmp": "not ours"})
	old := time.Now().Add(-48 * time.Hour)
	for _, name := range []string{"ab.train.12-0.tmp", "other.tmp"} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	removeStale(dir)
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 2 {
		t.Errorf("left are %q", files)
	}
}

func TestOpenStops(t *testing.T) {
	root := writeFiles(t, manyFiles())
	for _, stage := range []string{"index", "vocabulary", "encode"} {
		ctx, cancel := context.WithCancel(t.Context())
		cache := t.TempDir()
		_, err := Open(ctx, configOf(root, Char), cache, func(s string, _, _ int64) {
			if s == stage {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled in %s: %v", stage, err)
		}
		if files, _ := filepath.Glob(filepath.Join(cache, "*.t*")); len(files) != 0 {
			t.Errorf("cancelled in %s: the cache has %q", stage, files)
		}
	}
}

func TestChangeDuringEncodingIsNoticed(t *testing.T) {
	files := manyFiles()
	root, cache := writeFiles(t, files), t.TempDir()
	_, err := Open(t.Context(), configOf(root, Byte), cache, func(stage string, _, _ int64) {
		if stage == "encode" {
			if err := os.WriteFile(filepath.Join(root, "d0", "f0.txt"), []byte("other"), 0o644); err != nil {
				t.Error(err)
			}
		}
	})
	if err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("a change gives %v", err)
	}
}

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"data.path":                       func(c *Config) { c.Path = "" },
		"data.holdout: 0 ":                func(c *Config) { c.Holdout = 0 },
		"data.holdout: 1 ":                func(c *Config) { c.Holdout = 1 },
		"data.include[1]":                 func(c *Config) { c.Include = []string{"*", "[a"} },
		"data.field":                      func(c *Config) { c.Path, c.Field = "a.jsonl", "" },
		"data.tokenizer.kind":             func(c *Config) { c.Tokenizer.Kind = "words" },
		"data.tokenizer.vocab: 100":       func(c *Config) { c.Tokenizer.Vocab = 100 },
		"data.tokenizer.path is empty":    func(c *Config) { c.Tokenizer = TokenizerConfig{Kind: File} },
		"data.tokenizer.path is set, but": func(c *Config) { c.Tokenizer.Path = "a.json" },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestValidateReportsAllFaults(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Holdout, cfg.Tokenizer.Kind = 1.5, "bpee"
	err := cfg.Validate()
	for _, want := range []string{"data.holdout: 1.5", `data.tokenizer.kind: "bpee"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want it to name %s", err, want)
		}
	}
}
