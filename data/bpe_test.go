package data

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/model/bpe"
	"github.com/sugarme/tokenizer/pretokenizer"
)

// naiveMerge merges the leftmost pair of the lowest rank until there is none. overlap
// tells that two pairs of the same rank shared a token, where the library does not always
// take the left one.
func naiveMerge(b *bpeCoder, word []byte) (ids []int32, overlap bool) {
	for _, c := range word {
		ids = append(ids, b.bytes[c])
	}
	for {
		best, at := merge{rank: noRank}, -1
		for i := 1; i < len(ids); i++ {
			if m, ok := b.merges[pairOf(ids[i-1], ids[i])]; ok && m.rank < best.rank {
				best, at = m, i-1
			}
		}
		if at < 0 {
			return ids, overlap
		}
		overlap = overlap || at+2 < len(ids) && ids[at] == ids[at+1] && ids[at+1] == ids[at+2]
		ids = slices.Replace(ids, at, at+2, best.id)
	}
}

func TestMergingEqualsNaive(t *testing.T) {
	text := append(mixedText(t), goText(t, 200<<10)...)
	b := trained(t, text, 3000).coder.(*bpeCoder)
	words := wordsIn(SplitWords, text)
	random := rand.New(rand.NewPCG(5, 5))
	for range 200 { // long words, and bytes that make no sense
		start, n := random.IntN(len(text)-300), random.IntN(300)
		words = append(words, string(text[start:start+n]), strings.Repeat(string(text[start:start+1+n%5]), n))
	}
	cache := newWordCache()
	seen := map[string]bool{}
	for _, word := range words {
		if seen[word] || word == "" {
			continue
		}
		seen[word] = true
		want, _ := naiveMerge(b, []byte(word))
		if got := b.mergeWord(nil, []byte(word), &cache.scratch); !slices.Equal(got, want) {
			t.Fatalf("%q: got %v, want %v", word, got, want)
		}
		cache.scratch.ids = cache.scratch.ids[:0]
		for _, c := range []byte(word) {
			cache.scratch.ids = append(cache.scratch.ids, b.bytes[c])
		}
		if got := b.mergeLong(nil, &cache.scratch); !slices.Equal(got, want) {
			t.Fatalf("%q with a heap: got %v, want %v", word, got, want)
		}
	}
}

// libraryModel is the library's BPE with the tokens and merges of tok.
func libraryModel(t *testing.T, tok *Tokenizer) *bpe.BPE {
	t.Helper()
	vocab := map[string]int{}
	for id, token := range tok.tokens {
		vocab[toByteLevel(token)] = id
	}
	model, err := bpe.New(vocab, mergesOf(t, tok), nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return model
}

func libraryIDs(tokens []tokenizer.Token) (ids []int32) {
	for _, token := range tokens {
		ids = append(ids, int32(token.Id))
	}
	return ids
}

// On 1 MB of code, prose and unusual Unicode the library's model gives the ids of every
// word, except of words where equal pairs overlap: in "aaa" it may merge the right pair
// first. Hugging Face's library, Trefoil and the definition of BPE take the left one.
func TestIDsEqualLibraryModel(t *testing.T) {
	text := slices.Concat(goText(t, 900<<10)[:900<<10], bytes.Repeat(mixedText(t), 6))
	tok := trained(t, text, 4096)
	b, model := tok.coder.(*bpeCoder), libraryModel(t, tok)
	seen, equal, overlaps := map[string][]int32{}, 0, 0
	for _, word := range wordsIn(SplitWords, text) {
		if _, ok := seen[word]; ok {
			continue
		}
		got := tok.Encode(nil, []byte(word))
		seen[word] = got
		tokens, err := model.Tokenize(toByteLevel(word))
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(got, libraryIDs(tokens)) {
			equal++
			continue
		}
		if _, overlap := naiveMerge(b, []byte(word)); !overlap {
			t.Fatalf("%q: got %v, the library gives %v", word, got, libraryIDs(tokens))
		}
		overlaps++
	}
	t.Logf("%d words are equal, %d have overlapping pairs", equal, overlaps)
	if equal < 1000 || overlaps > equal/50 {
		t.Errorf("%d words are equal, %d are not", equal, overlaps)
	}
	var whole []int32
	for _, word := range wordsIn(SplitWords, text) {
		whole = append(whole, seen[word]...)
	}
	checkIDs(t, tok, text, whole)
}

// The library's split knows only ASCII white space, and keeps all of it before a word
// together where GPT-2 leaves the last character to the word: the same ids for words with
// single spaces between them, of letters, digits, marks and signs of any script.
func TestIDsEqualLibraryPipeline(t *testing.T) {
	text := bytes.Join(bytes.Fields(mixedText(t)), []byte(" "))[:20000]
	text = []byte(strings.ToValidUTF8(string(text), ""))
	tok := trained(t, text, 700)
	library := tokenizer.NewTokenizer(libraryModel(t, tok))
	library.WithPreTokenizer(&pretokenizer.ByteLevel{})
	compared := 0
	for words := range slices.Chunk(bytes.Fields(text), 3) {
		line := bytes.Join(words, []byte(" "))
		if repeats(line) {
			continue // overlapping pairs
		}
		encoding, err := library.EncodeSingle(string(line), false)
		if err != nil {
			t.Fatal(err)
		}
		var want []int32
		for _, id := range encoding.Ids {
			want = append(want, int32(id))
		}
		checkIDs(t, tok, line, want)
		compared += len(line)
	}
	if compared < len(text)/2 {
		t.Errorf("only %d bytes of %d were compared", compared, len(text))
	}
}

func repeats(line []byte) bool {
	for i := 2; i < len(line); i++ {
		if line[i] == line[i-1] && line[i] == line[i-2] {
			return true
		}
	}
	return bytes.Contains(line, []byte("ababab"))
}

func TestLongWordIsFast(t *testing.T) {
	tok := trained(t, mixedText(t), 700)
	word := bytes.Repeat([]byte("aab"), 300_000)
	ids := tok.Encode(nil, word)
	if !bytes.Equal(tok.Decode(ids), word) {
		t.Error("a word of 900 KB does not come back")
	}
}

func TestEncodeConcurrently(t *testing.T) {
	text := mixedText(t)
	tok := trained(t, text, 700)
	want := tok.Encode(nil, text)
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			if !slices.Equal(tok.Encode(nil, text), want) {
				t.Error("ids differ between goroutines")
			}
		})
	}
	running.Wait()
}

func FuzzDecodeEncode(f *testing.F) {
	tok := trained(f, mixedText(f), 700)
	f.Add([]byte("for i := range 3 { }\xff\xfe<|endoftext|>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got := tok.Decode(tok.Encode(nil, text)); !bytes.Equal(got, text) {
			t.Fatalf("%q comes back as %q", text, got)
		}
	})
}
