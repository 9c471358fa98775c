package names

import (
	"strings"
	"testing"

	"trefoil/arch"
)

func TestEveryParameterHasAName(t *testing.T) {
	c := arch.Config{Vocab: 8, Dim: 4, Layers: 12, Heads: 1, KVHeads: 1, FF: 8, Context: 4, UntiedHead: true}
	for _, s := range []Scheme{GGUF, HuggingFace} {
		seen := map[string]bool{}
		for _, p := range c.Parameters() {
			name := s.Of(p.Name)
			if !strings.HasSuffix(name, ".weight") || seen[name] {
				t.Errorf("%s: %q", p.Name, name)
			}
			seen[name] = true
		}
	}
	for got, want := range map[string]string{
		GGUF.Of("blocks.11.ffn.sub_norm"):                    "blk.11.ffn_sub_norm.weight",
		HuggingFace.Of("blocks.11.ffn.sub_norm"):             "model.layers.11.mlp.ffn_sub_norm.weight",
		Sibling("model.layers.0.mlp.up_proj.weight", "bias"): "model.layers.0.mlp.up_proj.bias",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLayer(t *testing.T) {
	if n, rest, ok := HuggingFace.Layer("model.layers.7.self_attn.q_proj.bias"); n != 7 || rest != "self_attn.q_proj.bias" || !ok {
		t.Errorf("%d %q %v", n, rest, ok)
	}
	for _, name := range []string{"model.norm.weight", "model.layers.x.mlp", "model.layers."} {
		if _, _, ok := HuggingFace.Layer(name); ok {
			t.Errorf("%q has a block", name)
		}
	}
}
