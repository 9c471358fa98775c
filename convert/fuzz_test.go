package convert

import (
	"os"
	"path/filepath"
	"testing"

	"trefoil/arch"
	"trefoil/data"
	"trefoil/internal/gguf"
	"trefoil/internal/safetensors"
)

// tiny is a model as small as they come, for files that are opened many times.
func tiny(t testing.TB, bitnet bool) *Model {
	t.Helper()
	tokenizer, err := data.NewBytes(true)
	if err != nil {
		t.Fatal(err)
	}
	return randomOf(arch.Config{
		Vocab: tokenizer.Vocab(), Dim: 4, Layers: 1, Heads: 2, KVHeads: 1, FF: 6, Context: 8,
		Activation: arch.SiLU, RopeBase: 10000, NormEps: 1e-5, NoSubNorms: !bitnet,
	}, tokenizer)
}

// readAll reads all that an import would, and checks that it is what the
// architecture says.
func readAll(t *testing.T, path string, size int) {
	m, err := Open(path, "")
	if err != nil {
		return
	}
	defer m.Close()
	if err := m.Arch.Validate(); err != nil {
		t.Errorf("the architecture is not valid: %v", err)
	}
	if n := m.Arch.ParameterCount(); n > 8*size { // the smallest elements have 1.6 bits
		t.Fatalf("%d parameters of %d bytes", n, size)
	}
	for _, p := range m.Arch.Parameters() {
		if w, err := m.Weights(p); err == nil && len(w) != p.Size() {
			t.Errorf("%s has %d elements, want %d", p.Name, len(w), p.Size())
		}
	}
}

func FuzzOpenGGUF(f *testing.F) {
	for _, name := range []string{"llama", "bitnet", "qwen2"} {
		path := filepath.Join(f.TempDir(), "m.gguf")
		writeGGUF(f, tiny(f, name == "bitnet"), path, name, func(arch.Parameter) gguf.Type { return gguf.F32 }, nil)
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	path := filepath.Join(f.TempDir(), "fuzzed.gguf")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		readAll(t, path, len(b))
	})
}

func FuzzOpenHuggingFace(f *testing.F) {
	dir := f.TempDir()
	m := tiny(f, true)
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), m.Tokenizer.JSON(), 0o644); err != nil {
		f.Fatal(err)
	}
	weights := filepath.Join(dir, "model.safetensors")
	for _, mode := range []string{"online", "offline"} {
		writeTiny(f, m, weights, mode == "offline")
		b, err := os.ReadFile(weights)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(`{"model_type":"bitnet","vocab_size":257,"hidden_size":4,"intermediate_size":6,"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,`+
			`"hidden_act":"silu","max_position_embeddings":8,"rms_norm_eps":1e-5,"tie_word_embeddings":true,"rope_parameters":{"rope_theta":10000},`+
			`"quantization_config":{"quant_method":"bitnet","linear_class":"autobitlinear","quantization_mode":"`+mode+`","modules_to_not_convert":["lm_head"]}}`), b)
	}
	f.Fuzz(func(t *testing.T, config, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(weights, b, 0o644); err != nil {
			t.Fatal(err)
		}
		readAll(t, dir, len(b))
	})
}

// writeTiny writes the weights of m by Hugging Face's names, its linear layers
// as bytes of packed codes if they are offline.
func writeTiny(t testing.TB, m *Model, path string, offline bool) {
	t.Helper()
	var tensors []safetensors.Tensor
	for _, p := range m.Arch.Parameters() {
		name := module(p.Name) + ".weight"
		if p.Kind == arch.Linear && offline {
			rows := (p.Shape[0] + rowsPerByte - 1) / rowsPerByte
			codes := make([]byte, rows*p.Shape[1])
			for i := range codes {
				codes[i] = byte(0b00_10_01_00)
			}
			tensors = append(tensors, safetensors.Tensor{Name: name, Shape: []int{rows, p.Shape[1]}, Data: codes},
				safetensors.Tensor{Name: name + "_scale", Shape: []int{1}, Data: []float32{0.5}})
			continue
		}
		w, err := m.Weights(p)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, Shape: p.Shape, Data: w})
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := safetensors.Write(f, nil, tensors); err != nil {
		t.Fatal(err)
	}
}

// The seeds are models that open.
func TestFuzzSeedsOpen(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"llama", "bitnet", "qwen2"} {
		path := filepath.Join(dir, name+".gguf")
		writeGGUF(t, tiny(t, name == "bitnet"), path, name, func(arch.Parameter) gguf.Type { return gguf.F32 }, nil)
		open(t, path)
	}
}
