package export

import (
	"fmt"

	"trefoil/data"
	"trefoil/internal/gguf"
)

// Token types of llama.cpp.
const (
	normalToken  int32 = 1
	controlToken int32 = 3 // special: no text gives it
	addedToken   int32 = 4 // found in a text before it is split
	unusedToken  int32 = 5
)

// ggufSplits are the values of tokenizer.ggml.pre, by which llama.cpp chooses the split
// and whether words that are tokens are taken whole (llama-vocab.cpp). smaug-bpe has the
// pattern of Llama 3.
var ggufSplits = []struct {
	pre        string
	split      data.Split
	wholeWords bool
}{
	{"gpt-2", data.SplitWords, false},
	{"gpt-2", data.SplitNothing, false},
	{"gpt-2", data.SplitCharacters, true}, // by merges: see characterMerges
	{"llama-bpe", data.SplitLlama3, true},
	{"smaug-bpe", data.SplitLlama3, false},
	{"qwen2", data.SplitQwen2, false},
	{"smollm", data.SplitDigits, false},
}

// GGUFSplit returns the split that a value of tokenizer.ggml.pre stands for, and whether
// words that are tokens are taken whole; ok is false for a value that is not known.
func GGUFSplit(pre string) (split data.Split, wholeWords, ok bool) {
	for _, s := range ggufSplits {
		if s.pre == pre {
			return s.split, s.wholeWords, true
		}
	}
	return "", false, false
}

// ggufPre is the inverse of [GGUFSplit], "" if readers do not have the split so.
func ggufPre(b data.ByteLevel) string {
	for _, s := range ggufSplits {
		if s.split == b.Split && s.wholeWords == b.WholeWords {
			return s.pre
		}
	}
	return ""
}

// ggufTokenizer returns the metadata of the tokenizer, and what of it readers leave out.
func (r *Run) ggufTokenizer() (_ []gguf.KeyValue, note string, _ error) {
	tokenizer, err := data.ParseTokenizer(r.Tokenizer)
	if err != nil {
		return nil, "", err
	}
	parts, err := tokenizer.ByteLevel()
	if err != nil {
		return nil, "", fmt.Errorf("%w; a GGUF file would have to name it: use the format hf", err)
	}
	pre := ggufPre(parts)
	if pre == "" {
		return nil, "", fmt.Errorf("readers of GGUF do not have the split %q with ignore_merges %v, by which the tokenizer takes whole words or not: use the format hf", parts.Split, parts.WholeWords)
	}
	if parts.NFC {
		note = "the tokenizer composes characters (NFC), which readers of GGUF do not: a text with accents as characters of their own gives them other ids"
	}
	end, ok := tokenizer.EndOfText()
	if !ok {
		end = r.rarestToken()
	}
	begin := end
	before, after := tokenizer.Around()
	if len(before) > 0 {
		begin = before[0]
	}
	if len(before) > 1 || len(after) > 1 || len(after) == 1 && after[0] != end {
		return nil, "", fmt.Errorf("the tokenizer puts the ids %v before and %v behind each text; GGUF has a place for one token that begins a text and for the one that ends it: use the format hf", before, after)
	}
	tokens, types := ggufTokens(parts, r.Model.Vocab)
	keys := []gguf.KeyValue{
		{Key: "tokenizer.ggml.model", Value: "gpt2"},
		{Key: "tokenizer.ggml.pre", Value: pre},
		{Key: "tokenizer.ggml.tokens", Value: tokens},
		{Key: "tokenizer.ggml.token_type", Value: types},
		{Key: "tokenizer.ggml.merges", Value: ggufMerges(parts)},
		{Key: "tokenizer.ggml.bos_token_id", Value: uint32(begin)},
		{Key: "tokenizer.ggml.eos_token_id", Value: uint32(end)},
		{Key: "tokenizer.ggml.add_bos_token", Value: len(before) > 0},
		{Key: "tokenizer.ggml.add_eos_token", Value: len(after) > 0},
		{Key: "tokenizer.huggingface.json", Value: string(r.Tokenizer)},
	}
	return keys, note, nil
}

// ggufTokens returns names and types of vocab tokens. Ids without a token get
// a name, for names must differ.
func ggufTokens(b data.ByteLevel, vocab int) ([]string, []int32) {
	tokens, types := make([]string, vocab), make([]int32, vocab)
	for id := range tokens {
		switch {
		case id >= len(b.Tokens) || b.Tokens[id] == "":
			tokens[id], types[id] = fmt.Sprintf("[UNUSED_%d]", id), unusedToken
		case b.Special[id]:
			tokens[id], types[id] = b.Tokens[id], controlToken
		case b.Added[id]:
			tokens[id], types[id] = b.Tokens[id], addedToken
		default:
			tokens[id], types[id] = b.Tokens[id], normalToken
		}
	}
	return tokens, types
}

// ggufMerges returns the merges that make a reader, which begins with single
// bytes, give the tokenizer's ids. llama.cpp wants at least one.
func ggufMerges(b data.ByteLevel) []string {
	merges := b.Merges
	if b.Split == data.SplitCharacters {
		merges = characterMerges(b)
	}
	if len(merges) == 0 {
		merges = []string{"ÿ ÿ"} // the bytes FF FF, which no UTF-8 text has
	}
	return merges
}

// characterMerges joins the bytes of each character from the left: E4 B8, then
// E4B8 AD. A character's first byte is none of the others of any character,
// so no merge crosses from one character to the next, and the order among
// them does not matter. What is merged on the way need not be a token.
func characterMerges(b data.ByteLevel) []string {
	var merges []string
	seen := map[string]bool{}
	for id, token := range b.Tokens {
		runes := []rune(token) // one a byte
		if b.Special[id] {
			continue
		}
		for n := 1; n < len(runes); n++ {
			if merge := string(runes[:n]) + " " + string(runes[n]); !seen[merge] {
				seen[merge] = true
				merges = append(merges, merge)
			}
		}
	}
	return merges
}

// rarestToken is the id that the run's windows use least, the last of several
// such. llama.cpp needs some id as the end of a text, takes 11 if it is told
// none, and stops when a model gives it.
func (r *Run) rarestToken() int32 {
	counts := make([]int, r.Model.Vocab)
	for _, w := range []Windows{r.Heldout, r.Calibration} {
		for _, id := range w.Tokens {
			counts[id]++
		}
	}
	rarest := 0
	for id, n := range counts {
		if n <= counts[rarest] {
			rarest = id
		}
	}
	return int32(rarest)
}
