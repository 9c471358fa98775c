package convert

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"trefoil/arch"
	"trefoil/internal/names"
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

	nested []string // fields that are objects: an embedding for some layers alone
}

// UnmarshalJSON reads the fields and notes which of them are objects.
func (r *hfRope) UnmarshalJSON(text []byte) error {
	type plain hfRope
	if err := json.Unmarshal(text, (*plain)(r)); err != nil {
		return fmt.Errorf("rope_parameters or rope_scaling: %v", err) // not as an error of the whole file
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	r.nested = nil
	for name, value := range fields {
		if value[0] == '{' {
			r.nested = append(r.nested, name)
		}
	}
	slices.Sort(r.nested)
	return nil
}

// validate reports what of a field of config.json Trefoil has no place for.
func (r *hfRope) validate(field string) error {
	if r == nil {
		return nil
	}
	kind := cmp.Or(r.Type, r.OldType)
	switch {
	case len(r.nested) > 0:
		return fmt.Errorf("%s: the layers have rotary embeddings of their own (%s), and Trefoil has one for all", field, strings.Join(r.nested, ", "))
	case kind == "" && r.Factor != nil && *r.Factor != 1:
		return fmt.Errorf("%s: a factor of %v without rope_type does not say how the rotary embedding is scaled: Trefoil has no scaling of it", field, *r.Factor)
	case kind != "" && kind != "default":
		return fmt.Errorf("%s: Trefoil has no scaling of the rotary embedding, and the model has the type %q", field, kind)
	case r.Share != nil && *r.Share != 1:
		return fmt.Errorf("%s.partial_rotary_factor: %v of a head is rotated, and Trefoil rotates all of it", field, *r.Share)
	}
	return nil
}

// quantConfig is a quantization_config.
type quantConfig struct {
	Method      string `json:"quant_method"`
	LinearClass string `json:"linear_class"`
	Mode        string `json:"quantization_mode"`
	RMSNorm     bool   `json:"use_rms_norm"`

	// NotConverted are patterns of modules that stay in float; nil for the
	// default, which is the head alone.
	NotConverted []string `json:"modules_to_not_convert"`
}

const autoBitLinear = "autobitlinear"

// offline tells whether the weights are codes with scales, not such as learn.
func (q *quantConfig) offline() bool {
	return q != nil && !(q.LinearClass == autoBitLinear && q.Mode == "online")
}

// checkConverted refuses what leaves linear layers of the blocks in float, and
// what makes the head ternary: Trefoil's are all ternary but for the head. To
// transformers a pattern is the beginning of a module's name up to a dot, or a
// regular expression for that, or its end (should_convert_module).
func (q *quantConfig) checkConverted(layers int) error {
	head := module(arch.HeadName)
	keepsHead := q.NotConverted == nil
	linear := slices.DeleteFunc(arch.Config{Layers: min(max(layers, 1), maxLayers), Heads: 1}.Parameters(), func(p arch.Parameter) bool { return p.Kind != arch.Linear })
	for i, pattern := range q.NotConverted {
		boundary := `(?:\.|$)`
		if strings.HasSuffix(pattern, ".") {
			boundary = ""
		}
		re, err := regexp.Compile("^(?:" + pattern + ")" + boundary)
		if err != nil {
			return fmt.Errorf("quantization_config.modules_to_not_convert[%d]: %q: %w", i, pattern, err)
		}
		matches := func(name string) bool { return strings.HasSuffix(name, pattern) || re.MatchString(name) }
		for _, p := range linear {
			if name := module(p.Name); matches(name) {
				return fmt.Errorf("quantization_config.modules_to_not_convert[%d]: %q keeps %s in float, and Trefoil's linear layers are all ternary or all float", i, pattern, name)
			}
		}
		keepsHead = keepsHead || matches(head)
	}
	if !keepsHead {
		return fmt.Errorf("quantization_config.modules_to_not_convert: without %s the head is ternary, and Trefoil's is float", head)
	}
	return nil
}

// maxLayers bounds the layers whose names are compared with patterns.
const maxLayers = 1 << 10

// module returns transformers' name of the module of a parameter.
func module(parameter string) string {
	return strings.TrimSuffix(names.HuggingFace.Of(parameter), ".weight")
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
}

// parseConfig reads a config.json and refuses what Trefoil cannot compute. The
// error names each such field.
func parseConfig(text []byte) (hfConfig, error) {
	var c hfConfig
	err := json.Unmarshal(text, &c)
	if field := (*json.UnmarshalTypeError)(nil); errors.As(err, &field) {
		if field.Field == "" {
			return c, fmt.Errorf("not a config.json: a JSON %s instead of an object", field.Value)
		}
		return c, fmt.Errorf("%s: a %s is no value for this field", field.Field, field.Value)
	}
	if err != nil {
		return c, fmt.Errorf("not a config.json: %w", err)
	}
	d, ok := defaults[c.ModelType]
	switch {
	case c.ModelType == "qwen3":
		return c, fmt.Errorf("model_type: %w", errQwen3)
	case !ok:
		return c, fmt.Errorf("model_type %q is not supported: use a model of type llama, qwen2 or bitnet", c.ModelType)
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
	errs = append(errs, c.Rope.validate("rope_parameters"), c.RopeScaling.validate("rope_scaling"))
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
		errs = append(errs, q.checkConverted(c.Layers))
	}
	if *c.HeadDim < 0 {
		refuse("head_dim: %d is not a width", *c.HeadDim)
	}
	return errors.Join(errs...)
}

// hfFields names the fields of [arch.Config] as a config.json does.
var hfFields = strings.NewReplacer("vocab:", "vocab_size:", "head_dim:", "head_dim:", "dim:", "hidden_size:", "layers:", "num_hidden_layers:",
	"kv_heads:", "num_key_value_heads:", "heads:", "num_attention_heads:", "ff:", "intermediate_size:", "context:", "max_position_embeddings:",
	"activation:", "hidden_act:", "rope_base:", "rope_theta:", "norm_eps:", "rms_norm_eps:")

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
