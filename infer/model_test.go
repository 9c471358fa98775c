package infer

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trefoil/arch"
	"trefoil/quant"
	"trefoil/quant/packed"
)

func tiny() arch.Config {
	return arch.Config{
		Vocab: 37, Dim: 48, Layers: 2, Heads: 4, KVHeads: 2, FF: 80, Context: 24,
		Activation: arch.SiLU, RopeBase: 10000, NormEps: 1e-5,
	}
}

// random draws a model: ternary linears if weights says so, with inputs of
// the given bits and static scales that are about right.
func random(c arch.Config, weights packed.Type, bits int, seed uint64) *packed.Model {
	r := rand.New(rand.NewPCG(seed, 9))
	m := &packed.Model{Config: packed.Config{Model: c}}
	for _, p := range c.Parameters() {
		t := packed.Tensor{Name: p.Name, Type: packed.Float32, Shape: p.Shape, Values: make([]float32, p.Size())}
		for i := range t.Values {
			t.Values[i] = float32(r.NormFloat64())
			if p.Kind == arch.Norm {
				t.Values[i] = 1 + 0.1*t.Values[i]
			}
		}
		if p.Kind == arch.Linear {
			t.Activation = &packed.Activation{Bits: bits, AbsMax: 4, Percentile: 3}
			for i := range t.Values {
				t.Values[i] *= 0.1
			}
			if weights == packed.Ternary {
				t.Type, t.Codes = packed.Ternary, make([]int8, p.Size())
				t.Scale, t.Values = quant.Ternarize(t.Codes, t.Values, quant.AbsMean), nil
			}
		}
		m.Tensors = append(m.Tensors, t)
	}
	return m
}

func load(t testing.TB, content *packed.Model) *Model {
	t.Helper()
	m, err := New(content)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func randomTokens(n int, c arch.Config, seed uint64) []int32 {
	r := rand.New(rand.NewPCG(seed, 10))
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = int32(r.IntN(c.Vocab))
	}
	return tokens
}

// reference computes the logits of one sequence in float64, by the formulas
// of package arch and with none of the kernels.
func reference(content *packed.Model, tokens []int32, mode Activations) [][]float64 {
	c := content.Config.Model
	matrix := func(name string) func(o, i int) float64 {
		t := content.Find(name)
		in := t.Shape[len(t.Shape)-1]
		return func(o, i int) float64 {
			if t.Type == packed.Ternary {
				return float64(t.Codes[o*in+i]) * float64(t.Scale)
			}
			return float64(t.Values[o*in+i])
		}
	}
	norm := func(x []float64, name string) []float64 {
		sum, gain := 0.0, matrix(name)
		for _, v := range x {
			sum += v * v
		}
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = v / math.Sqrt(sum/float64(len(x))+c.NormEps) * gain(0, i)
		}
		return y
	}
	linear := func(x []float64, name string) []float64 {
		t, w := content.Find(name), matrix(name)
		x = round(x, *t.Activation, mode)
		y := make([]float64, t.Shape[0])
		for o := range y {
			for i, v := range x {
				y[o] += v * w(o, i)
			}
		}
		return y
	}
	hd := c.HeadDim()
	rotate := func(x []float64, position int) {
		for at := 0; at < len(x); at += hd {
			for i := range hd / 2 {
				angle := float64(position) * math.Pow(c.RopeBase, -2*float64(i)/float64(hd))
				a, b := x[at+i], x[at+i+hd/2]
				x[at+i] = a*math.Cos(angle) - b*math.Sin(angle)
				x[at+i+hd/2] = b*math.Cos(angle) + a*math.Sin(angle)
			}
		}
	}
	add := func(x, y []float64) {
		for i, v := range y {
			x[i] += v
		}
	}

	embedding := matrix(arch.EmbeddingName)
	xs := make([][]float64, len(tokens))
	for t, id := range tokens {
		for i := range c.Dim {
			xs[t] = append(xs[t], embedding(int(id), i))
		}
	}
	for l := range c.Layers {
		n := arch.BlockNames(l)
		var ks, vs [][]float64
		for t, x := range xs {
			h := norm(x, n.AttentionNorm)
			q, k, v := linear(h, n.Q), linear(h, n.K), linear(h, n.V)
			rotate(q, t)
			rotate(k, t)
			ks, vs = append(ks, k), append(vs, v)
			out := make([]float64, c.Dim)
			for head := range c.Heads {
				attendOne(out[head*hd:(head+1)*hd], q[head*hd:], ks, vs, head*c.KVHeads/c.Heads*hd)
			}
			add(x, linear(norm(out, n.AttentionSubNorm), n.O))
			h = norm(x, n.FFNNorm)
			gate, up := linear(h, n.Gate), linear(h, n.Up)
			for i, g := range gate {
				if c.Activation == arch.ReLU2 {
					up[i] *= max(g, 0) * max(g, 0)
				} else {
					up[i] *= g / (1 + math.Exp(-g))
				}
			}
			add(x, linear(norm(up, n.FFNSubNorm), n.Down))
		}
	}
	logits := make([][]float64, len(tokens))
	for t, x := range xs {
		h := norm(x, arch.NormName)
		for id := range c.Vocab {
			sum := 0.0
			for i, v := range h {
				sum += v * embedding(id, i)
			}
			logits[t] = append(logits[t], sum)
		}
	}
	return logits
}

// attendOne is one query of one head: keys and values begin at column at.
func attendOne(out, q []float64, ks, vs [][]float64, at int) {
	weights, total := make([]float64, len(ks)), 0.0
	for j, k := range ks {
		dot := 0.0
		for i := range out {
			dot += q[i] * k[at+i]
		}
		weights[j] = math.Exp(dot / math.Sqrt(float64(len(out))))
		total += weights[j]
	}
	for j, v := range vs {
		for i := range out {
			out[i] += weights[j] / total * v[at+i]
		}
	}
}

// round is the quantizer of activations, in float64.
func round(x []float64, a packed.Activation, mode Activations) []float64 {
	if a.Bits == 32 {
		return x
	}
	bound := 1e-5
	for _, v := range x {
		bound = max(bound, math.Abs(v))
	}
	switch mode {
	case StaticAbsMax:
		bound = float64(a.AbsMax)
	case StaticPercentile:
		bound = float64(a.Percentile)
	}
	top := math.Exp2(float64(a.Bits-1)) - 1
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = max(-top-1, min(top, math.RoundToEven(v*top/bound))) * bound / top
	}
	return y
}

func TestLogitsAgainstReference(t *testing.T) {
	relu2 := tiny()
	relu2.Activation, relu2.KVHeads = arch.ReLU2, 4
	for _, test := range []struct {
		name    string
		c       arch.Config
		weights packed.Type
		bits    int
		mode    Activations
		most    float64 // largest difference; a code that rounds the other way shows
	}{
		{"float", tiny(), packed.Float32, 32, Dynamic, 1e-4},
		{"float, relu2", relu2, packed.Float32, 32, Dynamic, 1e-4},
		{"ternary, float inputs", tiny(), packed.Ternary, 32, Dynamic, 1e-4},
		{"ternary, 8 bits", tiny(), packed.Ternary, 8, Dynamic, 0.1},
		{"ternary, 8 bits, static", tiny(), packed.Ternary, 8, StaticAbsMax, 0.1},
		{"ternary, 8 bits, clipped", tiny(), packed.Ternary, 8, StaticPercentile, 0.1},
		{"float weights, 8 bits", relu2, packed.Float32, 8, Dynamic, 0.1},
	} {
		content := random(test.c, test.weights, test.bits, 1)
		m, err := load(t, content).WithActivations(test.mode)
		if err != nil {
			t.Fatal(err)
		}
		tokens := randomTokens(test.c.Context, test.c, 2)
		got, err := m.Logits(tokens, 1)
		if err != nil {
			t.Fatal(err)
		}
		worst, largest := 0.0, 0.0
		for r, row := range reference(content, tokens, test.mode) {
			for i, want := range row {
				worst = max(worst, math.Abs(float64(got[r*test.c.Vocab+i])-want))
				largest = max(largest, math.Abs(want))
			}
		}
		t.Logf("%s: logits up to %.3g, largest difference %.2g", test.name, largest, worst)
		if !(worst <= test.most) {
			t.Errorf("%s: the logits differ by %v", test.name, worst)
		}
	}
}

// A sequence's bits do not depend on the sequences beside it.
func TestBatchEqualsSingle(t *testing.T) {
	m := load(t, random(tiny(), packed.Ternary, 8, 3))
	const batch, length = 3, 17
	tokens := randomTokens(batch*length, tiny(), 4)
	all, err := m.Logits(tokens, batch)
	if err != nil {
		t.Fatal(err)
	}
	for b := range batch {
		one, err := m.Logits(tokens[b*length:(b+1)*length], 1)
		if err != nil {
			t.Fatal(err)
		}
		if n := length * tiny().Vocab; !slices.Equal(one, all[b*n:(b+1)*n]) {
			t.Errorf("sequence %d of the batch differs from the sequence alone", b)
		}
	}
}

// A projection with one float32 layer is a float32 product of all.
func TestMixedProjection(t *testing.T) {
	content := random(tiny(), packed.Ternary, 8, 5)
	float := random(tiny(), packed.Float32, 8, 5)
	name := arch.BlockNames(1).K
	*content.Find(name) = *float.Find(name)
	tokens := randomTokens(8, tiny(), 6)
	got, err := load(t, content).Logits(tokens, 1)
	if err != nil {
		t.Fatal(err)
	}
	for r, row := range reference(content, tokens, Dynamic) {
		for i, want := range row {
			if d := math.Abs(float64(got[r*tiny().Vocab+i]) - want); d > 0.1 {
				t.Fatalf("logit %d of token %d is off by %v", i, r, d)
			}
		}
	}
}

func TestOpenEqualsNew(t *testing.T) {
	content := random(tiny(), packed.Ternary, 8, 7)
	content.Tokenizer = []byte(`{"a":1}`)
	path := filepath.Join(t.TempDir(), "m.trefoil")
	if _, err := packed.Write(path, content); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	tokens := randomTokens(20, tiny(), 8)
	a, err := load(t, content).Logits(tokens, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := opened.Logits(tokens, 2)
	if err != nil || !slices.Equal(a, b) {
		t.Errorf("the file's logits differ from memory's: %v", err)
	}
	if string(opened.Tokenizer()) != `{"a":1}` {
		t.Errorf("tokenizer %s", opened.Tokenizer())
	}
}

// A file that claims a huge context must not cost memory before it is used.
func TestHugeContext(t *testing.T) {
	c := tiny()
	content := random(c, packed.Ternary, 8, 7)
	content.Config.Model.Context = 1 << 20
	m := load(t, content)
	a, err := m.NewSession().Append(1, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	b, err := load(t, random(c, packed.Ternary, 8, 7)).NewSession().Append(1, 2, 3)
	if err != nil || !slices.Equal(a, b) {
		t.Errorf("the context changes what three tokens mean: %v", err)
	}
	if n := len(m.rope.cos); n > 6*c.HeadDim() {
		t.Errorf("three tokens took a table of %d", n)
	}
}

func TestTapSeesEveryLinear(t *testing.T) {
	content := random(tiny(), packed.Ternary, 32, 9) // no rounding: y = x w'
	seen := map[string]bool{}
	m := load(t, content).WithTap(func(name string, x, y []float32, rows int) {
		seen[name] = true
		w := content.Find(name)
		out, in := w.Shape[0], w.Shape[1]
		if rows != 6 || len(x) != rows*in || len(y) != rows*out {
			t.Fatalf("%s: %d rows, %d inputs, %d outputs", name, rows, len(x), len(y))
		}
		for r := range rows {
			for o := range out {
				want := 0.0
				for i := range in {
					want += float64(x[r*in+i]) * float64(w.Codes[o*in+i]) * float64(w.Scale)
				}
				if math.Abs(float64(y[r*out+o])-want) > 1e-4 {
					t.Fatalf("%s: output %d of row %d is %v, want %v", name, o, r, y[r*out+o], want)
				}
			}
		}
	})
	if _, err := m.Logits(randomTokens(6, tiny(), 10), 2); err != nil {
		t.Fatal(err)
	}
	for _, p := range tiny().Parameters() {
		if seen[p.Name] != (p.Kind == arch.Linear) {
			t.Errorf("%s: seen %v", p.Name, seen[p.Name])
		}
	}
}

func TestLoss(t *testing.T) {
	content := random(tiny(), packed.Float32, 32, 11)
	m := load(t, content)
	const n, length = 50, 24 // more than one evaluation at a time
	windows := randomTokens(n*(length+1), tiny(), 12)
	got, err := m.Loss(windows, n)
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for i := range n {
		w := windows[i*(length+1) : (i+1)*(length+1)]
		for r, row := range reference(content, w[:length], Dynamic) {
			sum := 0.0
			for _, v := range row {
				sum += math.Exp(v)
			}
			want += math.Log(sum) - row[w[r+1]]
		}
	}
	want /= n * length
	if math.Abs(got-want) > 1e-5 {
		t.Errorf("loss %v, want %v", got, want)
	}
}

func TestBadInput(t *testing.T) {
	m := load(t, random(tiny(), packed.Ternary, 8, 13))
	for says, call := range map[string]func() error{
		"token 37 at position 1: the model knows 0 to 36": func() error { _, err := m.Logits([]int32{0, 37}, 1); return err },
		"token -1":                         func() error { _, err := m.Logits([]int32{-1}, 1); return err },
		"not 2 sequences":                  func() error { _, err := m.Logits([]int32{1, 2, 3}, 2); return err },
		"not 1 sequences":                  func() error { _, err := m.Logits(nil, 1); return err },
		"longer than the context of 24":    func() error { _, err := m.Logits(make([]int32, 25), 1); return err },
		"not 3 windows":                    func() error { _, err := m.Loss(make([]int32, 3), 3); return err },
		"token 99 at position 0":           func() error { _, err := m.Loss([]int32{1, 99}, 1); return err },
		"no tokens to read":                func() error { _, err := m.NewSession().Append(); return err },
		"token 40 at position 0: the mode": func() error { _, err := m.NewSession().Append(40); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
}

func TestBadTensors(t *testing.T) {
	gate, down := arch.BlockNames(0).Gate, arch.BlockNames(1).Down
	for says, change := range map[string]func(*packed.Model){
		"tensor norm is missing":               func(m *packed.Model) { m.Tensors = m.Tensors[:len(m.Tensors)-1] },
		"tensor " + down + ": shape is [48 81": func(m *packed.Model) { m.Find(down).Shape = []int{48, 81} },
		"tensor " + gate + ": the index does":  func(m *packed.Model) { m.Find(gate).Activation = nil },
		"read the same input": func(m *packed.Model) {
			m.Find(gate).Activation = &packed.Activation{Bits: 4}
		},
		"only linear layers can be ternary": func(m *packed.Model) { m.Find("norm").Type = packed.Ternary },
		"heads":                             func(m *packed.Model) { m.Config.Model.KVHeads = 3 },
	} {
		content := random(tiny(), packed.Ternary, 8, 14)
		change(content)
		if _, err := New(content); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
	content := random(tiny(), packed.Ternary, 8, 14)
	content.Find(down).Activation = &packed.Activation{Bits: 8}
	m := load(t, content)
	whole := load(t, random(tiny(), packed.Float32, 32, 1))
	if _, err := whole.WithActivations(StaticAbsMax); err == nil || !strings.Contains(err.Error(), "use dynamic") {
		t.Errorf("static scales of float32 activations: %v", err)
	}
	if _, err := m.WithActivations(StaticAbsMax); err == nil || !strings.Contains(err.Error(), down) {
		t.Errorf("static scales that are not there: %v", err)
	}
	if _, err := m.WithActivations(Dynamic); err != nil {
		t.Error(err)
	}
}
