package interop

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"trefoil/export"
	"trefoil/quant/packed"
)

// mixedBytes is the length of the text that is turned to ids.
const mixedBytes = 1 << 20

// modelTokenizers are the forms in which models have byte-level BPE: see
// make_tokenizer.py.
var modelTokenizers = []string{"llama3", "smaug", "qwen2", "qwen2-nfc", "smollm"}

// Texts give the ids that they give in Trefoil, for each kind of tokenizer: those
// that Trefoil makes, and those of models, which the package tokenizers makes.
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
	for _, kind := range append([]string{"bpe", "char", "byte"}, modelTokenizers...) {
		run := siluRun
		if kind != "bpe" {
			run = sync.OnceValues(func() (string, error) { return trainOn(path, kind) })
		}
		t.Run(kind, func(t *testing.T) {
			if slices.Contains(modelTokenizers, kind) {
				python := have(t, installPython)
				file := filepath.Join(t.TempDir(), "tokenizer.json")
				output(t, exec.Command(python, "make_tokenizer.py", kind, path, file))
				run = func() (string, error) {
					return trainOn(path, kind, "data.tokenizer.kind=file", "data.tokenizer.path="+file)
				}
			}
			m := open(t, run, export.Options{Float: packed.Float32})
			want := m.tokenizer.Encode(nil, text)
			t.Run("llama.cpp", func(t *testing.T) {
				have(t, installNode)
				noNFC(t, kind)
				sameIDs(t, m, want, llamaCpp(t, job{Model: m.write(t, export.GGUF, "-type", "f16"), Text: path}).ids)
			})
			t.Run("transformers and tokenizers", func(t *testing.T) {
				have(t, installPython)
				sameIDs(t, m, want, transformers(t, job{Model: m.write(t, export.HuggingFace), Text: path}).ids)
			})
			t.Run("ik_llama.cpp", func(t *testing.T) {
				python := haveIkLlama(t)
				if slices.Contains(modelTokenizers, kind) {
					t.Skip("ik_llama.cpp takes U+0085 for no white space in the splits of models")
				}
				sameIDs(t, m, want, ask(t, job{Model: m.write(t, export.GGUF, "-type", "f16"), Text: path}, python, "ik_llama.py").ids)
			})
		})
	}
}

// noNFC skips what readers of GGUF do not do with a tokenizer that composes
// characters.
func noNFC(t *testing.T, kind string) {
	t.Helper()
	if kind == "qwen2-nfc" {
		t.Skip("readers of GGUF do not compose characters, which cmd/export says")
	}
}

func sameIDs(t *testing.T, m *model, want, got []int32) {
	t.Helper()
	i := 0
	for i < min(len(want), len(got)) && want[i] == got[i] {
		i++
	}
	if i < len(want) || i < len(got) {
		show := func(ids []int32) (tokens []string) {
			for _, id := range ids[max(0, i-8):min(len(ids), i+8)] {
				tokens = append(tokens, string(m.tokenizer.Decode([]int32{id})))
			}
			return tokens
		}
		t.Fatalf("token %d of %d is another: ours are %q, theirs (%d) %q", i, len(want), show(want), len(got), show(got))
	}
	t.Logf("%d tokens are the same", len(want))
}

// trainOn makes a run whose tokenizer is made of a text. What the model learns
// is of no interest.
func trainOn(path, kind string, settings ...string) (string, error) {
	return train(kind, append([]string{"data.path=" + path, "data.include=[]", "data.tokenizer.kind=" + kind,
		"model.dim=64", "model.heads=2", "model.kv_heads=2", "model.ff=64", "model.layers=1", "model.context=16",
		"train.steps=2", "train.batch=1", "train.warmup=1", "train.eval_every=2", "train.eval_batches=1"}, settings...)...)
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
	"<|endoftext|>", "<tool_call>", "<tool_call>s", "IT'S", "'\u017ft", "!\n\n", "1234567", "func main() {\n\t", "://", "...", "\\u0000", "\ufeff", "\ufffd", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𒀀𒁀", "﷽",
}

var spaces = []string{
	" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", " \n ", "\r", "\v", "\f", "\u0085", "\u00a0", "\u1680", "\u2003", "\u2028", "\u2029", "\u200b", "\u202f", "\u3000",
}

// unusualCharacters samples all planes, so that there are about 3,000 that Unicode
// has, and some that it does not. Of the rest programs differ in what they know: in
// letters, tokenizers follows Unicode 16, and Go and llama.cpp Unicode 15.
func unusualCharacters() []rune {
	var list []rune
	for r := rune(1); r <= utf8.MaxRune; r += 1 + r/500 {
		assigned := unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf, unicode.Co)
		// Marks that move when characters are composed: tokenizers knows those of old.
		moves := r > 0x36f && norm.NFC.PropertiesString(string(r)).CCC() != 0
		if utf8.ValidRune(r) && (assigned || r > 0xe0fff) && !moves {
			list = append(list, r)
		}
	}
	return slices.Clip(list)
}
