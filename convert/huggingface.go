package convert

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"trefoil/arch"
	"trefoil/data"
	"trefoil/export"
	"trefoil/internal/kernel"
	"trefoil/internal/names"
	"trefoil/internal/regularfile"
	"trefoil/internal/safetensors"
)

const maxConfig = 16 << 20 // bytes of a config.json

// huggingFace is a source of safetensors with Hugging Face's names.
type huggingFace struct {
	*safetensors.Model
	quantized *quantConfig // nil in a float model
}

func openHuggingFace(dir, tokenizer string) (*Model, error) {
	path := filepath.Join(dir, "config.json")
	text, err := regularfile.Read(path, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(export.Folder(dir).Config()); err == nil {
			return nil, fmt.Errorf("%s is the folder of a run, which needs no import: give it to cmd/export, or to cmd/train -from", dir)
		}
		return nil, fmt.Errorf("%s is not the folder of a Hugging Face model, for it has no config.json: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := c.arch().Validate(); err != nil {
		return nil, fmt.Errorf("%s: %s", path, hfFields.Replace(err.Error()))
	}
	m := &Model{Path: dir, Ternary: c.Quantization != nil}
	if tokenizer == "" {
		tokenizer = filepath.Join(dir, "tokenizer.json")
		if _, err := os.Stat(tokenizer); err != nil {
			return nil, fmt.Errorf("%s has no tokenizer.json: give one with -tokenizer", dir)
		}
	}
	if m.Tokenizer, err = data.LoadTokenizer(tokenizer); err != nil {
		return nil, err
	}
	files, err := safetensors.OpenModel(dir)
	if err != nil {
		return nil, err
	}
	source := &huggingFace{files, c.Quantization}
	m.source, m.Arch = source, c.arch()
	if err = source.findHead(m, c); err == nil {
		err = source.check(m)
	}
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	return m, nil
}

// findHead tells whether the head is a matrix of its own: if the config says
// so, or says nothing and there is one, or if it is not the embedding. The last
// is what transformers does since release 5, with a warning.
func (h *huggingFace) findHead(m *Model, c hfConfig) error {
	head, embedding := names.HuggingFace.Of(arch.HeadName), names.HuggingFace.Of(arch.EmbeddingName)
	if m.Arch.UntiedHead || !h.Has(head) {
		return nil
	}
	if c.TiedHead == nil {
		m.Arch.UntiedHead = true
		return nil
	}
	same, err := h.equal(head, embedding)
	if err == nil && !same {
		m.Arch.UntiedHead = true
		m.Notes = append(m.Notes, fmt.Sprintf("config.json ties the head to the embedding (tie_word_embeddings), but %s differs from %s: it is kept as a head of its own", head, embedding))
	}
	return err
}

// equal reports whether two tensors have the same type, shape and bytes. Of
// these it compares SHA-256 sums, for a head can be too large to hold.
func (h *huggingFace) equal(a, b string) (bool, error) {
	x, _, err := h.Find(a)
	if err != nil {
		return false, err
	}
	y, _, err := h.Find(b)
	if err != nil || x.DType != y.DType || !slices.Equal(x.Shape, y.Shape) {
		return false, err
	}
	var sums [2][]byte
	for i, name := range []string{a, b} {
		sum := sha256.New()
		if err := h.Scan(name, func(block []byte) error { _, err := sum.Write(block); return err }); err != nil {
			return false, err
		}
		sums[i] = sum.Sum(nil)
	}
	return bytes.Equal(sums[0], sums[1]), nil
}

// check compares the names and shapes of all tensors with the architecture.
func (h *huggingFace) check(m *Model) error {
	for _, p := range m.Arch.Parameters() {
		if err := h.checkShape(p); err != nil {
			return err
		}
	}
	known := wanted(names.HuggingFace, m.Arch)
	var others []string
	for _, t := range h.Tensors() {
		switch {
		case known[t.Name],
			strings.HasSuffix(t.Name, "rotary_emb.inv_freq"),                    // follows from the config
			t.Name == names.HuggingFace.Of(arch.HeadName) && !m.Arch.UntiedHead, // a copy of the embedding
			strings.HasSuffix(t.Name, ".weight_scale") && h.quantized.offline():
			continue
		case strings.HasSuffix(t.Name, ".bias"):
			if w, err := h.Float32(t.Name); err != nil {
				return err
			} else if isZero(w) {
				continue
			}
		}
		others = append(others, t.Name)
	}
	if err := unknown(others); err != nil {
		return fmt.Errorf("%s: %w", m.Path, err)
	}
	return nil
}

// checkShape checks a parameter's shape; that of packed codes has a quarter of
// the rows.
func (h *huggingFace) checkShape(p arch.Parameter) error {
	name := names.HuggingFace.Of(p.Name)
	shape, err := h.Shape(name)
	if err != nil {
		return err
	}
	if len(shape) == len(p.Shape) && shape[len(shape)-1] == p.Shape[len(shape)-1] {
		if shape[0] == p.Shape[0] || h.isPacked(p, shape) {
			return nil
		}
	}
	_, path, err := h.Find(name)
	return errors.Join(fmt.Errorf("%s: tensor %s: shape is %v, but config.json asks for %v", path, name, shape, p.Shape), err)
}

// rowsPerByte is how many codes of a column a byte holds.
const rowsPerByte = 4

func (h *huggingFace) isPacked(p arch.Parameter, shape []int) bool {
	return p.Kind == arch.Linear && h.quantized.offline() && shape[0] == (p.Shape[0]+rowsPerByte-1)/rowsPerByte && shape[0] != p.Shape[0]
}

func (h *huggingFace) weights(p arch.Parameter) ([]float32, error) {
	name := names.HuggingFace.Of(p.Name)
	if p.Kind != arch.Linear || !h.quantized.offline() {
		return h.Float32(name, p.Shape...)
	}
	scale, err := h.scale(name)
	if err != nil {
		return nil, err
	}
	shape, err := h.Shape(name)
	if err != nil {
		return nil, err
	}
	var w []float32
	if h.isPacked(p, shape) {
		b, err := h.Bytes(name)
		if err != nil {
			return nil, err
		}
		if w, err = unpack(b, p.Shape[0], p.Shape[1]); err != nil {
			return nil, h.inTensor(name, err)
		}
	} else if w, err = h.Float32(name, p.Shape...); err != nil {
		return nil, err
	}
	for i := range w {
		w[i] *= scale
	}
	w, ok := learnable(w)
	if !ok {
		return nil, h.inTensor(name, errors.New("its elements are not -1, 0 and 1 times one number, and quantization_config says that they are ternary (offline): rounding them would change the model"))
	}
	return w, nil
}

// inTensor adds the file, the tensor and its place to an error.
func (h *huggingFace) inTensor(name string, err error) error {
	t, path, missing := h.Find(name)
	return errors.Join(fmt.Errorf("%s: tensor %s, at byte %d: %w", path, name, t.Offset, err), missing)
}

// nonFinite returns an error that names the first element of a parameter that
// is NaN or infinite.
func (h *huggingFace) nonFinite(p arch.Parameter) error {
	name := names.HuggingFace.Of(p.Name)
	t, _, err := h.Find(name)
	if err != nil {
		return err
	}
	w, err := h.Float32(name)
	if err != nil { // codes, whose scale is at fault
		return h.inTensor(names.Sibling(name, "weight_scale"), errors.New("codes times this scale are not finite"))
	}
	i := max(0, kernel.FirstNonFinite(w))
	return h.inTensor(name, fmt.Errorf("element %d, at byte %d, is %v", i, t.Offset+int64(i*t.DType.Bytes()), w[i]))
}

// scale returns what the codes of a layer are multiplied by: AutoBitLinear
// multiplies by weight_scale, BitLinear divides.
func (h *huggingFace) scale(name string) (float32, error) {
	name = names.Sibling(name, "weight_scale")
	s, err := h.Float32(name, 1)
	if err != nil {
		return 0, err
	}
	if !(s[0] > 0) {
		return 0, h.inTensor(name, fmt.Errorf("%v is not a scale above 0", s[0]))
	}
	if h.quantized.LinearClass != autoBitLinear {
		return 1 / s[0], nil
	}
	return s[0], nil
}

// unpack returns the codes [out, in] of bytes [out/4, in]: the byte of row r
// holds code + 1 of the rows r, r + n, r + 2n and r + 3n, the first in the
// lowest bits, where n is out/4 rounded up.
func unpack(b []byte, out, in int) ([]float32, error) {
	rows := (out + rowsPerByte - 1) / rowsPerByte
	if len(b) != rows*in {
		return nil, fmt.Errorf("%d bytes, want %d for shape [%d %d]", len(b), rows*in, out, in)
	}
	w := make([]float32, out*in)
	for i := range w {
		code := b[i%len(b)] >> (2 * (i / len(b))) & 3
		if code == 3 {
			return nil, fmt.Errorf("element %d has the code 3: ternary codes are 0, 1 and 2", i)
		}
		w[i] = float32(code) - 1
	}
	return w, nil
}
