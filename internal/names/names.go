// Package names translates the names of parameters between Trefoil and the
// formats of others: GGUF, as llama.cpp reads it, and Hugging Face's
// safetensors, as transformers reads them.
//
//	blocks.3.attention.q   blk.3.attn_q.weight   model.layers.3.self_attn.q_proj.weight
package names

import (
	"strconv"
	"strings"

	"trefoil/arch"
)

// A Scheme is a way to name parameters.
type Scheme struct {
	outside map[string]string // names outside the blocks, by Trefoil's
	block   string            // before the number of a block
	inside  map[string]string // the rest of the name, by Trefoil's
}

// GGUF names tensors as in GGUF files of the architectures bitnet,
// bitnet-b1.58 and llama.
var GGUF = Scheme{
	outside: map[string]string{
		arch.EmbeddingName: "token_embd.weight",
		arch.NormName:      "output_norm.weight",
		arch.HeadName:      "output.weight",
	},
	block: "blk.",
	inside: map[string]string{
		"attention.norm":     "attn_norm.weight",
		"attention.q":        "attn_q.weight",
		"attention.k":        "attn_k.weight",
		"attention.v":        "attn_v.weight",
		"attention.sub_norm": "attn_sub_norm.weight",
		"attention.o":        "attn_output.weight",
		"ffn.norm":           "ffn_norm.weight",
		"ffn.gate":           "ffn_gate.weight",
		"ffn.up":             "ffn_up.weight",
		"ffn.sub_norm":       "ffn_sub_norm.weight",
		"ffn.down":           "ffn_down.weight",
	},
}

// HuggingFace names tensors as LlamaForCausalLM and BitNetForCausalLM do.
var HuggingFace = Scheme{
	outside: map[string]string{
		arch.EmbeddingName: "model.embed_tokens.weight",
		arch.NormName:      "model.norm.weight",
		arch.HeadName:      "lm_head.weight",
	},
	block: "model.layers.",
	inside: map[string]string{
		"attention.norm":     "input_layernorm.weight",
		"attention.q":        "self_attn.q_proj.weight",
		"attention.k":        "self_attn.k_proj.weight",
		"attention.v":        "self_attn.v_proj.weight",
		"attention.sub_norm": "self_attn.attn_sub_norm.weight",
		"attention.o":        "self_attn.o_proj.weight",
		"ffn.norm":           "post_attention_layernorm.weight",
		"ffn.gate":           "mlp.gate_proj.weight",
		"ffn.up":             "mlp.up_proj.weight",
		"ffn.sub_norm":       "mlp.ffn_sub_norm.weight",
		"ffn.down":           "mlp.down_proj.weight",
	},
}

// Of returns the scheme's name of a parameter of [arch.Config.Parameters].
func (s Scheme) Of(parameter string) string {
	if name, ok := s.outside[parameter]; ok {
		return name
	}
	number, rest, _ := strings.Cut(strings.TrimPrefix(parameter, "blocks."), ".")
	return s.block + number + "." + s.inside[rest]
}

// Sibling returns the name of what belongs to the same layer as a tensor, such
// as its scale or bias: Sibling("blk.0.attn_q.weight", "scale") is
// "blk.0.attn_q.scale".
func Sibling(weight, what string) string {
	return strings.TrimSuffix(weight, "weight") + what
}

// Layer returns the number of the block that a name of the scheme belongs to,
// and what is behind it; ok is false for names outside blocks.
func (s Scheme) Layer(name string) (number int, rest string, ok bool) {
	name, ok = strings.CutPrefix(name, s.block)
	if !ok {
		return 0, "", false
	}
	digits, rest, ok := strings.Cut(name, ".")
	number, err := strconv.Atoi(digits)
	return number, rest, ok && err == nil
}
