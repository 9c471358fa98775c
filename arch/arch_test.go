package arch

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

func small() Config {
	return Config{
		Vocab: 65, Dim: 128, Layers: 4, Heads: 4, KVHeads: 2, FF: 344, Context: 64,
		Activation: SiLU, RopeBase: 10000, NormEps: 1e-5,
	}
}

func TestValidate(t *testing.T) {
	if err := small().Validate(); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
	for field, change := range map[string]func(*Config){
		"vocab":      func(c *Config) { c.Vocab = 0 },
		"layers":     func(c *Config) { c.Layers = 1 << 40 },
		"heads":      func(c *Config) { c.Heads = -4 },
		"dim":        func(c *Config) { c.Dim = 132 }, // 33 wide heads have no halves
		"kv_heads":   func(c *Config) { c.KVHeads = 3 },
		"ff":         func(c *Config) { c.FF = 0 },
		"context":    func(c *Config) { c.Context = 0 },
		"activation": func(c *Config) { c.Activation = "gelu" },
		"rope_base":  func(c *Config) { c.RopeBase = math.NaN() },
		"norm_eps":   func(c *Config) { c.NormEps = 0 },
	} {
		c := small()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s: got %v", field, err)
		}
	}
	if err := (Config{}).Validate(); err == nil || strings.Count(err.Error(), "\n") < 8 {
		t.Errorf("the empty configuration's faults are not all listed: %v", err)
	}
}

func TestParameters(t *testing.T) {
	list := small().Parameters()
	var names []string
	shapes := map[string][]int{}
	linear := 0
	for _, p := range list {
		names = append(names, p.Name)
		shapes[p.Name] = p.Shape
		if p.Kind == Linear {
			linear += p.Size()
		}
	}
	want := strings.Fields(`embedding
		blocks.0.attention.norm blocks.0.attention.q blocks.0.attention.k blocks.0.attention.v
		blocks.0.attention.sub_norm blocks.0.attention.o
		blocks.0.ffn.norm blocks.0.ffn.gate blocks.0.ffn.up blocks.0.ffn.sub_norm blocks.0.ffn.down`)
	if !slices.Equal(names[:12], want) || names[len(names)-1] != "norm" || len(names) != 2+4*11 {
		t.Errorf("names: %v", names)
	}
	if got := shapes["blocks.3.attention.k"]; !slices.Equal(got, []int{64, 128}) {
		t.Errorf("two of four heads of width 32 give k %v", got)
	}
	if got := shapes["blocks.3.ffn.down"]; !slices.Equal(got, []int{128, 344}) {
		t.Errorf("down is %v", got)
	}
	// By hand: a block has 2*128*128 (q, o) + 2*64*128 (k, v) + 3*344*128.
	if want := 4 * (32768 + 16384 + 132096); linear != want {
		t.Errorf("%d linear weights, want %d", linear, want)
	}
	// Beside them: embedding, four norms a block, the last norm.
	if got, want := small().ParameterCount(), linear+65*128+4*(3*128+344)+128; got != want {
		t.Errorf("%d parameters, want %d", got, want)
	}
}

func TestConfigJSON(t *testing.T) {
	b, err := json.Marshal(small())
	if err != nil {
		t.Fatal(err)
	}
	var c Config
	if err := json.Unmarshal(b, &c); err != nil || c != small() {
		t.Errorf("%s gives %+v, %v", b, c, err)
	}
	if !strings.Contains(string(b), `"kv_heads":2`) {
		t.Errorf("names of the fields: %s", b)
	}
}

// Models from elsewhere: wide heads, a head of its own, no sub-norms.
func TestOtherShapes(t *testing.T) {
	c := small()
	c.HeadWidth, c.UntiedHead, c.NoSubNorms = 48, true, true
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int{}
	for _, p := range c.Parameters() {
		shapes[p.Name] = p.Shape
	}
	for name, want := range map[string][]int{
		"blocks.1.attention.q": {192, 128}, "blocks.1.attention.k": {96, 128}, "blocks.1.attention.o": {128, 192}, "head": {65, 128},
	} {
		if !slices.Equal(shapes[name], want) {
			t.Errorf("%s is %v, want %v", name, shapes[name], want)
		}
	}
	if _, has := shapes["blocks.1.attention.sub_norm"]; has || len(shapes) != 3+4*9 {
		t.Errorf("%d parameters, sub-norms: %v", len(shapes), has)
	}
	c.NoSubNorms = false
	if p := c.Parameters()[5]; p.Name != "blocks.0.attention.sub_norm" || p.Shape[0] != 192 {
		t.Errorf("%+v", p)
	}
	for _, width := range []int{-2, 3, 1 << 20} {
		c.HeadWidth = width
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "head_dim: ") {
			t.Errorf("heads of %d: %v", width, err)
		}
	}
}
