package convert

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"trefoil/arch"
	"trefoil/export"
	"trefoil/internal/gguf"
	"trefoil/internal/kernel"
	"trefoil/internal/names"
)

// ggufSource is a source of a GGUF file's tensors.
type ggufSource struct {
	*gguf.File
	architecture string
	path         string
	model        arch.Config
	ternary      bool
	floatNote    string // why the linear layers are floats although they could be meant to be ternary
}

// ggufArchitectures are those that can be imported. bitnet ones have sub-norms.
var ggufArchitectures = map[string]struct {
	activation arch.Activation
	bitnet     bool
}{
	"llama":        {arch.SiLU, false},
	"qwen2":        {arch.SiLU, false},
	"bitnet":       {arch.SiLU, true},
	"bitnet-b1.58": {arch.ReLU2, true},
	"bitnet-25":    {arch.ReLU2, true},
}

func openGGUF(path, tokenizer string) (*Model, error) {
	file, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	s := &ggufSource{File: file, path: path}
	m := &Model{source: s}
	if err = s.describe(); err == nil {
		m.Arch = s.model
		if err = s.check(); err == nil {
			m.Ternary = s.ternary
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
	switch {
	case s.architecture == "qwen3":
		return fmt.Errorf("key general.architecture: %w", errQwen3)
	case !ok:
		return fmt.Errorf("key general.architecture: %q is not supported: use a model of the architecture llama, qwen2, bitnet or bitnet-b1.58", s.architecture)
	}
	embedding, ok := s.Tensor(names.GGUF.Of(arch.EmbeddingName))
	if !ok || len(embedding.Shape) != 2 {
		return fmt.Errorf("tensor %s is missing, or no matrix", names.GGUF.Of(arch.EmbeddingName))
	}
	k := keyReader{s: s, seen: map[string]bool{}}
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
	if rows := k.intOr("vocab_size", s.model.Vocab); rows != s.model.Vocab {
		k.fail("vocab_size", "%d, but tensor %s has %d rows", rows, embedding.Name, s.model.Vocab)
	}
	k.scaling()
	k.unknown()
	if err := errors.Join(k.errs...); err != nil {
		return err
	}
	if err := s.model.Validate(); err != nil {
		return errors.New(s.fields().Replace(err.Error()))
	}
	return nil
}

// fields names the fields of [arch.Config] by the keys of the file.
func (s *ggufSource) fields() *strings.Replacer {
	a := s.architecture + "."
	return strings.NewReplacer("vocab:", a+"vocab_size:", "head_dim:", a+"attention.key_length:", "dim:", a+"embedding_length:", "layers:", a+"block_count:",
		"kv_heads:", a+"attention.head_count_kv:", "heads:", a+"attention.head_count:", "ff:", a+"feed_forward_length:", "context:", a+"context_length:",
		"rope_base:", a+"rope.freq_base:", "norm_eps:", a+"attention.layer_norm_rms_epsilon:")
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
	for _, p := range s.model.Parameters() {
		name := names.GGUF.Of(p.Name)
		if err := s.Decodable(name); err != nil {
			return err
		}
		t, _ := s.Tensor(name)
		if !slices.Equal(t.Shape, p.Shape) {
			return fmt.Errorf("tensor %s: shape is %v, but the metadata asks for %v", name, t.Shape, p.Shape)
		}
	}
	if err := s.findTernary(); err != nil {
		return err
	}
	known := wanted(names.GGUF, s.model)
	for _, p := range s.model.Parameters() {
		if p.Kind == arch.Linear && s.hasScales() {
			known[names.Sibling(names.GGUF.Of(p.Name), "scale")] = true
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
	ok := true
	if err == nil && s.ternary && p.Kind == arch.Linear {
		if w, ok = learnable(w); !ok {
			err = fmt.Errorf("tensor %s: times its scale it is not ternary", names.GGUF.Of(p.Name))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return w, nil
}

func (s *ggufSource) nonFinite(p arch.Parameter) error {
	name, n := names.GGUF.Of(p.Name), 0
	t, _ := s.Tensor(name)
	what := "an element times the scale is not finite"
	err := s.Scan(name, func(x []float32) error {
		if i := kernel.FirstNonFinite(x); i >= 0 {
			what = fmt.Sprintf("element %d is %v", n+i, x[i])
			return errFound
		}
		n += len(x)
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return fmt.Errorf("%s: tensor %s of type %v, at byte %d: %s", s.path, name, t.Type, t.Offset, what)
}

// errFound ends a scan of a tensor.
var errFound = errors.New("found")

// ternaryTypes are for ternary weights, which readers multiply with 8-bit inputs.
var ternaryTypes = []gguf.Type{gguf.TQ1_0, gguf.TQ2_0, gguf.Q2_0, gguf.I2_S}

// findTernary tells whether the linear layers are ternary and their inputs
// rounded: if each is ternary with one scale, and the architecture is bitnet or
// the types are for ternary weights. If only a part of that holds, they are
// floats, as they are to llama.cpp, and a note says why.
func (s *ggufSource) findTernary() error {
	bitnet := ggufArchitectures[s.architecture].bitnet
	other := ""
	for _, p := range s.model.Parameters() {
		if p.Kind != arch.Linear {
			continue
		}
		t, _ := s.Tensor(names.GGUF.Of(p.Name))
		ok, err := s.oneScale(t.Name)
		if err != nil {
			return err
		}
		forTernary := slices.Contains(ternaryTypes, t.Type)
		if !ok {
			if bitnet || forTernary {
				s.floatNote = fmt.Sprintf("tensor %s of type %v is not ternary with one scale: the linear layers are imported as floats, with inputs that are not rounded", t.Name, t.Type)
			}
			return nil
		}
		if !forTernary {
			other = fmt.Sprintf("the weights are ternary, but of type %v (%s), whose readers do not round inputs to 8 bits: the linear layers are imported as floats", t.Type, t.Name)
		}
	}
	if s.ternary = bitnet || other == ""; !s.ternary {
		s.floatNote = other
	}
	return nil
}

// hasScales reports whether the architecture has scales of weights as tensors
// of their own.
func (s *ggufSource) hasScales() bool { return ggufArchitectures[s.architecture].bitnet }

// oneScale reports whether the elements of a tensor are ternary with one scale.
func (s *ggufSource) oneScale(name string) (bool, error) {
	var gamma float32
	err := s.Scan(name, func(x []float32) error {
		g, _, ok := ternaryScale(x)
		if !ok || g != 0 && gamma != 0 && g != gamma {
			return errFound
		}
		gamma = max(gamma, g)
		return nil
	})
	if errors.Is(err, errFound) {
		return false, nil
	}
	return err == nil, err
}
