package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"trefoil/arch"
)

// hfConfig is what matters of a config.json. A pointer tells a value that is
// left out from zero.
type hfConfig struct {
	ModelType  string   `json:"model_type"`
	Vocab      int      `json:"vocab_size"`
	Dim        int      `json:"hidden_size"`
	FF         int      `json:"intermediate_size"`
	Layers     int      `json:"num_hidden_layers"`
	Heads      int      `json:"num_attention_heads"`
	KVHeads    *int     `json:"num_key_value_heads"`
	HeadDim    *int     `json:"head_dim"`
	Activation string   `json:"hidden_act"`
	Context    int      `json:"max_position_embeddings"`
	NormEps    *float64 `json:"rms_norm_eps"`
	TiedHead   *bool    `json:"tie_word_embeddings"`

	RopeTheta   *float64 `json:"rope_theta"`
	Rope        *hfRope  `json:"rope_parameters"`
	RopeScaling *hfRope  `json:"rope_scaling"`
	RotaryShare *float64 `json:"partial_rotary_factor"`

	UseSlidingWindow bool     `json:"use_sliding_window"`
	LayerTypes       []string `json:"layer_types"`

	Quantization *quantConfig `json:"quantization_config"`
}

// hfRope describes the rotary embedding; old releases call the type "type".
type hfRope struct {
	Type    string   `json:"rope_type"`
	OldType string   `json:"type"`
	Theta   *float64 `json:"rope_theta"`
	Share   *float64 `json:"partial_rotary_factor"`
	Factor  *float64 `json:"factor"`
}

func (r *hfRope) kind() string {
	if r == nil {
		return "default"
	}
	for _, t := range []string{r.Type, r.OldType} {
		if t != "" {
			return t
		}
	}
	return "default"
}

// quantConfig is a quantization_config.
type quantConfig struct {
	Method      string `json:"quant_method"`
	LinearClass string `json:"linear_class"`
	Mode        string `json:"quantization_mode"`
	RMSNorm     bool   `json:"use_rms_norm"`
}

const autoBitLinear = "autobitlinear"

// offline tells whether the weights are codes with scales, not such as learn.
func (q *quantConfig) offline() bool {
	return q != nil && !(q.LinearClass == autoBitLinear && q.Mode == "online")
}

// defaults are what a config.json may leave out, by model type, as in
// transformers.
var defaults = map[string]struct {
	eps, theta float64
	context    int
	activation arch.Activation
}{
	"llama":  {1e-6, 10000, 2048, arch.SiLU},
	"bitnet": {1e-5, 500000, 2048, arch.ReLU2},
	"qwen2":  {1e-6, 10000, 32768, arch.SiLU},
	"qwen3":  {1e-6, 10000, 32768, arch.SiLU},
}

// parseConfig reads a config.json and refuses what Trefoil cannot compute. The
// error names each such field.
func parseConfig(text []byte) (hfConfig, error) {
	var c hfConfig
	err := json.Unmarshal(text, &c)
	if field := (*json.UnmarshalTypeError)(nil); errors.As(err, &field) && field.Field != "" {
		return c, fmt.Errorf("%s: a %s is no value for this field", field.Field, field.Value)
	}
	if err != nil {
		return c, fmt.Errorf("not a config.json: %w", err)
	}
	d, ok := defaults[c.ModelType]
	if !ok {
		return c, fmt.Errorf("model_type %q is not supported: use a model of type llama, qwen2, qwen3 or bitnet", c.ModelType)
	}
	fill(&c.NormEps, d.eps)
	fill(&c.KVHeads, c.Heads)
	fill(&c.HeadDim, 0)
	if c.Context == 0 {
		c.Context = d.context
	}
	if c.Activation == "" {
		c.Activation = string(d.activation)
	}
	if c.Rope != nil && c.Rope.Theta != nil {
		c.RopeTheta = c.Rope.Theta
	}
	fill(&c.RopeTheta, d.theta)
	return c, c.validate()
}

// fill sets what was left out.
func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func (c hfConfig) validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for field, r := range map[string]*hfRope{"rope_parameters": c.Rope, "rope_scaling": c.RopeScaling} {
		if kind := r.kind(); kind != "default" {
			refuse("%s: Trefoil has no scaling of the rotary embedding, and the model has the type %q", field, kind)
		}
		if r != nil && r.Share != nil && *r.Share != 1 {
			refuse("%s.partial_rotary_factor: %v of a head is rotated, and Trefoil rotates all of it", field, *r.Share)
		}
	}
	if c.RotaryShare != nil && *c.RotaryShare != 1 {
		refuse("partial_rotary_factor: %v of a head is rotated, and Trefoil rotates all of it", *c.RotaryShare)
	}
	if a := arch.Activation(c.Activation); a != arch.SiLU && a != arch.ReLU2 {
		refuse("hidden_act: %q is not supported, only %s and %s", c.Activation, arch.SiLU, arch.ReLU2)
	}
	if c.UseSlidingWindow {
		refuse("use_sliding_window: Trefoil's attention has no sliding window")
	}
	for i, t := range c.LayerTypes {
		if t != "full_attention" {
			refuse("layer_types[%d]: %q is not supported, only full_attention", i, t)
			break
		}
	}
	if q := c.Quantization; q != nil {
		if q.Method != "bitnet" {
			refuse("quantization_config.quant_method: %q is not supported, only bitnet: use the model that was quantized", q.Method)
		}
		if q.RMSNorm {
			refuse("quantization_config.use_rms_norm: Trefoil's linear layers have no norm of their own")
		}
	}
	if *c.HeadDim < 0 || math.IsNaN(*c.NormEps) {
		refuse("head_dim: %d is not a width", *c.HeadDim)
	}
	return errors.Join(errs...)
}

// arch is the architecture, with an untied head if the config says so.
func (c hfConfig) arch() arch.Config {
	a := arch.Config{
		Vocab: c.Vocab, Dim: c.Dim, Layers: c.Layers, Heads: c.Heads, KVHeads: *c.KVHeads, FF: c.FF, Context: c.Context,
		Activation: arch.Activation(c.Activation), RopeBase: *c.RopeTheta, NormEps: *c.NormEps,
		NoSubNorms: c.ModelType != "bitnet", UntiedHead: c.TiedHead != nil && !*c.TiedHead,
	}
	if w := *c.HeadDim; a.Heads > 0 && w*a.Heads != a.Dim {
		a.HeadWidth = w
	}
	return a
}
