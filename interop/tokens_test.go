package interop

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"trefoil/export"
	"trefoil/quant/packed"
)

// mixedBytes is the length of the text that is turned to ids.
const mixedBytes = 1 << 20

// Texts give the ids that they give in Trefoil, for each kind of tokenizer.
func TestTokenIDs(t *testing.T) {
	optIn(t)
	path, err := mixedText()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"bpe", "char", "byte"} {
		run := siluRun
		if kind != "bpe" {
			run = sync.OnceValues(func() (string, error) { return trainOn(path, kind) })
		}
		t.Run(kind, func(t *testing.T) {
			m := open(t, run, export.Options{Float: packed.Float32})
			want := m.tokenizer.Encode(nil, text)
			t.Run("llama.cpp", func(t *testing.T) {
				have(t, installNode)
				sameIDs(t, m, want, llamaCpp(t, job{Model: m.write(t, export.GGUF, "-type", "f16"), Text: path}).ids)
			})
			t.Run("transformers and tokenizers", func(t *testing.T) {
				have(t, installPython)
				sameIDs(t, m, want, transformers(t, job{Model: m.write(t, export.HuggingFace), Text: path}).ids)
			})
			t.Run("ik_llama.cpp", func(t *testing.T) {
				python := haveIkLlama(t)
				sameIDs(t, m, want, ask(t, job{Model: m.write(t, export.GGUF, "-type", "f16"), Text: path}, python, "ik_llama.py").ids)
			})
		})
	}
}

func sameIDs(t *testing.T, m *model, want, got []int32) {
	t.Helper()
	i := 0
	for i < min(len(want), len(got)) && want[i] == got[i] {
		i++
	}
	if i < len(want) || i < len(got) {
		show := func(ids []int32) string { return string(m.tokenizer.Decode(ids[max(0, i-8):min(len(ids), i+8)])) }
		t.Fatalf("token %d of %d is another: ours are %q, theirs (%d) %q", i, len(want), show(want), len(got), show(got))
	}
	t.Logf("%d tokens are the same", len(want))
}

// trainOn makes a run whose tokenizer is made of a text. What the model learns
// is of no interest.
func trainOn(path, kind string) (string, error) {
	return train(kind, "data.path="+path, "data.include=[]", "data.tokenizer.kind="+kind,
		"model.dim=64", "model.heads=2", "model.kv_heads=2", "model.ff=64", "model.layers=1", "model.context=16",
		"train.steps=2", "train.batch=1", "train.warmup=1", "train.eval_every=2", "train.eval_batches=1")
}

// mixedText writes a text of mixedBytes bytes, always the same one, and
// returns its path: source code, words of many scripts, and characters in an
// order that no one would write them in.
var mixedText = sync.OnceValues(func() (string, error) {
	source, err := os.ReadFile(filepath.Join(goText(), "types", "expr.go"))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.Write(source)
	random := rand.New(rand.NewPCG(1, 2))
	characters := unusualCharacters()
	for b.Len() < mixedBytes {
		switch random.IntN(4) {
		case 0:
			b.WriteString(phrases[random.IntN(len(phrases))])
		case 1:
			b.WriteRune(characters[random.IntN(len(characters))])
		case 2:
			b.WriteString(spaces[random.IntN(len(spaces))])
		case 3:
			b.WriteByte(byte(' ' + random.IntN(95)))
		}
	}
	text := b.String()[:mixedBytes]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	path := filepath.Join(scratch, "mixed.txt")
	return path, os.WriteFile(path, []byte(text), 0o666)
})

// phrases have what rules of splitting are about: apostrophes, digits of
// several scripts, marks that join the letter before, emoji of several
// characters, and the name of a special token.
var phrases = []string{
	"it's", "they'LL", "we'Ve", "rock 'n' roll", "l'été", " 3.14159", "１２３", "٤٥٦", "Ⅷ½²", "naïve", "nai\u0308ve", "Straße", "ΣΊΣΥΦΟΣ",
	"世界", "こんにちは", "한국어", "한", "हिन्दी", "ไทย", "עברית", "العربية", "\u202eabc\u202c", "👩‍👩‍👧‍👦", "👍🏽", "🇩🇪", "e\u0301\u0302\u0303",
	"<|endoftext|>", "func main() {\n\t", "://", "...", "\\u0000", "\ufeff", "\ufffd", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𒀀𒁀", "﷽",
}

var spaces = []string{
	" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\r", "\v", "\f", "\u0085", "\u00a0", "\u1680", "\u2003", "\u2028", "\u2029", "\u200b", "\u202f", "\u3000",
}

// unusualCharacters samples all planes, so that there are about 3,000.
func unusualCharacters() []rune {
	var list []rune
	for r := rune(1); r <= utf8.MaxRune; r += 1 + r/400 {
		if utf8.ValidRune(r) {
			list = append(list, r)
		}
	}
	return slices.Clip(list)
}
