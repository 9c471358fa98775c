package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trefoil/internal/gguf"
	"trefoil/internal/safetensors"
)

// notConverted is a config with patterns of modules that stay in float.
func notConverted(patterns ...string) map[string]any {
	return map[string]any{"model_type": "bitnet", "quantization_config": map[string]any{"quant_method": "bitnet", "modules_to_not_convert": patterns}}
}

// What Trefoil cannot compute, and what does not fit, is named.
func TestConfigErrors(t *testing.T) {
	for says, fields := range map[string]map[string]any{
		`model_type "gpt2" is not supported`: {"model_type": "gpt2"},
		`rope_parameters: Trefoil has no scaling of the rotary embedding, and the model has the type "llama3"`: {"rope_parameters": map[string]any{"rope_type": "llama3", "factor": 8}},
		`rope_scaling: Trefoil has no scaling`:                                                              {"rope_scaling": map[string]any{"type": "linear", "factor": 2}},
		"partial_rotary_factor: 0.5 of a head is rotated":                                                   {"partial_rotary_factor": 0.5},
		`hidden_act: "gelu" is not supported, only silu and relu2`:                                          {"hidden_act": "gelu"},
		"use_sliding_window":                                                                                {"use_sliding_window": true},
		`layer_types[1]: "sliding_attention"`:                                                               {"layer_types": []string{"full_attention", "sliding_attention"}},
		`quantization_config.quant_method: "gptq" is not supported`:                                         {"quantization_config": map[string]any{"quant_method": "gptq"}},
		"quantization_config.use_rms_norm":                                                                  {"quantization_config": map[string]any{"quant_method": "bitnet", "use_rms_norm": true}},
		"tensor model.layers.0.self_attn.q_proj.weight: shape is [32 12], but config.json asks for [48 12]": {"head_dim": 12},
		"tensor model.embed_tokens.weight: shape is [272 12], but config.json asks for [300 12]":            {"vocab_size": 300},
		"tensor model.layers.2.input_layernorm.weight":                                                      {"num_hidden_layers": 3},
		"no place for the tensors model.layers.1.input_layernorm.weight":                                    {"num_hidden_layers": 1},
		"tensor model.layers.0.self_attn.attn_sub_norm.weight is in none of the 3 shards":                   {"model_type": "bitnet"},
		"config.json: num_key_value_heads: 3 does not divide num_attention_heads: 4":                        {"num_key_value_heads": 3},
		"config.json: num_attention_heads: 0 is not between 1 and":                                          {"num_attention_heads": 0},
		"config.json: num_hidden_layers: 100000000000 is not between":                                       {"num_hidden_layers": 100000000000},
		"config.json: hidden_size: -1 is not between":                                                       {"hidden_size": -1},
		"head_dim: -8 is not":                           {"head_dim": -8},
		"config.json: rms_norm_eps: -1 is not between":  {"rms_norm_eps": -1},
		"rope_scaling: a factor of 8 without rope_type": {"rope_scaling": map[string]any{"factor": 8}},
		"rope_parameters: the layers have rotary embeddings of their own (full_attention, sliding_attention)": {"rope_parameters": map[string]any{
			"sliding_attention": map[string]any{"rope_theta": 10000}, "full_attention": map[string]any{"rope_theta": 5000}}},
		"rope_parameters or rope_scaling: json: cannot unmarshal string":                             {"rope_scaling": "linear"},
		"model_type: qwen3 normalises the queries and keys":                                          {"model_type": "qwen3"},
		`modules_to_not_convert[1]: "model.layers.1" keeps model.layers.1.self_attn.q_proj in float`: notConverted("lm_head", "model.layers.1"),
		`modules_to_not_convert[0]: "down_proj" keeps model.layers.0.mlp.down_proj in float`:         notConverted("down_proj"),
		`modules_to_not_convert[0]: "model\\.layers.*v_proj" keeps model.layers.0.self_attn.v_proj`:  notConverted(`model\.layers.*v_proj`),
		`modules_to_not_convert[0]: "" keeps`:                                                        notConverted(""),
		`modules_to_not_convert[0]: "(": error parsing regexp`:                                       notConverted("("),
		"modules_to_not_convert: without lm_head the head is ternary":                                notConverted("model.layers.2", "mlp.gate", "model.layers.0.mlp.up"),
		"hidden_size: a string is no value":                                                          {"hidden_size": "wide"},
	} {
		dir := edited(t, fields)
		if _, err := Open(dir, ""); err == nil || !strings.Contains(err.Error(), says) || strings.Count(err.Error(), dir) != 1 {
			t.Errorf("%v: got %v, want it to say %q", fields, err, says)
		}
	}
}

func TestFolderErrors(t *testing.T) {
	for says, change := range map[string]func(dir string){
		"config.json":       func(dir string) { os.Remove(filepath.Join(dir, "config.json")) },
		"not a config.json": func(dir string) { os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o644) },
		"not a config.json: a JSON array instead of an object": func(dir string) { os.WriteFile(filepath.Join(dir, "config.json"), []byte("[]"), 0o644) },
		"has no tokenizer.json: give one":                      func(dir string) { os.Remove(filepath.Join(dir, "tokenizer.json")) },
		"tokenizer.json: not a tokenizer":                      func(dir string) { os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("7"), 0o644) },
		"shards missing: model-00002-of-0000":                  func(dir string) { os.Remove(filepath.Join(dir, "model-00002-of-00003.safetensors")) },
		"model-00002-of-00003.safetensors":                     func(dir string) { os.Truncate(filepath.Join(dir, "model-00002-of-00003.safetensors"), 5000) },
	} {
		dir := edited(t, nil)
		change(dir)
		if _, err := Open(dir, ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
	small := filepath.Join(t.TempDir(), "tokenizer.json")
	os.WriteFile(small, []byte(`{"model": {"type": "BPE", "vocab": {"a": 0, "b": 400}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}}`), 0o644)
	if _, err := Open(llama, small); err == nil || !strings.Contains(err.Error(), "the tokenizer has 401 ids, the embedding 272 rows") {
		t.Errorf("a tokenizer of another model: %v", err)
	}
}

// Biases and norms of queries are named; a bias of zeros is nothing.
func TestOtherTensors(t *testing.T) {
	with := func(extra ...safetensors.Tensor) string {
		m := open(t, llama)
		source := m.source.(*huggingFace)
		tensors := extra
		for _, info := range source.Tensors() {
			w, err := source.Float32(info.Name)
			if err != nil {
				t.Fatal(err)
			}
			tensors = append(tensors, safetensors.Tensor{Name: info.Name, Shape: info.Shape, Data: w})
		}
		dir := edited(t, nil)
		os.Remove(filepath.Join(dir, "model.safetensors.index.json"))
		f, err := os.Create(filepath.Join(dir, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := safetensors.Write(f, nil, tensors); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	bias := func(v float32) safetensors.Tensor {
		return safetensors.Tensor{Name: "model.layers.0.self_attn.q_proj.bias", Shape: []int{2}, Data: []float32{0, v}}
	}
	norm := safetensors.Tensor{Name: "model.layers.0.self_attn.q_norm.weight", Shape: []int{1}, Data: []float32{1}}
	if _, err := Open(with(bias(0)), ""); err != nil {
		t.Errorf("a bias of zeros: %v", err)
	}
	_, err := Open(with(bias(1), norm), "")
	if err == nil || !strings.Contains(err.Error(), "q_norm.weight, model.layers.0.self_attn.q_proj.bias (biases, norms of queries and keys)") {
		t.Errorf("got %v", err)
	}
}

// A tensor of a shard that the index forgets is not dropped.
func TestTensorThatTheIndexForgets(t *testing.T) {
	const from = "model.norm.weight"
	for name, says := range map[string]string{from: "", "model.layers.1.mlp.experts.weight": "no place for the tensors model.layers.1.mlp.experts.weight (experts)"} {
		dir := edited(t, nil)
		path := filepath.Join(dir, "model.safetensors.index.json")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var index map[string]any
		if err := json.Unmarshal(text, &index); err != nil {
			t.Fatal(err)
		}
		shards := index["weight_map"].(map[string]any)
		shard := filepath.Join(dir, shards[from].(string))
		if name != from {
			f, err := safetensors.Open(shard)
			if err != nil {
				t.Fatal(err)
			}
			tensors := []safetensors.Tensor{{Name: name, Shape: []int{1}, Data: []float32{1}}}
			for _, info := range f.Tensors() {
				w, err := f.Float32(info.Name)
				if err != nil {
					t.Fatal(err)
				}
				tensors = append(tensors, safetensors.Tensor{Name: info.Name, Shape: info.Shape, Data: w})
			}
			f.Close()
			var out bytes.Buffer
			if err := safetensors.Write(&out, nil, tensors); err != nil {
				t.Fatal(err)
			}
			os.WriteFile(shard, out.Bytes(), 0o644)
		}
		delete(shards, name)
		b, _ := json.Marshal(index)
		os.WriteFile(path, b, 0o644)
		_, err = Open(dir, "")
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("without %s in the index: %v", name, err)
		}
	}
}

func TestGGUFErrors(t *testing.T) {
	m := open(t, llama)
	for says, value := range map[string]gguf.KeyValue{
		`key general.architecture: "gpt2" is not supported`:                       {Key: "general.architecture", Value: "gpt2"},
		"tensor blk.0.attn_q.weight: shape is [32 12]":                            {Key: "llama.attention.head_count", Value: uint32(8)},
		"key llama.attention.key_length: heads of 8 for keys, 8 for values and 4": {Key: "llama.rope.dimension_count", Value: uint32(4)},
		"the model has the type yarn":                                             {Key: "llama.rope.scaling.type", Value: "yarn"},
		"the model has the type linear with factor 8":                             {Key: "llama.rope.scaling.factor", Value: float32(8)},
		"key llama.vocab_size: 7, but tensor token_embd.weight has 272 rows":      {Key: "llama.vocab_size", Value: uint32(7)},
		"llama.context_length: 2147483648 is not between":                         {Key: "llama.context_length", Value: uint32(1 << 31)},
		"key general.architecture: qwen3 normalises the queries":                  {Key: "general.architecture", Value: "qwen3"},
		"the keys llama.expert_count say":                                         {Key: "llama.expert_count", Value: uint32(8)},
		"key llama.embedding_length":                                              {Key: "llama.embedding_length", Value: "wide"},
		"llama.block_count: 4000000000 is not between":                            {Key: "llama.block_count", Value: uint32(4000000000)},
		`the tokenizer "gpt2" with the split "falcon" is not supported`:           {Key: "tokenizer.ggml.pre", Value: "falcon"},
		"key tokenizer.ggml.token_type: 1 types for":                              {Key: "tokenizer.ggml.token_type", Value: []int32{1}},
		"key split.count: this is file 2 of 3 of a model: join them":              {Key: "split.count", Value: uint16(3)},
		"model.merges[0]": {Key: "tokenizer.ggml.merges", Value: []string{"q q"}},
	} {
		path := filepath.Join(t.TempDir(), "m.gguf")
		writeLlamaGGUF(t, m, path, func(keys []gguf.KeyValue) []gguf.KeyValue {
			keys = append(keys, gguf.KeyValue{Key: "split.no", Value: uint16(1)})
			if i := slices.IndexFunc(keys, func(k gguf.KeyValue) bool { return k.Key == value.Key }); i >= 0 {
				keys[i] = value
				return keys
			}
			return append(keys, value)
		})
		if _, err := Open(path, ""); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: got %v, want it to say %q", value, err, says)
		}
	}
}

// That a type cannot be decoded is said before anything is written.
func TestGGUFTypeThatCannotBeDecoded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	writeLlamaGGUF(t, open(t, llama), path, nil)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const name = "output_norm.weight"
	typeAt := bytes.Index(b, []byte(name)) + len(name) + 4 + 8 // behind the number of dimensions and the only one
	b[typeAt] = 24                                             // I8: as long, or shorter
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, ""); err == nil || !strings.Contains(err.Error(), "tensor output_norm.weight: elements of type I8 cannot be decoded: convert") {
		t.Errorf("got %v", err)
	}
}

// A key that is missing is named, and nothing else with it.
func TestMissingGGUFKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	writeLlamaGGUF(t, open(t, llama), path, func(keys []gguf.KeyValue) []gguf.KeyValue {
		return slices.DeleteFunc(keys, func(k gguf.KeyValue) bool { return strings.HasSuffix(k.Key, "rms_epsilon") })
	})
	_, err := Open(path, "")
	if err == nil || !strings.Contains(err.Error(), "key llama.attention.layer_norm_rms_epsilon") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

// NaN is told by the file's own names and places, and leaves nothing behind.
func TestNaNIsNamed(t *testing.T) {
	m := open(t, llama)
	path := filepath.Join(t.TempDir(), "m.gguf")
	writeLlamaGGUF(t, m, path, nil)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	info, _ := g.Tensor("blk.1.attn_q.weight")
	g.Close()
	copy(b[info.Offset+4*50:], []byte{0, 0, 0xc0, 0x7f})
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, path, fmt.Sprintf("%s: tensor blk.1.attn_q.weight of type F32, at byte %d: element 50 is NaN", path, info.Offset))

	dir := edited(t, nil)
	files, err := safetensors.OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	const name = "model.layers.1.mlp.up_proj.weight"
	place, shard, err := files.Find(name)
	if err := errors.Join(err, files.Close()); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(shard); err != nil {
		t.Fatal(err)
	}
	copy(b[place.Offset+4*7:], []byte{0, 0, 0x80, 0xff})
	if err := os.WriteFile(shard, b, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, fmt.Sprintf("%s: tensor %s, at byte %d: element 7, at byte %d, is -Inf", shard, name, place.Offset, place.Offset+4*7))
}

// An import that fails leaves nothing, and does not touch what was there.
func TestFailedImportLeavesNothing(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short.txt")
	if err := os.WriteFile(short, []byte("the cat"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{short, short + ".none"} {
		dir := t.TempDir()
		theirs := filepath.Join(dir, "notes.txt")
		os.WriteFile(theirs, []byte("mine"), 0o644)
		if err := open(t, llama).Write(t.Context(), dir, Options{Name: "x", Text: text, Context: 16, Cache: t.TempDir()}); err == nil {
			t.Errorf("%s is enough text", text)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%s: it leaves %v, %v", text, left, err)
		}
	}
	// Files that are there are not written over, least of all the model's own.
	own := edited(t, nil)
	if err := open(t, own).Write(t.Context(), own, Options{Name: "x"}); err == nil || !strings.Contains(err.Error(), own+" is the folder of the model") {
		t.Errorf("into the model's folder: %v", err)
	}
	if err := open(t, llama).Write(t.Context(), own, Options{Name: "x"}); err == nil || !strings.Contains(err.Error(), filepath.Join(own, "tokenizer.json")+" is there already") {
		t.Errorf("into another model's folder: %v", err)
	}
	if _, err := os.Stat(filepath.Join(own, "checkpoints")); err == nil {
		t.Error("it leaves checkpoints")
	}
}

// refused checks that an import fails while it writes, and leaves no folder.
func refused(t *testing.T, path, says string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	if err := open(t, path).Write(t.Context(), dir, Options{Name: "x"}); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want it to say %q", err, says)
	}
	if left, err := os.ReadDir(dir); err == nil {
		t.Errorf("it leaves %v", left)
	}
}

// What is no model for an import is told by what it is.
func TestWrongPlaces(t *testing.T) {
	dir := t.TempDir()
	bin := edited(t, nil)
	for _, f := range []string{"model.safetensors.index.json", "model.safetensors"} {
		os.Remove(filepath.Join(bin, f))
	}
	os.WriteFile(filepath.Join(bin, "pytorch_model.bin"), []byte("PK"), 0o644)
	os.WriteFile(filepath.Join(dir, "m.safetensors"), nil, 0o644)
	os.WriteFile(filepath.Join(dir, "m.trefoil"), nil, 0o644)
	made := run(t, open(t, llama), Options{}).Dir
	for path, says := range map[string]string{
		dir: "it has no config.json", made: "the folder of a run, which needs no import", bin: "turn pytorch_model.bin into safetensors",
		filepath.Join(dir, "m.safetensors"): "weights only: give the folder", filepath.Join(dir, "m.trefoil"): "is packed already",
	} {
		if _, err := Open(path, ""); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
}

func TestUnpackErrors(t *testing.T) {
	if _, err := unpack([]byte{0x55, 0x5f}, 4, 2); err == nil || !strings.Contains(err.Error(), "element 1 has the code 3") {
		t.Errorf("code 3: %v", err)
	}
	if _, err := unpack([]byte{0}, 4, 2); err == nil || !strings.Contains(err.Error(), "1 bytes, want 2") {
		t.Errorf("too short: %v", err)
	}
	// By hand: rows 0 to 3 are bits 0-1 to 6-7; 2, 1, 0, 1 mean 1, 0, -1, 0.
	if w, err := unpack([]byte{0b01_00_01_10}, 4, 1); err != nil || !slices.Equal(w, []float32{1, 0, -1, 0}) {
		t.Errorf("%v, %v", w, err)
	}
}

// No config.json makes parseConfig panic, and what it accepts has an
// architecture whose validity can be told.
func FuzzParseConfig(f *testing.F) {
	text, err := os.ReadFile(filepath.Join(llama, "config.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for kind := range maps.Keys(defaults) {
		f.Add([]byte(`{"model_type": "` + kind + `", "num_attention_heads": 9223372036854775807, "head_dim": 4, "hidden_size": -4}`))
	}
	f.Add([]byte(`{"model_type": "llama", "rope_parameters": {"rope_theta": null, "rope_type": ""}, "quantization_config": {}}`))
	f.Add([]byte(`{"model_type": "llama", "rope_parameters": {"full_attention": {"rope_theta": 1}}, "rope_scaling": {"factor": 8}}`))
	f.Add([]byte(`{"model_type": "bitnet", "num_hidden_layers": 9e18, "quantization_config": {"quant_method": "bitnet", "modules_to_not_convert": ["(", "", "lm_head", "model.layers.[0-9]+."]}}`))
	f.Add([]byte(`{"model_type": "bitnet", "rms_norm_eps": 1e999, "head_dim": null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig(text)
		if err != nil {
			return
		}
		if a := c.arch(); a.Validate() == nil && (a.HeadDim() < 2 || a.QDim() < 2) {
			t.Errorf("%s gives %+v", text, a)
		}
	})
}
