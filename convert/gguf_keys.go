package convert

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"trefoil/data"
	"trefoil/export"
)

// A keyReader reads the keys of an architecture, gathers mistakes, and knows
// which keys were never asked for.
type keyReader struct {
	s    *ggufSource
	seen map[string]bool
	errs []error
}

func (k *keyReader) key(name string) string {
	k.seen[name] = true
	return k.s.architecture + "." + name
}

func (k *keyReader) fail(name, format string, args ...any) {
	k.errs = append(k.errs, fmt.Errorf("key %s.%s: %s", k.s.architecture, name, fmt.Sprintf(format, args...)))
}

func (k *keyReader) int(name string) int {
	v, err := k.s.Int(k.key(name))
	if err != nil {
		k.errs = append(k.errs, err)
	}
	return v
}

func (k *keyReader) intOr(name string, otherwise int) int {
	if !k.s.Has(k.key(name)) {
		return otherwise
	}
	return k.int(name)
}

// float reads a float, which must be there if otherwise is 0.
func (k *keyReader) float(name string, otherwise float64) float64 {
	if key := k.key(name); otherwise != 0 && !k.s.Has(key) {
		return otherwise
	}
	v, err := k.s.Float(k.key(name))
	if err != nil {
		k.errs = append(k.errs, err)
	}
	return float64(shortest(v))
}

// shortest returns the float64 that prints like the float32 v: a file's 1e-5
// is not 9.999999747378752e-06.
func shortest(v float64) float64 {
	var x float64
	if _, err := fmt.Sscan(fmt.Sprint(float32(v)), &x); err != nil {
		return v
	}
	return x
}

// scaling refuses a scaling of the rotary embedding.
func (k *keyReader) scaling() {
	factor := k.float("rope.scaling.factor", 1)
	kind := "linear" // as in llama.cpp
	if key := k.key("rope.scaling.type"); k.s.Has(key) {
		var err error
		if kind, err = k.s.String(key); err != nil {
			k.errs = append(k.errs, err)
		}
	}
	if kind != "none" && (kind != "linear" || factor != 1) {
		k.fail("rope.scaling.type", "Trefoil has no scaling of the rotary embedding, and the model has the type %s with factor %v", kind, factor)
	}
}

// unknown refuses keys of the architecture that nobody asked for.
func (k *keyReader) unknown() {
	var keys []string
	for _, key := range k.s.Keys() {
		if name, ok := strings.CutPrefix(key.Name, k.s.architecture+"."); ok && !k.seen[name] {
			keys = append(keys, key.Name)
		}
	}
	if len(keys) > 0 {
		slices.Sort(keys)
		k.errs = append(k.errs, fmt.Errorf("the keys %s say something about the model that Trefoil has no place for", strings.Join(keys, ", ")))
	}
}

const (
	huggingFaceKey = "tokenizer.huggingface.json"
	modelKey       = "tokenizer.ggml.model"
	preKey         = "tokenizer.ggml.pre"
)

// addedType is llama.cpp's type of tokens that are found in a text before it is split.
const addedType = 4

// Token types of llama.cpp that are special.
var specialTypes = map[int]bool{2: true, 3: true, 5: true} // unknown, control, unused

// tokenizer makes the tokenizer: of the file at path, else of the
// tokenizer.json that the GGUF file holds, else of its own description.
func (s *ggufSource) tokenizer(path string) (*data.Tokenizer, error) {
	if path != "" {
		return data.LoadTokenizer(path)
	}
	if s.Has(huggingFaceKey) {
		text, err := s.String(huggingFaceKey)
		if err != nil {
			return nil, err
		}
		t, err := data.ParseTokenizer([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", huggingFaceKey, err)
		}
		return t, nil
	}
	return s.describedTokenizer()
}

// notes tells why ternary weights are imported as floats, and of a token before each text that only the metadata asks for; one
// that a tokenizer.json asks for is told of by [Model.noteAround].
func (s *ggufSource) notes(otherTokenizer bool) []string {
	notes := s.aroundNotes(otherTokenizer)
	if s.floatNote != "" {
		notes = append(notes, s.floatNote)
	}
	return notes
}

func (s *ggufSource) aroundNotes(otherTokenizer bool) []string {
	begins, err := s.Bool("tokenizer.ggml.add_bos_token")
	if err != nil || !begins || otherTokenizer || s.Has(huggingFaceKey) {
		return nil
	}
	return []string{"llama.cpp puts a token before each text (tokenizer.ggml.add_bos_token): Trefoil does not, and its exports do not ask for it"}
}

func (s *ggufSource) describedTokenizer() (*data.Tokenizer, error) {
	kind, err := s.String(modelKey)
	if err != nil {
		return nil, err
	}
	pre, _ := s.String(preKey)
	split, whole, ok := export.GGUFSplit(pre)
	if kind != "gpt2" || !ok {
		return nil, fmt.Errorf("keys %s and %s: the tokenizer %q with the split %q is not supported, only gpt2 with gpt-2, llama-bpe, smaug-bpe, qwen2 or smollm: give the model's tokenizer.json with -tokenizer", modelKey, preKey, kind, pre)
	}
	parts := data.ByteLevel{Split: split, WholeWords: whole}
	if parts.Tokens, err = s.Strings("tokenizer.ggml.tokens"); err != nil {
		return nil, err
	}
	var merges error
	parts.Merges, merges = s.Strings("tokenizer.ggml.merges")
	types, err := s.Ints("tokenizer.ggml.token_type")
	if err := errors.Join(merges, err); err != nil {
		return nil, err
	}
	if len(types) != len(parts.Tokens) {
		return nil, fmt.Errorf("key tokenizer.ggml.token_type: %d types for %d tokens", len(types), len(parts.Tokens))
	}
	parts.Special, parts.Added = make([]bool, len(types)), make([]bool, len(types))
	for id, t := range types {
		parts.Special[id], parts.Added[id] = specialTypes[t], t == addedType
	}
	return data.NewByteLevel(parts)
}
