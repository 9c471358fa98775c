package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"trefoil/arch"
	"trefoil/data"
	"trefoil/export"
	"trefoil/internal/gguf"
	"trefoil/internal/names"
	"trefoil/internal/safetensors"
	"trefoil/quant"
	"trefoil/quant/packed"
)

const llama = "testdata/llama"

func open(t testing.TB, path string) *Model {
	t.Helper()
	m, err := Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// run writes m as a run folder and loads it.
func run(t *testing.T, m *Model, o Options) *export.Run {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	o.Name = "imported"
	if err := m.Write(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	r, err := export.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// An imported model gives the ids and the logits that transformers gives:
// testdata/llama.py wrote both.
func TestLlamaEqualsTransformers(t *testing.T) {
	f, err := safetensors.Open("testdata/llama.expected.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ids, idsErr := f.Int32("ids")
	want, err := f.Float32("logits")
	if err := errors.Join(idsErr, err); err != nil {
		t.Fatal(err)
	}
	m := open(t, llama)
	if a := m.Arch; a.HeadDim() != 8 || a.RopeBase != 5000 || a.NormEps != 1e-6 || !a.UntiedHead || !a.NoSubNorms || m.Ternary {
		t.Errorf("%+v, ternary %v", a, m.Ternary)
	}
	if len(m.Notes) != 1 || !strings.Contains(m.Notes[0], "rows more than the tokenizer has ids") {
		t.Errorf("notes %q", m.Notes)
	}
	const text = "the cat's hat, the cats' 12 hats\n  and thé end"
	if got := m.Tokenizer.Encode(nil, []byte(text)); !slices.Equal(got, ids) {
		t.Errorf("ids %v, want %v", got, ids)
	}
	model, err := run(t, m, Options{}).Inference(export.Options{Float: packed.Float32})
	if err != nil {
		t.Fatal(err)
	}
	got, err := model.Logits(ids, 1)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d logits, want %d: %v", len(got), len(want), err)
	}
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-4) {
			t.Fatalf("logit %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// With text, a run folder can be evaluated; without, it says nothing of a loss.
func TestText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text.txt")
	if err := os.WriteFile(path, []byte(strings.Repeat("the cat's hats and thé end\n", 400)), 0o644); err != nil {
		t.Fatal(err)
	}
	last := map[string][2]int64{}
	progress := func(stage, _ string, done, total int64) { last[stage] = [2]int64{done, total} }
	m := open(t, llama)
	r := run(t, m, Options{Text: path, Context: 16, Cache: t.TempDir(), Progress: progress})
	if twice := 2 * 4 * int64(m.Arch.ParameterCount()); last["importing"] != [2]int64{twice, twice} || last["encoding the text"][0] == 0 {
		t.Errorf("progress ended at %v, want %d bytes", last, twice)
	}
	report, err := r.Export(t.Context(), filepath.Join(r.Dir, "m"), export.Options{Float: packed.Float32, Percentile: 99.9})
	if err != nil || report.HeldoutTokens != windows*16 || !(report.DynamicLoss > 1) || report.GraphLoss != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	r = run(t, open(t, llama), Options{})
	if report, err = r.Export(t.Context(), filepath.Join(r.Dir, "m"), export.Options{Float: packed.Float32, Percentile: 99.9}); err != nil || report.HeldoutTokens != 0 || report.DynamicLoss != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	folder := export.Folder(r.Dir)
	config, err := os.ReadFile(folder.Config())
	if err != nil {
		t.Fatal(err)
	}
	for path, change := range map[string][2]string{
		folder.Config(): {"norm_eps: 1e-06", "norm_eps: 1e-05"}, folder.Tokenizer(): {"{", "{ "},
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		other := bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(text, other) {
			t.Fatalf("%s has no %q:\n%s", path, change[0], config)
		}
		if err := os.WriteFile(path, other, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := export.Open(r.Dir); err == nil || !strings.Contains(err.Error(), path+" was changed since the run began") {
			t.Errorf("%s changed: %v", path, err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := open(t, llama).Write(t.Context(), r.Dir, Options{Name: "x"}); !errors.Is(err, ErrExists) {
		t.Errorf("a second import into one folder: %v", err)
	}
	other := export.Folder(t.TempDir())
	if err := os.WriteFile(other.Tokenizer(), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	err = open(t, llama).Write(t.Context(), string(other), Options{Name: "x"})
	if b, _ := os.ReadFile(other.Tokenizer()); err == nil || !strings.Contains(err.Error(), other.Tokenizer()+" is there already") || string(b) != "{}" {
		t.Errorf("an import over the tokenizer of another model: %v", err)
	}
}

// memory is a source of tensors in memory.
type memory map[string][]float32

func (m memory) weights(p arch.Parameter) ([]float32, error) { return m[p.Name], nil }
func (m memory) Close() error                                { return nil }
func (m memory) nonFinite(p arch.Parameter) error            { return errors.New(p.Name + " is not finite") }

// random is a BitNet of random weights.
func random(t *testing.T, activation arch.Activation) *Model {
	t.Helper()
	tokenizer, err := data.NewBytes(true)
	if err != nil {
		t.Fatal(err)
	}
	return randomOf(arch.Config{
		Vocab: tokenizer.Vocab(), Dim: 256, Layers: 2, Heads: 4, KVHeads: 2, FF: 512, Context: 32,
		Activation: activation, RopeBase: 20000, NormEps: 1e-5,
	}, tokenizer)
}

func randomOf(c arch.Config, tokenizer *data.Tokenizer) *Model {
	source := memory{}
	r := rand.New(rand.NewPCG(5, 6))
	for _, p := range c.Parameters() {
		w := make([]float32, p.Size())
		for i := range w {
			w[i] = float32(0.05 * r.NormFloat64())
		}
		source[p.Name] = w
	}
	return &Model{Path: "random", Arch: c, Tokenizer: tokenizer, Ternary: true, source: source}
}

// The card of what was not trained here says so.
func TestCardOfAnImport(t *testing.T) {
	r := run(t, open(t, llama), Options{})
	dir := filepath.Join(t.TempDir(), "hf")
	if _, err := r.Write(t.Context(), dir, export.HuggingFace, export.Options{Float: packed.Float32, Percentile: 99.9}); err != nil {
		t.Fatal(err)
	}
	card, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil || strings.Contains(string(card), "trained with") || !strings.Contains(string(card), "imported into Trefoil") {
		t.Errorf("%v: %s", err, card)
	}
}

// Splits and added tokens go through GGUF: the metadata alone gives the same ids.
func TestGGUFTokenizers(t *testing.T) {
	base, err := open(t, llama).Tokenizer.ByteLevel()
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("IT'S <tool> 12345 cats,\n\n  hats <tool>!\n")
	for pre, split := range map[string]data.Split{"gpt-2": data.SplitWords, "llama-bpe": data.SplitLlama3, "smaug-bpe": data.SplitLlama3, "qwen2": data.SplitQwen2, "smollm": data.SplitDigits} {
		parts := base
		parts.Split, parts.WholeWords = split, pre == "llama-bpe"
		parts.Tokens = append(slices.Clone(base.Tokens), "<tool>")
		parts.Special, parts.Added = append(slices.Clone(base.Special), false), append(make([]bool, len(base.Tokens)), true)
		m := random(t, arch.SiLU)
		if m.Tokenizer, err = data.NewByteLevel(parts); err != nil {
			t.Fatal(err)
		}
		c := m.Arch
		c.Vocab = m.Tokenizer.Vocab()
		r, kind, path := run(t, randomOf(c, m.Tokenizer), Options{}), gguf.TQ2_0, filepath.Join(t.TempDir(), "m.gguf")
		if _, err := r.Write(t.Context(), path, export.GGUF, export.Options{Float: packed.Float32, Percentile: 99.9, GGUF: &kind}); err != nil {
			t.Fatal(err)
		}
		file, err := gguf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := file.String("tokenizer.ggml.pre"); err != nil || got != pre {
			t.Errorf("%s: pre is %q, %v", pre, got, err)
		}
		described, err := (&ggufSource{File: file}).describedTokenizer()
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		if got, want := described.Encode(nil, text), m.Tokenizer.Encode(nil, text); !slices.Equal(got, want) || !slices.Contains(got, int32(len(base.Tokens))) {
			t.Errorf("%s: ids %v, want %v", pre, got, want)
		}
	}
}

// What is exported comes back: the same codes, scales, floats and tokenizer.
func TestExportsImport(t *testing.T) {
	for _, activation := range []arch.Activation{arch.SiLU, arch.ReLU2} {
		r := run(t, random(t, activation), Options{})
		check := func(name string, f export.Format, o export.Options) {
			t.Run(string(activation)+" "+name, func(t *testing.T) {
				o.Float, o.Percentile = packed.Float32, 99.9
				path := filepath.Join(t.TempDir(), "out")
				if _, err := r.Write(t.Context(), path, f, o); err != nil {
					t.Fatal(err)
				}
				// Scales in half precision come back rounded.
				rounded := f == export.GGUF && activation == arch.ReLU2 && *o.GGUF != gguf.I2_S
				compare(t, r, open(t, path), rounded)
			})
		}
		check("hf", export.HuggingFace, export.Options{})
		check("hf-packed", export.PackedHuggingFace, export.Options{})
		for _, kind := range export.GGUFTypes() {
			check(kind.String(), export.GGUF, export.Options{GGUF: &kind})
		}
	}
}

// Without sub-norms, a ternary model is a llama in GGUF, and comes back ternary
// from the types for that, with its own head and order of rows.
func TestTernaryLlamaExportsImport(t *testing.T) {
	m := random(t, arch.SiLU)
	c := m.Arch
	c.NoSubNorms, c.UntiedHead, c.HeadWidth = true, true, 128
	r := run(t, randomOf(c, m.Tokenizer), Options{})
	for _, kind := range export.GGUFTypes() {
		path := filepath.Join(t.TempDir(), "m.gguf")
		if _, err := r.Write(t.Context(), path, export.GGUF, export.Options{Float: packed.Float32, Percentile: 99.9, GGUF: &kind}); err != nil {
			t.Fatal(err)
		}
		back := open(t, path)
		if kind == gguf.F16 { // whose readers do not round inputs
			if back.Ternary || back.Arch != c {
				t.Errorf("%v: ternary %v, %+v", kind, back.Ternary, back.Arch)
			}
			continue
		}
		compare(t, r, back, kind != gguf.I2_S)
	}
}

func compare(t *testing.T, r *export.Run, m *Model, rounded bool) {
	t.Helper()
	if m.Arch != r.Model || !m.Ternary || string(m.Tokenizer.JSON()) != string(r.Tokenizer) {
		t.Errorf("got %+v, ternary %v, want %+v", m.Arch, m.Ternary, r.Model)
	}
	for _, p := range r.Model.Parameters() {
		w, err := m.Weights(p)
		if err != nil {
			t.Fatal(err)
		}
		want := r.Weights[p.Name]
		if p.Kind != arch.Linear {
			if !slices.Equal(w, want) {
				t.Errorf("%s changed", p.Name)
			}
			continue
		}
		codes, wantCodes := make([]int8, len(w)), make([]int8, len(w))
		scale, wantScale := quant.Ternarize(codes, w, quant.AbsMean), quant.Ternarize(wantCodes, want, quant.AbsMean)
		if !slices.Equal(codes, wantCodes) {
			t.Errorf("%s: the codes changed", p.Name)
		}
		off := math.Abs(float64(scale/wantScale) - 1)
		// Else they are equal, or next to each other: see correct.
		if rounded && (off == 0 || off > 1.0/(1<<11)) || !rounded && math.Nextafter32(scale, wantScale) != wantScale {
			t.Errorf("%s: scale %v, want %v", p.Name, scale, wantScale)
		}
	}
}

// A llama in GGUF has its queries and keys in another order, and its keys
// follow other names.
func TestLlamaGGUF(t *testing.T) {
	m := open(t, llama)
	path := filepath.Join(t.TempDir(), "llama.gguf")
	writeLlamaGGUF(t, m, path, nil)
	g := open(t, path)
	if want := m.Arch; g.Arch != want {
		t.Errorf("got %+v, want %+v", g.Arch, want)
	}
	for _, p := range m.Arch.Parameters() {
		want, err := m.Weights(p)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := g.Weights(p); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s differs: %v", p.Name, err)
		}
	}
	const text = "the cats' hats"
	if got, want := g.Tokenizer.Encode(nil, []byte(text)), m.Tokenizer.Encode(nil, []byte(text)); !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
}

// exact fills w with weights that a type of GGUF holds exactly.
func exact(kind gguf.Type, w []float32, r *rand.Rand) {
	for i := range w {
		n := 1
		switch kind {
		case gguf.Q8_0:
			n = 127
		case gguf.Q4_0:
			n = 7
		}
		w[i] = float32(r.IntN(2*n+1)-n) / 64
		switch { // what makes the scale of a block exact
		case kind == gguf.Q8_0 && i%32 == 5:
			w[i] = 127.0 / 64
		case kind == gguf.Q4_0 && i%32 == 5:
			w[i] = -8.0 / 64
		}
	}
}

// Every type that an import is to read gives the values that were written, in
// Trefoil's order of rows; those for ternary weights make the layers ternary.
func TestGGUFTypes(t *testing.T) {
	tokenizer := random(t, arch.SiLU).Tokenizer
	kinds := []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q8_0, gguf.Q4_0, gguf.TQ1_0, gguf.TQ2_0, gguf.Q2_0, gguf.I2_S}
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			m := randomOf(arch.Config{
				Vocab: tokenizer.Vocab(), Dim: 256, Layers: 1, Heads: 4, KVHeads: 2, FF: 512, Context: 32, HeadWidth: 128,
				Activation: arch.SiLU, RopeBase: 20000, NormEps: 1e-5, NoSubNorms: true, UntiedHead: true,
			}, tokenizer)
			r := rand.New(rand.NewPCG(8, 9))
			for _, p := range m.Arch.Parameters() {
				if p.Kind == arch.Linear {
					exact(kind, m.source.(memory)[p.Name], r)
				}
			}
			path := filepath.Join(t.TempDir(), "m.gguf")
			writeGGUF(t, m, path, "llama", linearAs(kind), nil)
			g := open(t, path)
			ternary := slices.Contains(ternaryTypes, kind)
			if g.Ternary != ternary || g.Arch != m.Arch {
				t.Errorf("ternary %v, %+v", g.Ternary, g.Arch)
			}
			// What F32, F16 and BF16 hold here is ternary too.
			if notes := strings.Join(g.Notes, "; "); strings.Contains(notes, "whose readers do not round") != slices.Contains(kinds[:3], kind) {
				t.Errorf("notes %s", notes)
			}
			for _, p := range m.Arch.Parameters() {
				w, err := g.Weights(p)
				if err != nil {
					t.Fatal(err)
				}
				if ternary && p.Kind == arch.Linear {
					codes := make([]int8, len(w))
					scale := quant.Ternarize(codes, w, quant.AbsMean)
					for i, c := range codes {
						w[i] = float32(c) * scale
					}
					if off := math.Abs(float64(scale)*64 - 1); off > 2e-7 {
						t.Errorf("%s: scale %v", p.Name, scale)
					}
					for i := range w {
						w[i] = float32(math.Round(float64(w[i])*64)) / 64
					}
				}
				if !slices.Equal(w, m.source.(memory)[p.Name]) {
					t.Errorf("%s changed", p.Name)
				}
			}
		})
	}
}

// A bitnet whose layers are not ternary computes with floats in llama.cpp, and
// so here: it is not rounded to ternary weights, and a note names the tensor.
func TestBitnetThatIsNotTernary(t *testing.T) {
	for _, kind := range []gguf.Type{gguf.F32, gguf.TQ2_0} {
		m := random(t, arch.SiLU)
		for _, p := range m.Arch.Parameters() {
			w := m.source.(memory)[p.Name]
			if p.Kind == arch.Linear {
				exact(gguf.TQ2_0, w, rand.New(rand.NewPCG(8, 9)))
			}
			if p.Name == "blocks.1.ffn.up" {
				for i := range w[:256] { // one block of another scale
					w[i] *= 2
				}
			}
		}
		path := filepath.Join(t.TempDir(), "m.gguf")
		writeGGUF(t, m, path, "bitnet", linearAs(kind), nil)
		g := open(t, path)
		if notes := strings.Join(g.Notes, "; "); g.Ternary || !strings.Contains(notes, "tensor blk.1.ffn_up.weight of type "+kind.String()+" is not ternary with one scale") {
			t.Errorf("%v: ternary %v, notes %s", kind, g.Ternary, notes)
		}
		r := run(t, g, Options{})
		for _, p := range m.Arch.Parameters() {
			if !slices.Equal(r.Weights[p.Name], m.source.(memory)[p.Name]) {
				t.Errorf("%v: %s changed", kind, p.Name)
			}
		}
	}
}

// A head that differs from the embedding is not dropped, whatever the config
// says; one that does not is nothing.
func TestHeadBesideATiedEmbedding(t *testing.T) {
	for _, differs := range []bool{true, false} {
		dir := edited(t, map[string]any{"tie_word_embeddings": true})
		if !differs {
			f, err := safetensors.OpenModel(dir)
			if err != nil {
				t.Fatal(err)
			}
			embedding, err := f.Bytes("model.embed_tokens.weight")
			head, path, err2 := f.Find("lm_head.weight")
			if err := errors.Join(err, err2, f.Close()); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			copy(b[head.Offset:], embedding)
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		m := open(t, dir)
		noted := slices.ContainsFunc(m.Notes, func(n string) bool {
			return strings.Contains(n, "lm_head.weight differs from model.embed_tokens.weight")
		})
		if m.Arch.UntiedHead != differs || noted != differs {
			t.Errorf("differs %v: untied %v, notes %q", differs, m.Arch.UntiedHead, m.Notes)
		}
	}
}

// Whether the head is the embedding is found out without holding either.
func TestEqualByBlocks(t *testing.T) {
	const n = 1 << 20
	dir, w := t.TempDir(), make([]float32, n)
	other := slices.Clone(w)
	other[n-1] = 1
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	err = safetensors.Write(f, nil, []safetensors.Tensor{
		{Name: "a", Shape: []int{n}, Data: w}, {Name: "same", Shape: []int{n}, Data: w}, {Name: "last", Shape: []int{n}, Data: other},
		{Name: "shape", Shape: []int{n / 2, 2}, Data: w}, {Name: "type", Shape: []int{n}, Data: make([]int32, n)},
	})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	files, err := safetensors.OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	h := &huggingFace{Model: files}
	for _, name := range []string{"same", "last", "shape", "type"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		equal, err := h.equal("a", name)
		runtime.ReadMemStats(&after)
		if err != nil || equal != (name == "same") {
			t.Errorf("%s: equal %v, %v", name, equal, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > n {
			t.Errorf("%s: %d bytes were allocated to compare matrices of %d", name, took, 4*n)
		}
	}
	if _, err := h.equal("a", "none"); err == nil || !strings.Contains(err.Error(), "tensor none is missing") {
		t.Errorf("a tensor that is missing: %v", err)
	}
}

// Packed layers of quantization_config hold what is said, or are refused.
func TestOfflineWeightsThatAreNotTernary(t *testing.T) {
	dir := edited(t, map[string]any{"quantization_config": map[string]any{"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "offline"}})
	f, err := safetensors.OpenModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for _, info := range f.Tensors() {
		w, err := f.Float32(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, safetensors.Tensor{Name: info.Name, Shape: info.Shape, Data: w})
		if strings.HasSuffix(info.Name, "_proj.weight") {
			tensors = append(tensors, safetensors.Tensor{Name: info.Name + "_scale", Shape: []int{1}, Data: []float32{1}})
		}
	}
	f.Close()
	os.Remove(filepath.Join(dir, "model.safetensors.index.json"))
	var out bytes.Buffer
	if err := safetensors.Write(&out, nil, tensors); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, "model.safetensors: tensor model.layers.0.self_attn.q_proj.weight, at byte ")
	refused(t, dir, "its elements are not -1, 0 and 1 times one number")
}

// A token that other programs put before each text is told of, and asked for by
// what is exported.
func TestTokenBeforeText(t *testing.T) {
	dir := edited(t, nil)
	path := filepath.Join(dir, "tokenizer.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	end, ok := open(t, llama).Tokenizer.EndOfText()
	if !ok {
		t.Fatal("no special token to put before text")
	}
	name := string(open(t, llama).Tokenizer.Decode([]int32{end}))
	file["post_processor"] = map[string]any{
		"type":           "TemplateProcessing",
		"single":         []any{map[string]any{"SpecialToken": map[string]any{"id": name}}, map[string]any{"Sequence": map[string]any{"id": "A"}}},
		"special_tokens": map[string]any{name: map[string]any{"ids": []int32{end}}},
	}
	text, _ = json.Marshal(file)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	m := open(t, dir)
	if !slices.ContainsFunc(m.Notes, func(n string) bool { return strings.Contains(n, "puts "+name+" before each text") }) {
		t.Errorf("notes %q", m.Notes)
	}
	// From GGUF the token is in the metadata alone.
	g := filepath.Join(t.TempDir(), "m.gguf")
	writeLlamaGGUF(t, m, g, func(keys []gguf.KeyValue) []gguf.KeyValue {
		return append(keys, gguf.KeyValue{Key: "tokenizer.ggml.add_bos_token", Value: true})
	})
	if notes := open(t, g).Notes; !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "add_bos_token") }) {
		t.Errorf("notes %q", notes)
	}
	b := random(t, arch.SiLU)
	b.Tokenizer, err = data.ParseTokenizer(text)
	if err != nil {
		t.Fatal(err)
	}
	b.Arch.Vocab = b.Tokenizer.Vocab()
	b.source.(memory)[arch.EmbeddingName] = make([]float32, b.Arch.Vocab*b.Arch.Dim)
	r, kind, out := run(t, b, Options{}), gguf.TQ2_0, filepath.Join(t.TempDir(), "b.gguf")
	if _, err := r.Write(t.Context(), out, export.GGUF, export.Options{Float: packed.Float32, Percentile: 99.9, GGUF: &kind}); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	begins, err := f.Bool("tokenizer.ggml.add_bos_token")
	id, err2 := f.Int("tokenizer.ggml.bos_token_id")
	if !begins || id != int(end) || errors.Join(err, err2) != nil {
		t.Errorf("add_bos_token %v, bos_token_id %d, %v", begins, id, errors.Join(err, err2))
	}
}

// neighbours is the order of rows that llama.cpp's llama wants, written from
// the formula of its converter: row j*width/2+i of a head becomes row 2i+j.
func neighbours(w []float32, rows, columns, width int) []float32 {
	out := make([]float32, len(w))
	for head := 0; head < rows; head += width {
		for i := range width / 2 {
			for j := range 2 {
				copy(out[(head+2*i+j)*columns:][:columns], w[(head+j*width/2+i)*columns:][:columns])
			}
		}
	}
	return out
}

// writeLlamaGGUF writes m as a GGUF file of the architecture llama in float32;
// change may alter its keys.
func writeLlamaGGUF(t testing.TB, m *Model, path string, change func([]gguf.KeyValue) []gguf.KeyValue) {
	t.Helper()
	writeGGUF(t, m, path, "llama", func(arch.Parameter) gguf.Type { return gguf.F32 }, change)
}

// linearAs gives linear layers a type, and other parameters float32.
func linearAs(kind gguf.Type) func(arch.Parameter) gguf.Type {
	return func(p arch.Parameter) gguf.Type {
		if p.Kind == arch.Linear {
			return kind
		}
		return gguf.F32
	}
}

// writeGGUF writes m as a GGUF file of an architecture, each parameter in the
// type that kind gives; change may alter its keys.
func writeGGUF(t testing.TB, m *Model, path, architecture string, kind func(arch.Parameter) gguf.Type, change func([]gguf.KeyValue) []gguf.KeyValue) {
	t.Helper()
	c := m.Arch
	parts, err := m.Tokenizer.ByteLevel()
	if err != nil {
		t.Fatal(err)
	}
	types := make([]int32, len(parts.Tokens))
	for i := range types {
		types[i] = 1
		if parts.Special[i] {
			types[i] = 3
		}
	}
	keys := []gguf.KeyValue{
		{Key: "general.architecture", Value: architecture},
		{Key: architecture + ".context_length", Value: uint32(c.Context)}, {Key: architecture + ".embedding_length", Value: uint32(c.Dim)},
		{Key: architecture + ".block_count", Value: uint32(c.Layers)}, {Key: architecture + ".feed_forward_length", Value: uint32(c.FF)},
		{Key: architecture + ".attention.head_count", Value: uint32(c.Heads)}, {Key: architecture + ".attention.head_count_kv", Value: uint32(c.KVHeads)},
		{Key: architecture + ".attention.key_length", Value: uint32(c.HeadDim())}, {Key: architecture + ".rope.dimension_count", Value: uint32(c.HeadDim())},
		{Key: architecture + ".attention.layer_norm_rms_epsilon", Value: float32(c.NormEps)}, {Key: architecture + ".rope.freq_base", Value: float32(c.RopeBase)},
		{Key: "tokenizer.ggml.model", Value: "gpt2"}, {Key: "tokenizer.ggml.pre", Value: "gpt-2"},
		{Key: "tokenizer.ggml.tokens", Value: parts.Tokens}, {Key: "tokenizer.ggml.token_type", Value: types}, {Key: "tokenizer.ggml.merges", Value: parts.Merges},
	}
	if change != nil {
		keys = change(keys)
	}
	var tensors []gguf.Tensor
	for _, p := range c.Parameters() {
		w, err := m.Weights(p)
		if err != nil {
			t.Fatal(err)
		}
		if architecture == "llama" && (strings.HasSuffix(p.Name, ".q") || strings.HasSuffix(p.Name, ".k")) {
			w = neighbours(w, p.Shape[0], p.Shape[1], c.HeadDim())
		}
		tensors = append(tensors, gguf.Tensor{Name: names.GGUF.Of(p.Name), Type: kind(p), Shape: p.Shape, Fill: func(tw *gguf.TensorWriter) error { return tw.Float32(w) }})
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(gguf.Write(f, keys, tensors), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// edited copies the folder of the llama with some fields of its config.json
// changed.
func edited(t *testing.T, fields map[string]any) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(llama)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	for field, value := range fields {
		c[field] = value
	}
	text, _ = json.Marshal(c)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
