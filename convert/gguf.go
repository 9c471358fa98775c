package convert

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"trefoil/arch"
	"trefoil/export"
	"trefoil/internal/gguf"
	"trefoil/internal/names"
)

// ggufSource is a source of a GGUF file's tensors.
type ggufSource struct {
	*gguf.File
	architecture string
	model        arch.Config
	ternary      bool
}

// ggufArchitectures are those that can be imported. bitnet ones have sub-norms
// and ternary weights.
var ggufArchitectures = map[string]struct {
	activation arch.Activation
	bitnet     bool
}{
	"llama":        {arch.SiLU, false},
	"qwen2":        {arch.SiLU, false},
	"qwen3":        {arch.SiLU, false},
	"bitnet":       {arch.SiLU, true},
	"bitnet-b1.58": {arch.ReLU2, true},
	"bitnet-25":    {arch.ReLU2, true},
}

func openGGUF(path, tokenizer string) (*Model, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	s := &ggufSource{File: file}
	m := &Model{source: s}
	if err = s.describe(); err == nil {
		m.Arch, m.Ternary = s.model, s.ternary
		if err = s.check(); err == nil {
			m.Tokenizer, err = s.tokenizer(tokenizer)
			m.Notes = s.notes(tokenizer != "")
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return m, nil
}

// describe reads the architecture from the metadata.
func (s *ggufSource) describe() error {
	if err := s.whole(); err != nil {
		return err
	}
	var err error
	if s.architecture, err = s.String("general.architecture"); err != nil {
		return err
	}
	kind, ok := ggufArchitectures[s.architecture]
	if !ok {
		return fmt.Errorf("key general.architecture: %q is not supported: use a model of the architecture llama, qwen2, qwen3, bitnet or bitnet-b1.58", s.architecture)
	}
	embedding, ok := s.Tensor(names.GGUF.Of(arch.EmbeddingName))
	if !ok || len(embedding.Shape) != 2 {
		return fmt.Errorf("tensor %s is missing, or no matrix", names.GGUF.Of(arch.EmbeddingName))
	}
	k := keyReader{s: s, seen: map[string]bool{"vocab_size": true}}
	s.model = arch.Config{
		Vocab:      embedding.Shape[0],
		Dim:        k.int("embedding_length"),
		Layers:     k.int("block_count"),
		Heads:      k.int("attention.head_count"),
		FF:         k.int("feed_forward_length"),
		Context:    k.int("context_length"),
		NormEps:    k.float("attention.layer_norm_rms_epsilon", 0),
		RopeBase:   k.float("rope.freq_base", 10000),
		Activation: kind.activation,
		NoSubNorms: !kind.bitnet,
		UntiedHead: s.hasHead(),
	}
	s.model.KVHeads = k.intOr("attention.head_count_kv", s.model.Heads)
	s.headWidth(&k)
	k.scaling()
	k.unknown()
	if err := errors.Join(errors.Join(k.errs...), s.model.Validate()); err != nil {
		return err
	}
	s.ternary = kind.bitnet || s.allTernary()
	return nil
}

// whole refuses one of several files that a model was split into.
func (s *ggufSource) whole() error {
	const numberKey, countKey = "split.no", "split.count"
	if !s.Has(countKey) {
		return nil
	}
	count, err := s.Int(countKey)
	if err != nil || count < 2 {
		return err
	}
	number, err := s.Int(numberKey)
	if err != nil {
		return err
	}
	return fmt.Errorf("key %s: this is file %d of %d of a model: join them with llama.cpp's llama-gguf-split --merge and import the whole", countKey, number+1, count)
}

func (s *ggufSource) hasHead() bool {
	_, ok := s.Tensor(names.GGUF.Of(arch.HeadName))
	return ok
}

// headWidth reads the width of a head, for which there are three keys.
func (s *ggufSource) headWidth(k *keyReader) {
	c := &s.model
	width := 0
	if c.Heads > 0 {
		width = c.Dim / c.Heads
	}
	key := k.intOr("attention.key_length", width)
	value := k.intOr("attention.value_length", key)
	rotated := k.intOr("rope.dimension_count", key)
	if value != key || rotated != key {
		k.fail("attention.key_length", "heads of %d for keys, %d for values and %d rotated: Trefoil has one width, and rotates all of it", key, value, rotated)
	}
	if key != width || c.Heads > 0 && c.Dim%c.Heads != 0 {
		c.HeadWidth = key
	}
}

// check compares the names and shapes of all tensors with the architecture.
func (s *ggufSource) check() error {
	known := wanted(names.GGUF, s.model)
	for _, p := range s.model.Parameters() {
		name := names.GGUF.Of(p.Name)
		if err := s.Decodable(name); err != nil {
			return err
		}
		t, _ := s.Tensor(name)
		if !slices.Equal(t.Shape, p.Shape) {
			return fmt.Errorf("tensor %s: shape is %v, but the metadata asks for %v", name, t.Shape, p.Shape)
		}
		if p.Kind == arch.Linear && s.ternary {
			known[names.Sibling(name, "scale")] = true
		}
	}
	var others []string
	for _, t := range s.Tensors() {
		if known[t.Name] {
			continue
		}
		if strings.HasSuffix(t.Name, ".bias") {
			if w, err := s.Float32(t.Name); err != nil {
				return err
			} else if isZero(w) {
				continue
			}
		}
		others = append(others, t.Name)
	}
	return unknown(others)
}

func (s *ggufSource) weights(p arch.Parameter) ([]float32, error) {
	w, err := export.ReadGGUF(s.Reader, s.model, p)
	if err == nil && s.ternary && p.Kind == arch.Linear {
		w, _ = learnable(w)
	}
	return w, err
}

// allTernary reports whether the file has its linear layers in types for
// ternary weights, each layer with one scale. Readers multiply such weights
// with 8-bit inputs.
func (s *ggufSource) allTernary() bool {
	for _, p := range s.model.Parameters() {
		t, ok := s.Tensor(names.GGUF.Of(p.Name))
		if p.Kind != arch.Linear {
			continue
		}
		if !ok || !slices.Contains([]gguf.Type{gguf.TQ1_0, gguf.TQ2_0, gguf.Q2_0, gguf.I2_S}, t.Type) || !s.oneScale(t.Name) {
			return false
		}
	}
	return true
}

// oneScale reports whether the elements of a tensor are ternary with one scale.
func (s *ggufSource) oneScale(name string) bool {
	var gamma float32
	err := s.Scan(name, func(x []float32) error {
		g, _, ok := ternaryScale(x)
		if !ok || g != 0 && gamma != 0 && g != gamma {
			return errors.New("several scales")
		}
		gamma = max(gamma, g)
		return nil
	})
	return err == nil
}
