package data

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sugarme/tokenizer/model/bpe"
)

// golden is what Hugging Face's library learned from testdata/mixed.txt and made of it
// (testdata/golden.py).
type golden struct {
	Vocab       int      `json:"vocab"`
	Merges      []string `json:"merges"`
	IDs         []int32  `json:"ids"`
	Shakespeare struct {
		Vocab  int    `json:"vocab"`
		Merges string `json:"merges"` // SHA-256 of the lines
		IDs    string `json:"ids"`
		Tokens int    `json:"tokens"`
	} `json:"shakespeare"`
}

func readGolden(t *testing.T) (golden, []byte) {
	t.Helper()
	file, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(file, &g); err != nil {
		t.Fatal(err)
	}
	return g, mixedText(t)
}

// mixedText is code, prose and unusual Unicode.
func mixedText(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/mixed.txt")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func shakespeare(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("../../shared/data/tinyshakespeare.txt")
	if err != nil {
		t.Skipf("needs tiny Shakespeare: %v", err)
	}
	return text
}

func mergesOf(t *testing.T, tok *Tokenizer) []string {
	t.Helper()
	var file struct {
		Model struct {
			Merges []string `json:"merges"`
		} `json:"model"`
	}
	if err := json.Unmarshal(tok.JSON(), &file); err != nil {
		t.Fatal(err)
	}
	return file.Model.Merges
}

func TestTrainingAndIDsEqualHuggingFace(t *testing.T) {
	g, text := readGolden(t)
	tok := trained(t, text, g.Vocab)
	merges := mergesOf(t, tok)
	for i := range max(len(merges), len(g.Merges)) {
		if i >= len(merges) || i >= len(g.Merges) || merges[i] != g.Merges[i] {
			t.Fatalf("merge %d: got %q, want %q", i, merges[i:min(i+3, len(merges))], g.Merges[i:min(i+3, len(g.Merges))])
		}
	}
	checkIDs(t, tok, text, g.IDs)
}

func checkIDs(t *testing.T, tok *Tokenizer, text []byte, want []int32) {
	t.Helper()
	got := tok.Encode(nil, text)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("ids differ at %d of %d (want %d), after %q", i, len(got), len(want), tok.Decode(got[max(0, i-10):i]))
		}
	}
}

func TestShakespeareEqualsHuggingFace(t *testing.T) {
	text := shakespeare(t)
	g, _ := readGolden(t)
	tok := trained(t, text, g.Shakespeare.Vocab)
	if got := linesHash(mergesOf(t, tok)); got != g.Shakespeare.Merges {
		t.Errorf("merges have hash %s, want %s", got, g.Shakespeare.Merges)
	}
	ids := tok.Encode(nil, text)
	if got := linesHash(ids); got != g.Shakespeare.IDs || len(ids) != g.Shakespeare.Tokens {
		t.Errorf("%d ids have hash %s, want %d with %s", len(ids), got, g.Shakespeare.Tokens, g.Shakespeare.IDs)
	}
}

func linesHash[T any](list []T) string {
	lines := make([]string, len(list))
	for i, x := range list {
		lines[i] = fmt.Sprint(x)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}

// naiveTrain counts all pairs again for every merge.
func naiveTrain(words map[string]int64, vocab int) []string {
	var tokens []string
	for _, b := range gpt2Bytes {
		tokens = append(tokens, string([]byte{b}))
	}
	split := map[string][]string{}
	for w := range words {
		split[w] = strings.Split(toByteLevel(w), "")
		for i := range split[w] {
			split[w][i] = w[i : i+1]
		}
	}
	var merges []string
	for len(tokens) < vocab {
		counts := map[[2]int]int64{}
		for w, parts := range split {
			for i := 1; i < len(parts); i++ {
				counts[[2]int{slices.Index(tokens, parts[i-1]), slices.Index(tokens, parts[i])}] += words[w]
			}
		}
		best, most := [2]int{}, int64(1)
		for p, n := range counts {
			if n > most || n == most && most > 1 && slices.Compare(p[:], best[:]) < 0 {
				best, most = p, n
			}
		}
		if most < 2 {
			break
		}
		left, right := tokens[best[0]], tokens[best[1]]
		merges = append(merges, toByteLevel(left)+" "+toByteLevel(right))
		if !slices.Contains(tokens, left+right) {
			tokens = append(tokens, left+right)
		}
		for w, parts := range split {
			for i := 0; i+1 < len(parts); i++ {
				if parts[i] == left && parts[i+1] == right {
					parts = slices.Replace(parts, i, i+2, left+right)
				}
			}
			split[w] = parts
		}
	}
	return merges
}

func TestTrainingEqualsCountingAgain(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		words := map[string]int64{}
		for range 40 {
			word := make([]byte, 1+random.IntN(9))
			for i := range word {
				word[i] = "abc"[random.IntN(3)]
			}
			words[string(word)] += 1 + random.Int64N(3) // many ties
		}
		tokens, merges, err := trainBPE(context.Background(), words, 256+40, func(int) {})
		if err != nil {
			t.Fatal(err)
		}
		tok, err := newBPE(tokens, merges, false)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := mergesOf(t, tok), naiveTrain(words, 256+40); !slices.Equal(got, want) {
			t.Fatalf("merges of %v\n got %q\nwant %q", words, got, want)
		}
	}
}

// The library's trainer neither takes counts back after a merge nor breaks ties always the
// same way, so that it can be compared only where neither matters.
func TestTrainingEqualsLibrary(t *testing.T) {
	words := map[string]int64{"ab": 30, "cd": 23, "ef": 17, "xab": 11, "yxab": 7, "zef": 5, "wcd": 3}
	counts := map[string]int{}
	for word, n := range words {
		counts[word] = int(n)
	}
	trainer := bpe.NewBpeTrainer(2, 10+7)
	var model bpe.BPE
	silent(t, func() {
		m, _ := trainer.Train(counts)
		model = m.(bpe.BPE)
	})
	want := make([]string, len(*model.Merges))
	for p, m := range *model.Merges {
		want[m.Rank] = (*model.VocabR)[p.C1] + " " + (*model.VocabR)[p.C2]
	}
	tokens, merges, err := trainBPE(context.Background(), words, 256+7, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	tok, err := newBPE(tokens, merges, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := mergesOf(t, tok); !slices.Equal(got, want) {
		t.Errorf("merges %q, the library's are %q", got, want)
	}
}

// silent runs f without what it prints: the library does.
func silent(t *testing.T, f func()) {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	out := os.Stdout
	os.Stdout = null
	defer func() { os.Stdout = out }()
	f()
}

func TestTrainingStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	words := map[string]int64{}
	for i := range 1000 {
		words[fmt.Sprint("w", i*7919)] = 2
	}
	if _, _, err := trainBPE(ctx, words, 2000, func(int) {}); err != context.Canceled {
		t.Errorf("a cancelled training gives %v", err)
	}
	tokens, _, err := trainBPE(context.Background(), map[string]int64{"ab": 2, "cd": 1}, 300, func(int) {})
	if err != nil || len(tokens) != 257 {
		t.Errorf("%d tokens, %v: want 257, as only one pair occurs twice", len(tokens), err)
	}
}
