// Package convert turns models of others into run folders: Hugging Face
// folders and GGUF files of the architectures llama, qwen2 and bitnet. Of qwen2
// those fit whose biases are all zero: Trefoil has none. Every qwen3 normalises
// queries and keys, and is refused.
//
//	m, err := convert.Open("Llama-3.2-1B", "")
//	defer m.Close()
//	err = m.Write(ctx, "runs/llama", convert.Options{Name: "llama"})
//
// What a model has that Trefoil has no place for, a bias, say, or a scaling of
// the rotary embedding, is an error that names it: a model that was opened
// computes what it computes elsewhere.
//
// # Ternary weights
//
// A run folder holds float32 weights, which are rounded anew whenever they are
// used. Codes with a scale gamma become the weights code * gamma / density,
// where density is the share of codes that are not zero: then mean|W| is gamma
// again, but for the last bits, and every code the same.
package convert

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"trefoil/arch"
	"trefoil/data"
	"trefoil/internal/names"
)

// A Model is a model of another format, opened. Its weights are read when they
// are asked for.
type Model struct {
	Path      string
	Arch      arch.Config
	Tokenizer *data.Tokenizer
	// Ternary tells whether the linear layers round their weights to ternary
	// codes and their inputs to 8 bits.
	Ternary bool
	// Notes are what the model's own program does around the model, and
	// Trefoil does not.
	Notes []string

	source source
}

// errQwen3 is why no model of the architecture qwen3 fits.
var errQwen3 = errors.New("qwen3 normalises the queries and keys of each head (q_norm, k_norm), for which Trefoil has no place: use a model of the architecture llama, qwen2 or bitnet")

// A source gives the tensors of a model.
type source interface {
	// weights returns a parameter as Trefoil orders it, [out, in].
	weights(p arch.Parameter) ([]float32, error)
	// nonFinite returns an error that names the place of the first element of a
	// parameter that is NaN or infinite.
	nonFinite(p arch.Parameter) error
	Close() error
}

// Open opens a Hugging Face folder or a GGUF file. tokenizer is the path of a
// tokenizer.json in place of the model's own, or empty.
func Open(path, tokenizer string) (*Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	var m *Model
	switch {
	case info.IsDir():
		m, err = openHuggingFace(path, tokenizer)
	case filepath.Ext(path) == ".safetensors":
		err = fmt.Errorf("%s has weights only: give the folder that it is in, with config.json and tokenizer.json", path)
	case filepath.Ext(path) == ".trefoil":
		err = fmt.Errorf("%s is packed already, to be run by cmd/generate: give the folder of the run that it was exported from to cmd/export or cmd/train -from", path)
	default:
		m, err = openGGUF(path, tokenizer)
	}
	if err != nil {
		return nil, err
	}
	m.Path = path
	if err := m.fitTokenizer(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), m.Close())
	}
	m.noteTokenizer()
	m.noteAround()
	return m, nil
}

// Close closes the model's files.
func (m *Model) Close() error { return m.source.Close() }

// Weights reads one parameter of m.Arch.Parameters.
func (m *Model) Weights(p arch.Parameter) ([]float32, error) {
	return m.source.weights(p)
}

// fitTokenizer checks that every id has a row of the embedding.
func (m *Model) fitTokenizer() error {
	ids := m.Tokenizer.Vocab()
	switch {
	case ids > m.Arch.Vocab:
		return fmt.Errorf("the tokenizer has %d ids, the embedding %d rows: it is the tokenizer of another model; give the right tokenizer.json with -tokenizer", ids, m.Arch.Vocab)
	case ids < m.Arch.Vocab:
		m.Notes = append(m.Notes, fmt.Sprintf("the embedding has %d rows more than the tokenizer has ids: they are kept", m.Arch.Vocab-ids))
	}
	return nil
}

// noteTokenizer tells of a tokenizer whose ids are another library's.
func (m *Model) noteTokenizer() {
	if _, err := m.Tokenizer.ByteLevel(); err != nil {
		m.Notes = append(m.Notes, fmt.Sprintf("%v: its ids are those of the library sugarme/tokenizer, which differ from the model's own for rare characters", err))
	}
}

// noteAround tells of tokens that other programs put around each text.
func (m *Model) noteAround() {
	before, after := m.Tokenizer.Around()
	add := func(ids []int32, where string) {
		if len(ids) > 0 {
			m.Notes = append(m.Notes, fmt.Sprintf("the tokenizer puts %s %s each text in other programs: Trefoil trains, evaluates and generates without it; exports keep it", m.Tokenizer.Decode(ids), where))
		}
	}
	add(before, "before")
	add(after, "behind")
}

// unknown returns an error that names tensors for which there is no place.
func unknown(tensors []string) error {
	if len(tensors) == 0 {
		return nil
	}
	slices.Sort(tensors)
	const shown = 8
	list := strings.Join(tensors[:min(shown, len(tensors))], ", ")
	if more := len(tensors) - shown; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Errorf("no place for the tensors %s%s in Trefoil's model: without them it would compute something else", list, meaning(tensors))
}

// meanings of parts of tensors' names, for errors.
var meanings = []struct{ part, means string }{
	{".bias", "biases"},
	{"q_norm", "norms of queries and keys"},
	{"rope_freqs", "a scaling of the rotary embedding"},
	{"_exps", "experts"}, {"experts", "experts"},
	{"lora", "an adapter: merge it into the model first"},
}

func meaning(tensors []string) string {
	var found []string
	for _, m := range meanings {
		if slices.ContainsFunc(tensors, func(t string) bool { return strings.Contains(t, m.part) }) && !slices.Contains(found, m.means) {
			found = append(found, m.means)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return " (" + strings.Join(found, ", ") + ")"
}

// wanted is the set of a scheme's names of all parameters.
func wanted(s names.Scheme, c arch.Config) map[string]bool {
	set := map[string]bool{}
	for _, p := range c.Parameters() {
		set[s.Of(p.Name)] = true
	}
	return set
}

// isZero reports whether a bias can be left out.
func isZero(w []float32) bool {
	return !slices.ContainsFunc(w, func(v float32) bool { return v != 0 })
}
