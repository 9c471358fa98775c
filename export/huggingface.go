package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"trefoil/data"
	"trefoil/internal/atomicfile"
	"trefoil/internal/names"
	"trefoil/quant"
	"trefoil/schedule"
)

// hfConfig is a config.json of BitNetForCausalLM or LlamaForCausalLM. The base
// of the rotary embedding is in it twice, for old and new releases of
// transformers, and so is the type of numbers.
type hfConfig struct {
	Architectures    []string       `json:"architectures"`
	ModelType        string         `json:"model_type"`
	Vocab            int            `json:"vocab_size"`
	Dim              int            `json:"hidden_size"`
	FF               int            `json:"intermediate_size"`
	Layers           int            `json:"num_hidden_layers"`
	Heads            int            `json:"num_attention_heads"`
	KVHeads          int            `json:"num_key_value_heads"`
	HeadDim          int            `json:"head_dim"`
	Activation       string         `json:"hidden_act"`
	Context          int            `json:"max_position_embeddings"`
	NormEps          float64        `json:"rms_norm_eps"`
	RopeTheta        float64        `json:"rope_theta"`
	Rope             hfRope         `json:"rope_parameters"`
	TiedHead         bool           `json:"tie_word_embeddings"`
	AttentionBias    bool           `json:"attention_bias"`
	AttentionDropout float64        `json:"attention_dropout"`
	InitializerRange float64        `json:"initializer_range"`
	UseCache         bool           `json:"use_cache"`
	BeginToken       *int32         `json:"bos_token_id"`
	EndToken         *int32         `json:"eos_token_id"`
	PadToken         *int32         `json:"pad_token_id"`
	DType            string         `json:"dtype"`
	TorchDType       string         `json:"torch_dtype"`
	Quantization     *hfQuantConfig `json:"quantization_config,omitempty"`
}

type hfRope struct {
	Type  string  `json:"rope_type"`
	Theta float64 `json:"rope_theta"`
}

// hfQuantConfig asks transformers for its AutoBitLinear: "online" rounds the
// weights that are stored at each use, "offline" has their codes and scales.
type hfQuantConfig struct {
	Method       string   `json:"quant_method"`
	LinearClass  string   `json:"linear_class"`
	Mode         string   `json:"quantization_mode"`
	NotConverted []string `json:"modules_to_not_convert"`
}

// huggingFaceFits reports what of the run transformers would compute
// otherwise.
func (r *Run) huggingFaceFits(f Format) error {
	c, q := r.Model, r.Config.Quantization
	bits := q.Activations.Bits
	switch {
	case !c.NoSubNorms && c.QDim() != c.Dim:
		return fmt.Errorf("BitNetForCausalLM wants heads of width dim/heads = %d, those of the run have %d (model.head_dim)", c.Dim/c.Heads, c.HeadDim())
	case !r.ternary() && f == PackedHuggingFace:
		return fmt.Errorf("the run's weights are float32, and 2 bits would make them ternary: use the format hf")
	case !r.ternary() && bits != schedule.Float:
		return fmt.Errorf("transformers has no layer of float32 weights and activations of %d bits", bits)
	case r.ternary() && bits != 8:
		return fmt.Errorf("transformers rounds the inputs of ternary layers to 8 bits, the run to %d (quantization.activations.bits): use the format trefoil or safetensors", bits)
	case f == HuggingFace && r.ternary() && q.Weights.Scale != quant.AbsMean:
		return fmt.Errorf("transformers scales weights by absmean, the run by %s (quantization.weights.scale): use the format hf-packed", q.Weights.Scale)
	}
	if f != PackedHuggingFace {
		return nil
	}
	for _, p := range linear(c.Parameters()) {
		if p.Shape[0]%rowsPerByte != 0 {
			return fmt.Errorf("tensor %s (%s): %d rows do not divide into bytes of %d: use the format hf", names.HuggingFace.Of(p.Name), p.Name, p.Shape[0], rowsPerByte)
		}
	}
	return nil
}

func (r *Run) huggingFaceConfig(f Format, tokenizer *data.Tokenizer) hfConfig {
	c := r.Model
	out := hfConfig{
		Architectures: []string{"BitNetForCausalLM"}, ModelType: "bitnet",
		Vocab: c.Vocab, Dim: c.Dim, FF: c.FF, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim(),
		Activation: string(c.Activation), Context: c.Context, NormEps: c.NormEps,
		RopeTheta: c.RopeBase, Rope: hfRope{"default", c.RopeBase}, TiedHead: !c.UntiedHead,
		InitializerRange: 0.02, UseCache: true, DType: "float32", TorchDType: "float32",
	}
	if c.NoSubNorms {
		out.Architectures, out.ModelType = []string{"LlamaForCausalLM"}, "llama"
	}
	if end, ok := tokenizer.EndOfText(); ok {
		out.BeginToken, out.EndToken = &end, &end
	}
	if before, _ := tokenizer.Around(); len(before) > 0 {
		out.BeginToken = &before[0]
	}
	if r.ternary() {
		out.Quantization = &hfQuantConfig{"bitnet", "autobitlinear", "online", []string{"lm_head"}}
		if f == PackedHuggingFace {
			out.Quantization.Mode = "offline"
		}
	}
	return out
}

// A part is a file of a folder.
type part struct {
	name  string
	write func(io.Writer) error
}

// huggingFaceParts are the files beside the weights; config.json, by which a
// folder is known for a model, is the last.
func (r *Run) huggingFaceParts(f Format) ([]part, error) {
	tokenizer, err := data.ParseTokenizer(r.Tokenizer)
	if err != nil {
		return nil, err
	}
	config, special := r.huggingFaceConfig(f, tokenizer), specialTokens(tokenizer)
	return []part{
		{"tokenizer.json", func(w io.Writer) error { return writeBytes(w, r.Tokenizer) }},
		{"tokenizer_config.json", jsonWriter(tokenizerConfig(config, special))},
		{"special_tokens_map.json", jsonWriter(special)},
		{"generation_config.json", jsonWriter(generationConfig(config))},
		{cardFile, func(w io.Writer) error { return r.writeCard(w, f) }},
		{"config.json", jsonWriter(config)},
	}, nil
}

// writeHuggingFace writes a folder. The files of an older export in it are
// replaced when all new ones are whole, so that no failure mixes the two.
func (r *Run) writeHuggingFace(ctx context.Context, dir string, f Format, o Options) (*Output, error) {
	if err := r.huggingFaceFits(f); err != nil {
		return nil, err
	}
	parts, err := r.huggingFaceParts(f)
	if err != nil {
		return nil, err
	}
	weights := func(w io.Writer) error { return r.writeHuggingFaceWeights(ctx, w, f, o) }
	parts = append([]part{{weightsFile, weights}}, parts...)
	if err := checkFolder(dir, parts); err != nil {
		return nil, err
	}
	_, missing := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	if err := noOtherWeights(dir); err != nil {
		return nil, err
	}
	if err := replaceParts(dir, parts); err != nil {
		if missing != nil {
			err = errors.Join(err, os.Remove(dir))
		}
		return nil, err
	}
	var paths []string
	for _, p := range parts {
		paths = append(paths, filepath.Join(dir, p.name))
	}
	out := &Output{}
	out.Files, err = files(paths...)
	return out, err
}

// replaceParts writes all parts to a folder in dir before it moves them there.
func replaceParts(dir string, parts []part) (err error) {
	stage, err := os.MkdirTemp(dir, ".export-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	for _, p := range parts {
		if err := atomicfile.Write(filepath.Join(stage, p.name), p.write); err != nil {
			return fmt.Errorf("writing %s: %w", filepath.Join(dir, p.name), errors.Unwrap(err))
		}
	}
	for _, p := range parts {
		if err := os.Rename(filepath.Join(stage, p.name), filepath.Join(dir, p.name)); err != nil {
			return err
		}
	}
	return nil
}

const weightsFile = "model.safetensors"

// noOtherWeights refuses a folder with the index of a model in several files,
// which a reader may prefer to the one file that is written.
func noOtherWeights(dir string) error {
	index := filepath.Join(dir, weightsFile+".index.json")
	if _, err := os.Stat(index); err == nil {
		return fmt.Errorf("%s belongs to another model: choose another folder", index)
	}
	return nil
}

func writeBytes(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

func jsonWriter(v any) func(io.Writer) error {
	return func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
}

// tokenizerConfig makes transformers use tokenizer.json as it is.
func tokenizerConfig(c hfConfig, special map[string]string) map[string]any {
	out := map[string]any{
		"tokenizer_class":              "PreTrainedTokenizerFast",
		"model_max_length":             c.Context,
		"clean_up_tokenization_spaces": false,
	}
	for key, name := range special {
		out[key] = name
	}
	return out
}

// specialTokens names the token that ends a text, and the one that begins the
// next: the same, unless the tokenizer puts another one before each text.
func specialTokens(t *data.Tokenizer) map[string]string {
	special := map[string]string{}
	if end, ok := t.EndOfText(); ok {
		special["eos_token"] = string(t.Decode([]int32{end}))
		special["bos_token"] = special["eos_token"]
	}
	if before, _ := t.Around(); len(before) > 0 {
		special["bos_token"] = string(t.Decode(before[:1]))
	}
	return special
}

func generationConfig(c hfConfig) map[string]any {
	out := map[string]any{"do_sample": true, "temperature": 0.8, "top_p": 0.95}
	if c.BeginToken != nil {
		out["bos_token_id"] = *c.BeginToken
	}
	if c.EndToken != nil {
		out["eos_token_id"] = *c.EndToken
	}
	return out
}
