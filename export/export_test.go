package export

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/data"
	"trefoil/infer"
	"trefoil/internal/safetensors"
	"trefoil/quant/packed"
)

const windows, vocab, length = 6, 256, 16

func writeTensors(t *testing.T, path string, metadata map[string]string, tensors []safetensors.Tensor) {
	t.Helper()
	var b bytes.Buffer
	if err := safetensors.Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fakeRun makes a run folder with random weights.
func fakeRun(t *testing.T, assignments ...string) string {
	t.Helper()
	dir := t.TempDir()
	assignments = append([]string{
		"name=fake", "model.dim=48", "model.layers=2", "model.heads=4", "model.kv_heads=2",
		"model.ff=80", fmt.Sprintf("model.context=%d", length),
	}, assignments...)
	c, err := config.Parse("test", nil, assignments...)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(filepath.Join(dir, "config.yaml")); err != nil {
		t.Fatal(err)
	}
	bytes, err := data.NewBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(Folder(dir).Tokenizer(), bytes.JSON(), 0o644); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 51))
	tokens := func() []int32 {
		x := make([]int32, windows*(length+1))
		for i := range x {
			x[i] = int32(r.IntN(vocab))
		}
		return x
	}
	writeTensors(t, filepath.Join(dir, "evaluation.safetensors"), nil, []safetensors.Tensor{
		{Name: "calibration", Shape: []int{windows, length + 1}, Data: tokens()},
		{Name: "heldout", Shape: []int{windows, length + 1}, Data: tokens()},
	})
	var tensors []safetensors.Tensor
	for _, p := range c.Model.Arch(vocab).Parameters() {
		w := make([]float32, p.Size())
		for i := range w {
			w[i] = float32(0.05 * r.NormFloat64())
			if p.Kind == arch.Norm {
				w[i]++
			}
		}
		tensors = append(tensors,
			safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: w},
			safetensors.Tensor{Name: "optimizer.mean." + p.Name, Shape: p.Shape, Data: w})
	}
	if err := os.Mkdir(filepath.Join(dir, "checkpoints"), 0o755); err != nil {
		t.Fatal(err)
	}
	state := map[string]string{"trefoil.state": `{"step": 30, "val_loss": 5.5, "best_step": 30}`}
	writeTensors(t, filepath.Join(dir, "checkpoints", "last.safetensors"), state, tensors)
	return dir
}

func load(t *testing.T, dir string) *Run {
	t.Helper()
	r, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var options = Options{Float: packed.Float32, Percentile: 99.9}

func TestFreezeIsTheFormula(t *testing.T) {
	r := load(t, fakeRun(t))
	m, err := r.Freeze(options)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range r.Model.Parameters() {
		tensor, w := m.Tensors[i], r.Weights[p.Name]
		if p.Kind != arch.Linear {
			if tensor.Type != packed.Float32 || !slices.Equal(tensor.Values, w) {
				t.Errorf("%s changed", p.Name)
			}
			continue
		}
		mean := 0.0
		for _, v := range w {
			mean += math.Abs(float64(v)) / float64(len(w))
		}
		if math.Abs(float64(tensor.Scale)-mean) > 1e-6*mean {
			t.Errorf("%s: gamma %v, mean|W| %v", p.Name, tensor.Scale, mean)
		}
		for j, v := range w {
			x := float64(v) / mean
			if want := max(-1, min(1, math.RoundToEven(x))); float64(tensor.Codes[j]) != want && math.Abs(math.Abs(x)-0.5) > 1e-5 {
				t.Fatalf("%s: code of %v is %d, want %v", p.Name, x, tensor.Codes[j], want)
			}
		}
	}
}

// The bounds are those of the inputs that the model gives its layers.
func TestCalibration(t *testing.T) {
	r := load(t, fakeRun(t))
	m, err := r.Freeze(options)
	if err != nil {
		t.Fatal(err)
	}
	bounds, err := r.calibrate(t.Context(), &m.Config, Options{Float: packed.Float32, Percentile: 99})
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string][]float32{}
	model, err := infer.New(m)
	if err != nil {
		t.Fatal(err)
	}
	model = model.WithTap(func(name string, x, _ []float32, _ int) {
		for _, v := range x {
			inputs[name] = append(inputs[name], max(v, -v))
		}
	})
	if _, err := model.Loss(r.Calibration.Tokens, r.Calibration.N); err != nil {
		t.Fatal(err)
	}
	for name, x := range inputs {
		slices.Sort(x)
		a := bounds[name]
		if a.AbsMax != x[len(x)-1] {
			t.Errorf("%s: absmax %v, want %v", name, a.AbsMax, x[len(x)-1])
		}
		want := x[int(math.Round(0.99*float64(len(x))))-1]
		if d := math.Abs(float64(a.Percentile/want) - 1); d > 0.01 {
			t.Errorf("%s: percentile %v, want %v", name, a.Percentile, want)
		}
	}
	if got := m.Config.Quantization.CalibrationTokens; got != windows*length {
		t.Errorf("%d calibration tokens", got)
	}
}

func TestExport(t *testing.T) {
	r := load(t, fakeRun(t))
	path := filepath.Join(r.Dir, "model.trefoil")
	report, err := r.Export(t.Context(), path, options)
	if err != nil {
		t.Fatal(err)
	}
	f, err := packed.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Verify(); err != nil {
		t.Error(err)
	}
	if f.Size() != report.FileBytes || !bytes.Equal(f.Tokenizer(), r.Tokenizer) {
		t.Errorf("the file has %d bytes, the report says %d", f.Size(), report.FileBytes)
	}
	if got := f.Config().Provenance; got != (packed.Provenance{Run: "fake", Step: 30, Loss: 5.5}) {
		t.Errorf("provenance: %+v", got)
	}
	// By hand: 48*48*2 + 2*24*48 + 3*80*48 weights a block, at 5 to a byte.
	bytes, weights, zeros := 0, 0, 0.0
	for _, l := range report.Layers {
		if l.Kind == arch.Linear {
			bytes, weights, zeros = bytes+l.Bytes, weights+l.Weights, zeros+l.Zeros*float64(l.Weights)
			if math.Abs(l.BitsPerWeight()-1.6) > 0.01 {
				t.Errorf("%s: %v bits a weight", l.Name, l.BitsPerWeight())
			}
		}
	}
	if want := 2 * (4608 + 2304 + 11520); weights != want || bytes < want/5 || bytes > want/5+14 {
		t.Errorf("%d weights in %d bytes, want %d", weights, bytes, want)
	}
	// A normal variable is below half its mean magnitude with probability 0.31.
	if share := zeros / float64(weights); math.Abs(share-0.310) > 0.01 {
		t.Errorf("%v of the codes are zero", share)
	}
	if report.GraphLoss != 5.5 || report.HeldoutTokens != windows*length {
		t.Errorf("graph loss %v on %d tokens", report.GraphLoss, report.HeldoutTokens)
	}
	// Random weights know about nothing: log 256.
	for name, loss := range map[string]float64{
		"dynamic": report.DynamicLoss, "absmax": *report.StaticAbsMaxLoss, "percentile": *report.StaticPercentileLoss,
	} {
		if math.Abs(loss-math.Log(vocab)) > 0.2 {
			t.Errorf("%s: loss %v", name, loss)
		}
	}
	if report.DynamicLoss == *report.StaticAbsMaxLoss || *report.StaticAbsMaxLoss == *report.StaticPercentileLoss {
		t.Error("two ways to scale activations give the same loss to the last bit")
	}
}

func TestFloat16(t *testing.T) {
	r := load(t, fakeRun(t))
	single, err := r.Export(t.Context(), filepath.Join(r.Dir, "single"), options)
	if err != nil {
		t.Fatal(err)
	}
	half, err := r.Export(t.Context(), filepath.Join(r.Dir, "half"), Options{Float: packed.Float16, Percentile: 99.9})
	if err != nil {
		t.Fatal(err)
	}
	floats := 256*48 + 2*(3*48+80) + 48 // the embedding and the norms
	if saved := int(single.FileBytes - half.FileBytes); math.Abs(float64(saved-2*floats)) > 2000 {
		t.Errorf("float16 saves %d bytes, want about %d", saved, 2*floats)
	}
	if d := math.Abs(half.DynamicLoss - single.DynamicLoss); d == 0 || d > 1e-2 {
		t.Errorf("float16 changes the loss by %v", d)
	}
}

func TestFloatRun(t *testing.T) {
	r := load(t, fakeRun(t, "quantization.weights.bits=32", "quantization.activations.bits=32", "quantization.phases=[]"))
	report, err := r.Export(t.Context(), filepath.Join(r.Dir, "m"), options)
	if err != nil {
		t.Fatal(err)
	}
	if report.StaticAbsMaxLoss != nil {
		t.Error("static scales of inputs that are not quantized")
	}
	for _, l := range report.Layers {
		if l.Type != packed.Float32 || l.BitsPerWeight() != 32 {
			t.Errorf("%s: %v at %v bits", l.Name, l.Type, l.BitsPerWeight())
		}
	}
}

// A layer with a quantizer of its own is in the file in the bits of its codes,
// and formats for others refuse it.
func TestMixedPrecision(t *testing.T) {
	const mixed = `quantization.mixed=[{layers: blocks.0.ffn.down, quantizer: {bits: 4, granularity: channel}}]`
	r := load(t, fakeRun(t, mixed))
	path := filepath.Join(t.TempDir(), "model.trefoil")
	report, err := r.Export(t.Context(), path, options)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range report.Layers {
		if l.Name != "blocks.0.ffn.down" {
			continue
		}
		rows, n := l.Shape[0], l.Weights
		if want := packed.Bits4.Bytes(n) + 4*rows; l.Type != "bits4" || l.Bytes != want || l.Scales != rows {
			t.Errorf("%s: %v of %d bytes with %d scales, want bits4 of %d bytes with %d scales", l.Name, l.Type, l.Bytes, l.Scales, want, rows)
		}
	}
	if v, err := r.Verify(t.Context(), path, Trefoil, options); err != nil || v.Exact != v.Tensors {
		t.Errorf("verified %+v: %v", v, err)
	}
	for _, f := range []Format{GGUF, HuggingFace, SafeTensors} {
		if _, err := r.Write(t.Context(), filepath.Join(t.TempDir(), "out"), f, options); err == nil || !strings.Contains(err.Error(), "blocks.0.ffn.down has a quantizer of its own") {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestMedianScale(t *testing.T) {
	r := load(t, fakeRun(t, "quantization.weights.scale=median"))
	w := slices.Clone(r.Weights["blocks.1.ffn.up"])
	for i := range w {
		w[i] = max(w[i], -w[i])
	}
	slices.Sort(w)
	m, err := r.Freeze(options)
	if err != nil {
		t.Fatal(err)
	}
	got := m.Find("blocks.1.ffn.up").Scale
	if want := w[len(w)/2]; math.Abs(float64(got-want)) > 1e-4 {
		t.Errorf("gamma %v, median|W| %v", got, want)
	}
}

func TestBestCheckpointGoesFirst(t *testing.T) {
	dir := fakeRun(t)
	if r := load(t, dir); filepath.Base(r.Checkpoint) != "last.safetensors" {
		t.Errorf("read %s", r.Checkpoint)
	}
	last := filepath.Join(dir, "checkpoints", "last.safetensors")
	b, _ := os.ReadFile(last)
	os.WriteFile(filepath.Join(dir, "checkpoints", "best.safetensors"), b, 0o644)
	if r := load(t, dir); filepath.Base(r.Checkpoint) != "best.safetensors" {
		t.Errorf("read %s", r.Checkpoint)
	}
}

// A file in float32 that predicts otherwise than the graph did is refused: one
// of the two is not of this run.
func TestLossOfTheGraph(t *testing.T) {
	dir := fakeRun(t)
	r := load(t, dir)
	report, err := r.Export(t.Context(), filepath.Join(dir, "m"), options)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for _, p := range r.Model.Parameters() {
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: r.Weights[p.Name]})
	}
	for _, c := range []struct {
		off  float64
		says string
	}{{0, ""}, {1e-4, ""}, {-0.01, "is not the model that was trained"}, {0.01, "is not the model that was trained"}} {
		state := map[string]string{StateKey: fmt.Sprintf(`{"step": 30, "val_loss": %v}`, report.DynamicLoss+c.off)}
		writeTensors(t, Folder(dir).Best(), state, tensors)
		_, err := load(t, dir).Export(t.Context(), filepath.Join(dir, "m"), options)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("a loss of the graph that is %v off: %v", c.off, err)
		}
		half := options
		half.Float = packed.Float16
		if _, err := load(t, dir).Export(t.Context(), filepath.Join(dir, "m"), half); err != nil {
			t.Errorf("half precision may predict otherwise: %v", err)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	damage := func(name string, at func(n int) int) func(string) {
		return func(dir string) {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[at(len(b))] ^= 0x10
			os.WriteFile(path, b, 0o644)
		}
	}
	end := func(n int) int { return n - 1 }
	for says, change := range map[string]func(dir string){
		"is not the folder of a run":                  func(dir string) { os.Remove(filepath.Join(dir, "config.yaml")) },
		"tokenizer.json":                              func(dir string) { os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte("{"), 0o644) },
		"checkpoints holds no checkpoint: train with": func(dir string) { os.RemoveAll(filepath.Join(dir, "checkpoints")) },
		"header: its checksum does not match: the file is damaged: bring the file back, or train anew":                      damage("checkpoints/last.safetensors", func(int) int { return 300 }),
		"evaluation.safetensors: tensor heldout: its checksum does not match: the file is damaged: bring the file back, or": damage("evaluation.safetensors", end),
		"evaluation.safetensors: no such file": func(dir string) { os.Remove(filepath.Join(dir, "evaluation.safetensors")) },
		"tensor heldout: shape is [1 5], want [n, 17]": func(dir string) {
			writeTensors(t, filepath.Join(dir, "evaluation.safetensors"), nil, []safetensors.Tensor{
				{Name: "calibration", Shape: []int{1, 17}, Data: make([]int32, 17)}, {Name: "heldout", Shape: []int{1, 5}, Data: make([]int32, 5)},
			})
		},
		"outside of the vocabulary of 256": func(dir string) {
			bad := slices.Repeat([]int32{256}, 17)
			writeTensors(t, filepath.Join(dir, "evaluation.safetensors"), nil, []safetensors.Tensor{
				{Name: "calibration", Shape: []int{1, 17}, Data: bad}, {Name: "heldout", Shape: []int{1, 17}, Data: bad},
			})
		},
		"tensor embedding: element 3 is NaN": func(dir string) {
			r := load(t, dir)
			r.Weights["embedding"][3] = float32(math.NaN())
			var tensors []safetensors.Tensor
			for _, p := range r.Model.Parameters() {
				tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: r.Weights[p.Name]})
			}
			writeTensors(t, filepath.Join(dir, "checkpoints", "last.safetensors"), nil, tensors)
		},
		"tensor embedding: shape is [2 48]": func(dir string) {
			writeTensors(t, filepath.Join(dir, "checkpoints", "last.safetensors"), nil,
				[]safetensors.Tensor{{Name: "embedding", Shape: []int{2, 48}, Data: make([]float32, 96)}})
		},
	} {
		dir := fakeRun(t)
		change(dir)
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
}

func TestExportErrors(t *testing.T) {
	r := load(t, fakeRun(t))
	path := filepath.Join(r.Dir, "m")
	for says, o := range map[string]Options{
		"float type \"int8\"": {Float: "int8", Percentile: 99},
		"percentile 101":      {Float: packed.Float32, Percentile: 101},
		"percentile NaN":      {Float: packed.Float32, Percentile: math.NaN()},
	} {
		if _, err := r.Export(t.Context(), path, o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
	r.Weights["norm"][5] = 1e5
	if _, err := r.Export(t.Context(), path, Options{Float: packed.Float16, Percentile: 99}); err == nil || !strings.Contains(err.Error(), "tensor norm: element 5 is 100000, beyond half precision") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a failed export left a file")
	}
	m, err := r.Freeze(options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := packed.Encode(io.Discard, m); err != nil {
		t.Errorf("in float32 it must work: %v", err)
	}
}
