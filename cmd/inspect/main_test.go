package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trefoil/arch"
	"trefoil/internal/command"
	"trefoil/internal/gguf"
	"trefoil/internal/safetensors"
	"trefoil/quant/packed"
)

var update = flag.Bool("update", false, "write testdata anew")

func write(t testing.TB, path string, fill func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := fill(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeGGUF(t testing.TB, path string) string {
	codes := make([]int8, 512)
	for i := range 128 {
		codes[i] = 1
	}
	return write(t, path, func(w io.Writer) error {
		return gguf.Write(w, []gguf.KeyValue{
			{Key: "general.architecture", Value: "bitnet"},
			{Key: "bitnet.rope.freq_base", Value: float32(10000)},
			{Key: "bitnet.odd", Value: math.Inf(1)},
			{Key: "general.license", Value: strings.Repeat("ä", 100)},
			{Key: "tokenizer.ggml.tokens", Value: strings.Split("a bb ccc Ġthe e f g h i j a_token_of_more_characters", " ")},
			{Key: "tokenizer.ggml.scores", Value: []float32{0.5, -1}},
		}, []gguf.Tensor{
			{Name: "blk.0.attn_q.weight", Type: gguf.TQ1_0, Shape: []int{2, 256}, Fill: func(w *gguf.TensorWriter) error { return w.Ternary(codes, 1) }},
			{Name: "output_norm.weight", Type: gguf.F32, Shape: []int{4}, Fill: func(w *gguf.TensorWriter) error { return w.Float32([]float32{1, 0, 2, 3}) }},
		})
	})
}

// writeFolder writes a Hugging Face folder of two shards.
func writeFolder(t testing.TB, dir string) string {
	shard := func(name string, tensors ...safetensors.Tensor) {
		write(t, filepath.Join(dir, name), func(w io.Writer) error {
			return safetensors.Write(w, map[string]string{"format": "pt"}, tensors)
		})
	}
	shard("model-1.safetensors",
		safetensors.Tensor{Name: "embed", Shape: []int{2, 2}, Data: safetensors.Float16{0x3c00, 0x8000, 0, 0x0001}}, // 1, -0, 0, 2^-24
		safetensors.Tensor{Name: "steps", Shape: nil, Data: []int32{math.MinInt32}})                                 // as bytes, a minus zero
	shard("model-2.safetensors",
		safetensors.Tensor{Name: "q", Shape: []int{1, 2}, Data: []uint8{0b01_01_00_10, 0b01_10_01_01}}, // -1 is 0, 0 is 1, 1 is 2
		safetensors.Tensor{Name: "q_scale", Shape: []int{1}, Data: []float32{0.5}})
	text := func(name, s string) {
		write(t, filepath.Join(dir, name), func(w io.Writer) error { _, err := io.WriteString(w, s); return err })
	}
	text("model.safetensors.index.json", `{"weight_map":{"embed":"model-1.safetensors","steps":"model-1.safetensors","q":"model-2.safetensors","q_scale":"model-2.safetensors"}}`)
	text("config.json", `{"model_type":"bitnet","quantization_config":{"quant_method":"bitnet","modules_to_not_convert":["head"]}}`)
	return dir
}

func writeTrefoil(t testing.TB, path string) string {
	m := &packed.Model{
		Config: packed.Config{Model: arch.Config{
			Vocab: 5, Dim: 8, Layers: 1, Heads: 2, KVHeads: 1, FF: 12, Context: 16, Activation: arch.SiLU, RopeBase: 10000, NormEps: 1e-5,
		}},
		Tokenizer: []byte(`{"model":{}}`),
		Tensors: []packed.Tensor{
			{Name: "norm", Type: packed.Float32, Shape: []int{2}, Values: []float32{0, 1}},
			{
				Name: "q", Type: packed.Ternary, Shape: []int{2, 4}, Scale: 0.25, Codes: []int8{0, 1, -1, 0, 0, 0, 1, 1},
				Activation: &packed.Activation{Bits: 8, AbsMax: 3, Percentile: 2},
			},
		},
	}
	return write(t, path, func(w io.Writer) error { _, err := packed.Encode(w, m); return err })
}

func inspect(t testing.TB, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestText(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	golden := filepath.Join(testFolder, "testdata")
	if err := os.Mkdir("folder", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"gguf": writeGGUF(t, "model.gguf"), "safetensors": writeFolder(t, "folder"), "trefoil": writeTrefoil(t, "model.trefoil"),
	} {
		got := inspect(t, path) + "\n" + inspect(t, path, "-zeros")
		file := filepath.Join(golden, name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// testFolder is where the tests began; TestText leaves it.
var testFolder, _ = os.Getwd()

func TestJSON(t *testing.T) {
	path := writeGGUF(t, filepath.Join(t.TempDir(), "model.gguf"))
	var got struct {
		Format string
		Keys   []struct {
			Name, Type string
			Count      *int
			Value      any
		}
		Tensors []struct {
			Name, Type string
			Shape      []int
			Bytes      int
			Zeros      *float64
		}
	}
	if err := json.Unmarshal([]byte(inspect(t, path, "-json", "-zeros")), &got); err != nil {
		t.Fatal(err)
	}
	if k := got.Keys[4]; k.Name != "tokenizer.ggml.tokens" || k.Type != "string" || *k.Count != 11 || len(k.Value.([]any)) != headElements {
		t.Errorf("tokens: %+v", k)
	}
	if v := got.Keys[2].Value; v != "+Inf" { // which JSON has no number for
		t.Errorf("infinity: %v", v)
	}
	if q := got.Tensors[0]; q.Type != "TQ1_0" || q.Bytes != 108 || fmt.Sprint(q.Shape) != "[2 256]" || *q.Zeros != 0.75 {
		t.Errorf("%+v", q)
	}
	if n := got.Tensors[1]; *n.Zeros != 0.25 {
		t.Errorf("zeros of the norm: %v", *n.Zeros)
	}
	if strings.Contains(inspect(t, path, "-json"), "zeros") {
		t.Error("zeros without -zeros")
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.MkdirAll(filepath.Join(dir, "run", "checkpoints"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for says, path := range map[string]string{
		"no such file":                                filepath.Join(dir, "none"),
		`begins with "hello wor"`:                     file("text", "hello world"),
		"is empty":                                    file("nothing", ""),
		"cut.gguf: byte 4":                            file("cut.gguf", "GGUF"),
		"zip.bin is an archive":                       file("zip.bin", "PK\x03\x04........"),
		"a.safetensors: header: a length":             file("a.safetensors", "hello world"),
		"a.json: no weight_map":                       file("a.json", "{}"),
		"cut.trefoil: header":                         file("cut.trefoil", "trefoil\nhello"),
		"run is the folder of a run without a checkp": filepath.Join(dir, "run"),
		"has neither model.safetensors nor":           filepath.Join(dir, "empty"),
	} {
		err := run(t.Context(), []string{path, "-zeros"}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), says) || errors.As(err, new(command.UsageError)) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
	for says, args := range map[string][]string{
		"0 files: name one": {}, "2 files": {"a", "b"}, "not defined: -x": {"-x"},
	} {
		if err := run(t.Context(), args, io.Discard); !errors.As(err, new(command.UsageError)) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if out := inspect(t, "-h"); !strings.Contains(out, "usage: inspect FILE") || !strings.Contains(out, "-zeros") {
		t.Errorf("-h: %q", out)
	}
}

// Of a run folder it shows the best checkpoint, else the last.
func TestRunFolder(t *testing.T) {
	run := t.TempDir()
	checkpoints := filepath.Join(run, "checkpoints")
	if err := os.Mkdir(checkpoints, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"last.safetensors", "best.safetensors"} {
		path := write(t, filepath.Join(checkpoints, name), func(w io.Writer) error {
			return safetensors.Write(w, nil, []safetensors.Tensor{{Name: "tensor of " + name, Shape: []int{1}, Data: []float32{1}}})
		})
		if out := inspect(t, run); !strings.HasPrefix(out, path+": safetensors") || !strings.Contains(out, "tensor of "+name) {
			t.Errorf("got %s", out)
		}
	}
}

func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{writeGGUF(t, filepath.Join(dir, "a.gguf")), writeFolder(t, dir), writeTrefoil(t, filepath.Join(dir, "a.trefoil"))} {
		if err := run(ctx, []string{path, "-zeros"}, io.Discard); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A file of 10 GB of holes is shown in a moment.
func TestLargeFile(t *testing.T) {
	const size = 10_000_000_000
	head := fmt.Sprintf(`{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}`, size/4, size)
	var g bytes.Buffer
	g.WriteString("GGUF")
	for _, v := range []any{uint32(3), uint64(1), uint64(0), uint64(1), byte('w'), uint32(1), uint64(size / 4), uint32(gguf.F32), uint64(0)} {
		binary.Write(&g, binary.LittleEndian, v)
	}
	for name, b := range map[string][]byte{
		"large.safetensors": append([]byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}, head...),
		"large.gguf":        append(g.Bytes(), make([]byte, -g.Len()&31)...),
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, int64(len(b))+size); err != nil {
			t.Skipf("no files with holes here: %v", err)
		}
		begin := time.Now()
		if out := inspect(t, path); !strings.Contains(out, "2,500,000,000") {
			t.Errorf("%s: got %s", name, out)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}
