package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"trefoil/data"
	"trefoil/internal/gguf"
	"trefoil/internal/safetensors"
	"trefoil/quant/packed"
)

// wide is the folder of a run whose rows are whole blocks of every type.
func wide(t *testing.T, assignments ...string) string {
	return fakeRun(t, append([]string{"model.dim=256", "model.ff=512", "model.layers=1"}, assignments...)...)
}

func opened(t *testing.T, dir string) *Run {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func withType(t gguf.Type) Options { return Options{Float: packed.Float32, Percentile: 99.9, GGUF: &t} }

// Every format gives the run back; what is rounded is rounded to the precision
// of its type.
func TestEveryFormatVerifies(t *testing.T) {
	silu, relu := opened(t, wide(t)), opened(t, wide(t, "model.activation=relu2"))
	llama := opened(t, wide(t, "model.sub_norms=false", "model.tied_head=false", "model.head_dim=128"))
	half := options
	half.Float = packed.Float16
	for name, c := range map[string]struct {
		run   *Run
		f     Format
		o     Options
		exact bool
	}{
		"trefoil": {silu, Trefoil, options, true}, "hf": {silu, HuggingFace, options, true}, "packed": {relu, PackedHuggingFace, options, true},
		"safetensors": {relu, SafeTensors, options, true}, "half safetensors": {silu, SafeTensors, half, false}, "half hf": {silu, HuggingFace, half, false},
		"tq1_0": {silu, GGUF, withType(gguf.TQ1_0), true}, "tq2_0": {silu, GGUF, withType(gguf.TQ2_0), true}, "q2_0": {silu, GGUF, withType(gguf.Q2_0), true},
		"i2_s": {silu, GGUF, withType(gguf.I2_S), true}, "f16": {silu, GGUF, withType(gguf.F16), true},
		"relu2 tq2_0": {relu, GGUF, withType(gguf.TQ2_0), false}, "relu2 i2_s": {relu, GGUF, withType(gguf.I2_S), true},
		"llama tq2_0": {llama, GGUF, withType(gguf.TQ2_0), false}, "llama i2_s": {llama, GGUF, withType(gguf.I2_S), true},
	} {
		path := filepath.Join(t.TempDir(), "out")
		if c.f == Trefoil {
			if _, err := c.run.Export(t.Context(), path, c.o); err != nil {
				t.Fatal(err)
			}
		} else if _, err := c.run.Write(t.Context(), path, c.f, c.o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v, err := c.run.Verify(t.Context(), path, c.f, c.o)
		if err != nil || v.Tensors != len(c.run.Model.Parameters()) {
			t.Fatalf("%s: %+v, %v", name, v, err)
		}
		if c.exact != (v.Exact == v.Tensors) || c.exact != (v.Difference == 0) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// A file of another run is not taken for this one's.
func TestVerifyFindsOtherWeights(t *testing.T) {
	r := load(t, wide(t))
	for _, f := range []Format{GGUF, PackedHuggingFace, SafeTensors} {
		path := filepath.Join(t.TempDir(), "out")
		if _, err := r.Write(t.Context(), path, f, options); err != nil {
			t.Fatal(err)
		}
		w := r.Weights["blocks.0.ffn.up"]
		w[7], w[8] = -w[7], -w[8]-1
		if _, err := r.Verify(t.Context(), path, f, options); err == nil || !strings.Contains(err.Error(), "blocks.0.ffn.up") {
			t.Errorf("%s: got %v", f, err)
		}
	}
}

// places lists where the tensors of an exported file lie.
func places(t *testing.T, path string, f Format) map[string][2]int64 {
	t.Helper()
	out := map[string][2]int64{}
	switch f {
	case Trefoil:
		file, err := packed.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, i := range file.Index() {
			out[i.Name] = [2]int64{i.Offset, i.Length}
		}
	case GGUF:
		file, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, i := range file.Tensors() {
			out[i.Name] = [2]int64{i.Offset, i.Size}
		}
	default:
		file, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, i := range file.Tensors() {
			out[i.Name] = [2]int64{i.Offset, i.Size}
		}
	}
	return out
}

// A byte that changed on the disk is found, and its tensor named, in every
// format; in none does it pass for rounding.
func TestVerifyNamesTheDamagedTensor(t *testing.T) {
	r := opened(t, wide(t))
	half := options
	half.Float = packed.Float16
	for name, c := range map[string]struct {
		f Format
		o Options
	}{
		"trefoil": {Trefoil, options}, "hf": {HuggingFace, options}, "hf-packed": {PackedHuggingFace, options}, "safetensors": {SafeTensors, options},
		"tq1_0": {GGUF, withType(gguf.TQ1_0)}, "tq2_0": {GGUF, withType(gguf.TQ2_0)}, "q2_0": {GGUF, withType(gguf.Q2_0)},
		"i2_s": {GGUF, withType(gguf.I2_S)}, "f16": {GGUF, withType(gguf.F16)}, "half": {GGUF, half},
	} {
		path := filepath.Join(t.TempDir(), "out")
		weights := path
		if c.f == Trefoil {
			if _, err := r.Export(t.Context(), path, c.o); err != nil {
				t.Fatal(err)
			}
		} else if _, err := r.Write(t.Context(), path, c.f, c.o); err != nil {
			t.Fatal(err)
		}
		if c.f == HuggingFace || c.f == PackedHuggingFace {
			weights = filepath.Join(path, weightsFile)
		}
		good, err := os.ReadFile(weights)
		if err != nil {
			t.Fatal(err)
		}
		found := places(t, weights, c.f)
		for i, tensor := range slices.Sorted(maps.Keys(found)) {
			if i%7 != 0 { // some of each kind
				continue
			}
			place := found[tensor]
			bad := slices.Clone(good)
			bad[place[0]] ^= 1 // the last bit of a float's fraction, the lowest of a packed byte
			if err := os.WriteFile(weights, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := r.Verify(t.Context(), path, c.f, c.o)
			layer := strings.TrimSuffix(tensor, ".scale") // is told by the weights that it belongs to
			if err == nil || !strings.Contains(err.Error(), layer) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: a changed byte of %s: %v", name, tensor, err)
			}
		}
	}
}

// What stands beside the tensors is compared too.
func TestVerifyComparesTheRest(t *testing.T) {
	r := opened(t, wide(t))
	dir := t.TempDir()
	path := filepath.Join(dir, "m.gguf")
	if _, err := r.Write(t.Context(), path, GGUF, withType(gguf.Q2_0)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("Ġ")) // a token's name
	b[at+1]++
	os.WriteFile(path, b, 0o644)
	if _, err := r.Verify(t.Context(), path, GGUF, withType(gguf.Q2_0)); err == nil || !strings.Contains(err.Error(), "m.gguf: key tokenizer.ggml.tokens: the value is not the run's") {
		t.Errorf("a changed token: %v", err)
	}
	folder := filepath.Join(dir, "hf")
	if _, err := r.Write(t.Context(), folder, HuggingFace, options); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(folder, "generation_config.json"), []byte("{}"), 0o644)
	if _, err := r.Verify(t.Context(), folder, HuggingFace, options); err == nil || !strings.Contains(err.Error(), "generation_config.json: the content is not the run's") {
		t.Errorf("a changed file: %v", err)
	}

	packedFile, plain := filepath.Join(dir, "m.trefoil"), filepath.Join(dir, "m.safetensors")
	if _, err := r.Export(t.Context(), packedFile, options); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Write(t.Context(), plain, SafeTensors, options); err != nil {
		t.Fatal(err)
	}
	tokenizer, eps := r.Tokenizer, r.Model.NormEps
	for says, change := range map[string]func(){
		"m.trefoil: section tokenizer: the tokenizer is not":                func() { r.Tokenizer = append(slices.Clone(tokenizer), ' ') },
		"m.trefoil: section config: the model is":                           func() { r.Model.NormEps *= 2 },
		"m.trefoil: section config: the file is of":                         func() { r.State.Step++ },
		"m.safetensors: metadata trefoil.tokenizer: the value is not":       func() { r.Tokenizer = append(slices.Clone(tokenizer), ' ') },
		"m.safetensors: metadata trefoil.model: the value is not the run's": func() { r.Model.NormEps *= 2 },
	} {
		change()
		path, f := packedFile, Trefoil
		if strings.HasPrefix(says, "m.safetensors") {
			path, f = plain, SafeTensors
		}
		if _, err := r.Verify(t.Context(), path, f, options); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q", err, says)
		}
		r.Tokenizer, r.Model.NormEps, r.State.Step = tokenizer, eps, 30
	}
}

// An export that ends early leaves the files of an older one as they were,
// and nothing of its own.
func TestEarlyEnd(t *testing.T) {
	r := opened(t, wide(t))
	dir := t.TempDir()
	paths := map[Format]string{HuggingFace: filepath.Join(dir, "hf"), GGUF: filepath.Join(dir, "m.gguf"), SafeTensors: filepath.Join(dir, "m.safetensors")}
	for f, path := range paths {
		if _, err := r.Write(t.Context(), path, f, options); err != nil {
			t.Fatal(err)
		}
	}
	before := snapshot(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	paths[PackedHuggingFace] = paths[HuggingFace]
	for f, path := range paths {
		if _, err := r.Write(ctx, path, f, options); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", f, err)
		}
		if _, err := r.Verify(ctx, path, f, options); f != PackedHuggingFace && !errors.Is(err, context.Canceled) {
			t.Errorf("verifying %s: %v", f, err)
		}
	}
	if _, err := r.Export(ctx, filepath.Join(dir, "m"), options); !errors.Is(err, context.Canceled) {
		t.Errorf("trefoil: %v", err)
	}
	if after := snapshot(t, dir); !maps.Equal(before, after) {
		t.Error("the files changed")
	}
}

// snapshot returns the content of all files under dir.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			out[path] = ""
			return err
		}
		b, err := os.ReadFile(path)
		out[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// All weights are from the checkpoint that was opened, even if the run goes on
// and replaces it.
func TestCheckpointReplacedMeanwhile(t *testing.T) {
	r := opened(t, wide(t))
	p := r.Model.Parameters()[0]
	want, err := r.weight(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.Checkpoint); err != nil {
		t.Skipf("an open file cannot be removed here: %v", err)
	}
	if err := os.WriteFile(r.Checkpoint, []byte("the next checkpoint"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := r.weight(t.Context(), p); err != nil || !slices.Equal(got, want) {
		t.Errorf("the weights changed: %v", err)
	}
}

// The packing of transformers, by hand: 4 rows of 2 columns in 2 bytes.
func TestPackRows(t *testing.T) {
	codes := []int8{1, -1, 0, 0, -1, 1, 0, -1}
	b := packRows(codes, 4, 2)
	if want := []byte{0b01_00_01_10, 0b00_10_01_00}; !bytes.Equal(b, want) {
		t.Errorf("%08b, want %08b", b, want)
	}
	if got := unpackRows(b, 4, 2); !slices.Equal(got, codes) {
		t.Errorf("%v, want %v", got, codes)
	}
}

func TestGGUFKeys(t *testing.T) {
	for activation, name := range map[string]string{"silu": "bitnet", "relu2": "bitnet-b1.58"} {
		r := opened(t, wide(t, "model.activation="+activation))
		path := filepath.Join(t.TempDir(), "m.gguf")
		o := withType(gguf.TQ1_0)
		o.Float = packed.Float16
		out, err := r.Write(t.Context(), path, GGUF, o)
		if err != nil {
			t.Fatal(err)
		}
		if notes := map[string]int{"silu": 1, "relu2": 2}[activation]; len(out.Notes) != notes {
			t.Errorf("%s: notes %q", activation, out.Notes)
		}
		f, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for key, want := range map[string]int{
			"general.file_type": 36, name + ".embedding_length": 256, name + ".feed_forward_length": 512, name + ".block_count": 1,
			name + ".attention.head_count": 4, name + ".attention.head_count_kv": 2, name + ".rope.dimension_count": 64,
			name + ".vocab_size": 256, "tokenizer.ggml.eos_token_id": int(r.rarestToken()),
		} {
			if got, err := f.Int(key); err != nil || got != want {
				t.Errorf("%s: %d, %v; want %d", key, got, err, want)
			}
		}
		for tensor, want := range map[string]gguf.Type{
			"token_embd.weight": gguf.F16, "blk.0.ffn_norm.weight": gguf.F32, "blk.0.ffn_down.weight": gguf.TQ1_0,
		} {
			if info, ok := f.Tensor(tensor); !ok || info.Type != want {
				t.Errorf("%s: %+v, want %v", tensor, info, want)
			}
		}
		if _, separate := f.Tensor("blk.0.ffn_down.scale"); separate != (name == "bitnet") {
			t.Errorf("%s: a scale of its own: %v", name, separate)
		}
		if _, has := f.Tensor("output.weight"); has {
			t.Error("a head beside the tied embedding")
		}
	}
}

// Without a type, the one that fits is taken.
func TestDefaultGGUFType(t *testing.T) {
	for want, assignments := range map[gguf.Type][]string{
		gguf.TQ2_0: {"model.dim=256", "model.ff=512"}, gguf.Q2_0: {"model.dim=128", "model.ff=192"}, gguf.F16: {},
		gguf.I2_S: {"model.dim=128", "model.ff=256", "model.activation=relu2"},
	} {
		if got := opened(t, fakeRun(t, assignments...)).ggufType(options); got != want {
			t.Errorf("%v: %v, want %v", assignments, got, want)
		}
	}
}

// What a format cannot carry is refused, by name and with a way out.
func TestRefusals(t *testing.T) {
	float := []string{"quantization.weights.bits=32", "quantization.activations.bits=32", "quantization.phases=[]"}
	for says, c := range map[string]struct {
		f           Format
		o           Options
		assignments []string
	}{
		"tensor blk.0.attn_q.weight (blocks.0.attention.q): rows of 48 elements do not divide into the blocks of 256 that TQ2_0 has: [F16] would fit": {GGUF, withType(gguf.TQ2_0), nil},
		"the run's weights are float32, and TQ2_0 would make them ternary: use the type f16":                                                          {GGUF, withType(gguf.TQ2_0), float},
		"no architecture of GGUF has a squared ReLU":                                                                                                  {GGUF, options, []string{"model.sub_norms=false", "model.activation=relu2"}},
		"bitnet uses the embedding as head":                                                                                                           {GGUF, options, []string{"model.tied_head=false"}},
		"wants heads of width dim/heads = 12":                                                                                                         {GGUF, options, []string{"model.head_dim=16"}},
		"BitNetForCausalLM wants heads of width":                                                                                                      {HuggingFace, options, []string{"model.head_dim=16"}},
		"2 bits would make them ternary":                                                                                                              {PackedHuggingFace, options, float},
		"float32 weights and activations of 8 bits":                                                                                                   {HuggingFace, options, []string{"quantization.weights.bits=32", "quantization.phases=[]"}},
		"to 8 bits, the run to 4":                                                                                                                     {HuggingFace, options, []string{"quantization.activations.bits=4"}},
		"by absmean, the run by median":                                                                                                               {HuggingFace, options, []string{"quantization.weights.scale=median"}},
		"6 rows do not divide into bytes of 4":                                                                                                        {PackedHuggingFace, options, []string{"model.dim=24", "model.kv_heads=1"}},
	} {
		r := opened(t, fakeRun(t, c.assignments...))
		path := filepath.Join(t.TempDir(), "out")
		if _, err := r.Write(t.Context(), path, c.f, c.o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a refused export left something behind", says)
		}
	}
}

func TestHuggingFaceFolder(t *testing.T) {
	r := opened(t, fakeRun(t, "model.sub_norms=false", "model.head_dim=16", "model.tied_head=false", "model.rope_base=500000"))
	dir := filepath.Join(t.TempDir(), "hf")
	if _, err := r.Write(t.Context(), dir, HuggingFace, options); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Architectures []string `json:"architectures"`
		HeadDim       int      `json:"head_dim"`
		Theta         float64  `json:"rope_theta"`
		Tied          bool     `json:"tie_word_embeddings"`
		Quantization  struct {
			Mode string `json:"quantization_mode"`
		} `json:"quantization_config"`
	}
	if err := json.Unmarshal(text, &c); err != nil || c.Architectures[0] != "LlamaForCausalLM" || c.HeadDim != 16 || c.Theta != 500000 || c.Tied || c.Quantization.Mode != "online" {
		t.Errorf("%+v, %v", c, err)
	}
	f, err := safetensors.Open(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Metadata("format") != "pt" || !f.Has("lm_head.weight") || f.Has("model.layers.0.self_attn.attn_sub_norm.weight") {
		t.Errorf("format %q, tensors %v", f.Metadata("format"), f.Tensors())
	}
	card, _ := os.ReadFile(filepath.Join(dir, "README.md"))
	for _, want := range []string{"# fake", "BitNet b1.58", "| trained | 30 steps", "perplexity 244.69"} {
		if !strings.Contains(string(card), want) {
			t.Errorf("the card lacks %q:\n%s", want, card)
		}
	}
	os.WriteFile(filepath.Join(dir, "model.safetensors.index.json"), []byte("{}"), 0o644)
	if _, err := r.Write(t.Context(), dir, HuggingFace, options); err == nil || !strings.Contains(err.Error(), "belongs to another model") {
		t.Errorf("beside the index of a model in several files: %v", err)
	}
}

// A reader of merges, written from the rule of byte-level BPE: the pair of the
// lowest rank merges first. What is left and is no token is dropped.
func mergeAll(merges, tokens []string, text string) []int32 {
	rank := map[string]int{}
	for i, m := range merges {
		rank[m] = i
	}
	var symbols []string
	for _, b := range []byte(text) {
		symbols = append(symbols, string(byteCharacter(b)))
	}
	for {
		best, at := math.MaxInt, -1
		for i := range len(symbols) - 1 {
			if r, ok := rank[symbols[i]+" "+symbols[i+1]]; ok && r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			break
		}
		symbols = slices.Replace(symbols, at, at+2, symbols[at]+symbols[at+1])
	}
	var ids []int32
	for _, s := range symbols {
		if id := slices.Index(tokens, s); id >= 0 {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// byteCharacter writes a byte as GPT-2 does.
func byteCharacter(b byte) rune {
	bytes, err := data.NewBytes(false)
	if err != nil {
		panic(err)
	}
	parts, _ := bytes.ByteLevel()
	return []rune(parts.Tokens[b])[0]
}

// The merges of characters and bytes give our ids, also for text with
// characters that the vocabulary lacks.
func TestGGUFMerges(t *testing.T) {
	text := "aé世 \U0001f600é\x00b世ñc"
	path := filepath.Join(t.TempDir(), "t.txt")
	if err := os.WriteFile(path, []byte(strings.Repeat("aé世 \U0001f600 b", 200)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{data.Char, data.Byte} {
		c := data.DefaultConfig()
		c.Path, c.Tokenizer.Kind = path, kind
		d, err := data.Open(t.Context(), c, t.TempDir(), func(string, int64, int64) {})
		if err != nil {
			t.Fatal(err)
		}
		parts, err := d.Tokenizer.ByteLevel()
		d.Close()
		if err != nil {
			t.Fatal(err)
		}
		merges := ggufMerges(parts)
		tokens, types := ggufTokens(parts, len(parts.Tokens)+1)
		if got, want := mergeAll(merges, tokens, text), d.Tokenizer.Encode(nil, []byte(text)); !slices.Equal(got, want) || len(want) < 7 {
			t.Errorf("%s: ids %v, want %v", kind, got, want)
		}
		if last := len(tokens) - 1; types[last] != unusedToken || tokens[last] == "" {
			t.Errorf("the row without a token is %q of type %d", tokens[last], types[last])
		}
		if len(merges) == 0 {
			t.Errorf("%s: no merges, which llama.cpp refuses", kind)
		}
	}
}

// Formats are written from the disk, and a failure leaves no file.
func TestWriteLeavesWeightsOnDisk(t *testing.T) {
	r := opened(t, fakeRun(t))
	os.WriteFile(r.Checkpoint, []byte("gone"), 0o644)
	path := filepath.Join(t.TempDir(), "m")
	if _, err := r.Write(t.Context(), path, GGUF, options); err == nil || !strings.Contains(err.Error(), "last.safetensors") {
		t.Errorf("a checkpoint that is gone: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a failed export left a file")
	}
}

// Writing has about one tensor in memory at a time, in every format. Progress
// is told before a tensor is used, and goes from nothing to all.
func TestWritingStreams(t *testing.T) {
	const layers, dim, ff = 3, 256, 1024
	r := opened(t, fakeRun(t, fmt.Sprint("model.layers=", layers), fmt.Sprint("model.dim=", dim), fmt.Sprint("model.ff=", ff)))
	r.Calibration, r.Heldout = Windows{}, Windows{} // no model runs
	largest := uint64(packed.Float32.Bytes(dim * ff))
	if all := uint64(r.Model.ParameterCount()); all < 2*largest { // at a byte a weight
		t.Fatalf("%d weights are too few to tell", all)
	}
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for _, f := range Formats() {
		path := filepath.Join(t.TempDir(), "m")
		base, peak, first, last, total := live(), uint64(0), int64(-1), int64(0), int64(0)
		calls := 0
		r.Progress = func(_, _ string, done, all int64) {
			if calls++; calls%3 == 0 { // for it takes time
				peak = max(peak, live())
			}
			if first < 0 {
				first = done
			}
			last, total = done, all
		}
		var err error
		if f == Trefoil {
			_, err = r.Export(t.Context(), path, options)
		} else {
			_, err = r.Write(t.Context(), path, f, options)
		}
		if err != nil {
			t.Fatal(err)
		}
		// The tensor that was read, its codes, and the buffer of the file.
		if most := largest + largest/4 + 5<<18; peak-base > most {
			t.Errorf("%s: %d bytes in use, want at most %d", f, peak-base, most)
		}
		if first != 0 || last != total || total < int64(packed.Float32.Bytes(r.Model.ParameterCount())) {
			t.Errorf("%s: progress from %d to %d of %d", f, first, last, total)
		}
	}
}
