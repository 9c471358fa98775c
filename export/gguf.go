package export

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"trefoil/arch"
	"trefoil/internal/atomicfile"
	"trefoil/internal/gguf"
	"trefoil/internal/names"
	"trefoil/quant/packed"
)

// Architectures of GGUF files that a run fits. They differ in the gate of the
// feed-forward, which is not a setting there, in having sub-norms and a head of
// their own, and in where the scales of weights are: see [Run.separateScales].
const (
	bitnet    = "bitnet"       // SiLU, sub-norms, the embedding as head; llama.cpp, bitnet.cpp
	bitnetB58 = "bitnet-b1.58" // squared ReLU, sub-norms; bitnet.cpp, ik_llama.cpp
	llama     = "llama"        // SiLU, no sub-norms; all readers
)

func (r *Run) ggufArchitecture() string {
	switch {
	case r.Model.NoSubNorms:
		return llama
	case r.Model.Activation == arch.ReLU2:
		return bitnetB58
	}
	return bitnet
}

// llamaFileType is general.file_type in llama.cpp's numbering. I2_S is
// bitnet.cpp's own.
var llamaFileType = map[gguf.Type]uint32{gguf.F16: 1, gguf.TQ1_0: 36, gguf.TQ2_0: 37, gguf.I2_S: 40, gguf.Q2_0: 41}

// ggufType is the type of the linear layers: the one that the options name,
// or the first that holds them as they are and has blocks that divide their
// rows.
func (r *Run) ggufType(o Options) gguf.Type {
	if o.GGUF != nil {
		return *o.GGUF
	}
	candidates := []gguf.Type{gguf.TQ2_0, gguf.Q2_0}
	if r.ggufArchitecture() == bitnetB58 {
		candidates = []gguf.Type{gguf.I2_S}
	}
	for _, t := range candidates {
		if r.ternary() && r.rowsFit(t) == nil {
			return t
		}
	}
	return gguf.F16
}

// rowsFit reports the first linear layer whose rows are not whole blocks.
func (r *Run) rowsFit(t gguf.Type) error {
	for _, p := range linear(r.Model.Parameters()) {
		if _, err := t.Bytes(p.Shape); err != nil {
			return fmt.Errorf("tensor %s (%s): %w", names.GGUF.Of(p.Name), p.Name, err)
		}
	}
	return nil
}

// ggufFits reports what of the run the architecture has no place for.
func (r *Run) ggufFits(t gguf.Type) error {
	c, name := r.Model, r.ggufArchitecture()
	switch {
	case name == llama && c.Activation != arch.SiLU:
		return fmt.Errorf("no architecture of GGUF has a squared ReLU (model.activation) without norms before attn_output and ffn_down (model.sub_norms is false): use the format hf or safetensors")
	case c.UntiedHead && name == bitnet:
		return fmt.Errorf("the architecture %s uses the embedding as head, the run has a head of its own (model.tied_head is false): use the format hf", name)
	case c.QDim() != c.Dim && name != llama:
		return fmt.Errorf("the architecture %s wants heads of width dim/heads = %d, those of the run have %d (model.head_dim): use the format trefoil or safetensors", name, c.Dim/c.Heads, c.HeadDim())
	case !r.ternary() && t != gguf.F16:
		return fmt.Errorf("the run's weights are float32, and %v would make them ternary: use the type f16", t)
	}
	return r.rowsFit(t)
}

// separateScales reports whether scales are float32 tensors of their own,
// NAME.scale, beside codes of -1, 0 and 1: exact, but only bitnet has such
// tensors. Otherwise a weight is its code times the scale, rounded to half
// precision except in I2_S.
func (r *Run) separateScales(t gguf.Type) bool {
	return r.ternary() && r.ggufArchitecture() == bitnet && t != gguf.I2_S
}

func (r *Run) writeGGUF(ctx context.Context, path string, o Options) (*Output, error) {
	t := r.ggufType(o)
	if err := r.ggufFits(t); err != nil {
		return nil, err
	}
	keys, note, err := r.ggufKeys(t)
	if err != nil {
		return nil, err
	}
	tensors := r.ggufTensors(ctx, t, o)
	r.begin(r.Model.ParameterCount(), "writing %s", filepath.Base(path))
	if err := atomicfile.Write(path, func(w io.Writer) error { return gguf.Write(w, keys, tensors) }); err != nil {
		return nil, err
	}
	out := &Output{Notes: r.ggufNotes(t)}
	if note != "" {
		out.Notes = append(out.Notes, note)
	}
	out.Files, err = files(path)
	return out, err
}

func (r *Run) ggufNotes(t gguf.Type) []string {
	var notes []string
	if bits := r.Config.Quantization.Activations.Bits; r.ternary() {
		notes = append(notes, fmt.Sprintf("readers of GGUF choose how activations are rounded: the run's %d bits with one scale a token are not in the file", bits))
	}
	if r.ternary() && !r.separateScales(t) && t != gguf.I2_S {
		notes = append(notes, fmt.Sprintf("the architecture %s has no separate scales: those of the weights are rounded to half precision; the type i2_s keeps them", r.ggufArchitecture()))
	}
	return notes
}

// ggufKeys returns the metadata, and what of the tokenizer readers leave out.
func (r *Run) ggufKeys(t gguf.Type) (_ []gguf.KeyValue, note string, _ error) {
	c, name := r.Model, r.ggufArchitecture()
	keys := []gguf.KeyValue{
		{Key: "general.architecture", Value: name},
		{Key: "general.type", Value: "model"},
		{Key: "general.name", Value: r.Config.Name},
		{Key: "general.quantization_version", Value: uint32(2)},
		{Key: "general.file_type", Value: llamaFileType[t]},
	}
	add := func(key string, value any) { keys = append(keys, gguf.KeyValue{Key: name + "." + key, Value: value}) }
	add("vocab_size", uint32(c.Vocab))
	add("context_length", uint32(c.Context))
	add("embedding_length", uint32(c.Dim))
	add("block_count", uint32(c.Layers))
	add("feed_forward_length", uint32(c.FF))
	add("attention.head_count", uint32(c.Heads))
	add("attention.head_count_kv", uint32(c.KVHeads))
	add("attention.layer_norm_rms_epsilon", float32(c.NormEps))
	if name == llama {
		add("attention.key_length", uint32(c.HeadDim()))
		add("attention.value_length", uint32(c.HeadDim()))
	}
	add("rope.dimension_count", uint32(c.HeadDim()))
	add("rope.freq_base", float32(c.RopeBase))
	add("rope.scaling.type", "linear")
	add("rope.scaling.factor", float32(1))
	tokenizer, note, err := r.ggufTokenizer()
	return append(keys, tokenizer...), note, err
}

// ggufTensors lists the tensors in the order of the model.
func (r *Run) ggufTensors(ctx context.Context, t gguf.Type, o Options) []gguf.Tensor {
	var list []gguf.Tensor
	scales := r.separateScales(t)
	for _, p := range r.Model.Parameters() {
		name := names.GGUF.Of(p.Name)
		scale := []float32{1} // of the codes, once they are written
		list = append(list, gguf.Tensor{
			Name: name, Type: storedType(p, t, o), Shape: p.Shape,
			Fill: func(w *gguf.TensorWriter) error {
				tensor, err := r.frozen(ctx, p, o)
				if err != nil {
					return err
				}
				if scales {
					tensor.Scale, scale[0] = 1, tensor.Scale
				}
				if c := r.Model; turned(r.ggufArchitecture(), p) {
					tensor.Codes = neighbours(tensor.Codes, p.Shape[1], c.HeadDim())
					tensor.Values = neighbours(tensor.Values, p.Shape[1], c.HeadDim())
				}
				return fillGGUF(w, tensor)
			},
		})
		if p.Kind == arch.Linear && scales {
			list = append(list, gguf.Tensor{
				Name: names.Sibling(name, "scale"), Type: gguf.F32, Shape: []int{1},
				Fill: func(w *gguf.TensorWriter) error { return w.Float32(scale) },
			})
		}
	}
	return list
}

// storedType is the type of a parameter in a file whose linear layers are of
// type t. Readers want norms in float32.
func storedType(p arch.Parameter, t gguf.Type, o Options) gguf.Type {
	switch {
	case p.Kind == arch.Linear:
		return t
	case p.Kind == arch.Embedding && o.Float == packed.Float16:
		return gguf.F16
	}
	return gguf.F32
}

func fillGGUF(w *gguf.TensorWriter, t packed.Tensor) error {
	if t.Type != packed.Ternary {
		return w.Float32(t.Values)
	}
	return w.Ternary(t.Codes, t.Scale)
}
