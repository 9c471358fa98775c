package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/quant"
)

func quantizer(t *testing.T, c quant.Config) *quant.Scalar {
	t.Helper()
	q, err := quant.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// someRules are quantizers of each kind, for tensors whose last two
// dimensions are 6 x 8.
var someRules = []quant.Config{
	{},
	{Bits: 1},
	{Bits: 1, Scale: quant.Centred, Granularity: quant.PerChannel},
	{Bits: quant.Ternary, Scale: quant.TWN, Granularity: quant.PerToken},
	{Bits: 2, Granularity: quant.PerChannel, Axis: -1},
	{Bits: 3, Scale: quant.MSE},
	{Bits: 4, Granularity: quant.PerGroup, Group: 4, Scale: quant.Percentile, Percentile: 80},
	{Bits: 4, Scheme: quant.Affine, Granularity: quant.PerChannel},
	{Bits: 8, Scheme: quant.Affine, Granularity: quant.PerBlock, Block: [2]int{3, 4}},
	{Bits: 8, ScaleType: quant.PowerOfTwo},
	{Bits: 4, Scale: quant.SEQ, Granularity: quant.PerChannel},
	{Bits: 3, Scale: quant.LSQ},
}

// Values, blends and gradients of every kind of quantizer are those of its
// codes, scales and zero points.
func TestFakeQuantByRule(t *testing.T) {
	for _, c := range someRules {
		for _, lambda := range []float64{0, 0.25, 1} {
			t.Run(fmt.Sprintf("%+v/%v", c, lambda), func(t *testing.T) {
				q := quantizer(t, c)
				w := &WeightQuantizer{Rule: q, Lambda: lambda}
				b := newBench(t, [][]int{{2, 6, 8}}, func(in []*G.Node) (*G.Node, error) { return FakeQuantWeight(in[0], w) })
				b.run()
				x := make([]float32, len(b.data[0]))
				for i, v := range b.data[0] {
					x[i] = float32(v)
				}
				want, err := q.Quantize(x, 2, 6, 8)
				if err != nil {
					t.Fatal(err)
				}
				y, dy, dx := b.out.Value().Data().([]float64), weightsOf(b), b.gradient(0)
				l := want.Layout
				for g := range l.Groups {
					for r := range l.Runs {
						lo := l.Start(g) + r*l.Stride
						for i := lo; i < lo+l.Run; i++ {
							zero := 0.0
							if len(want.Zeros) > 0 {
								zero = float64(want.Zeros[g])
							}
							scale := float64(want.Scales[g])
							v := b.data[0][i] + lambda*((float64(want.Codes[i])-zero)*scale-b.data[0][i])
							if math.Abs(y[i]-v) > 1e-12 {
								t.Fatalf("value %d: %v, want %v", i, y[i], v)
							}
							d := 1.0
							code := math.RoundToEven(b.data[0][i] / scale)
							if c.Bits >= 2 && (code+zero < float64(want.Grid.Min) || code+zero > float64(want.Grid.Max)) {
								d = 1 - lambda
							}
							if math.Abs(dx[i]-d*dy[i]) > 1e-12 {
								t.Fatalf("gradient %d: %v, want %v of %v", i, dx[i], d, dy[i])
							}
						}
					}
				}
			})
		}
	}
}

// floats32 adds a float32 node with normal random values.
func floats32(g *G.ExprGraph, name string, r *rand.Rand, shape ...int) (*G.Node, []float32) {
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32(r.NormFloat64())
	}
	dense := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name), G.WithValue(dense)), data
}

// Products of quantizers with one scale, one a row, or for weights one a group
// multiply the codes and scale the sums: the same bits as that written out.
func TestLinearMultipliesCodes(t *testing.T) {
	const rows, in, out = 37, 70, 9
	for _, w := range []quant.Config{
		{}, {Bits: 1}, {Scale: quant.Optimal, Granularity: quant.PerToken}, {Bits: 2, Scale: quant.SEQ},
		{Bits: 4, Granularity: quant.PerChannel}, {Bits: 8}, {Bits: 8, Granularity: quant.PerToken},
		{Bits: 4, Granularity: quant.PerGroup, Group: 35}, {Granularity: quant.PerGroup, Group: 7},
	} {
		for _, a := range []quant.Config{{Bits: 8, Granularity: quant.PerToken}, {Bits: 4}} {
			t.Run(fmt.Sprintf("%+v/%+v", w, a), func(t *testing.T) {
				g, r := G.NewGraph(), rand.New(rand.NewPCG(7, 8))
				x, xs := floats32(g, "x", r, rows, in)
				weights, ws := floats32(g, "w", r, out, in)
				qx, qw := quantizer(t, a), quantizer(t, w)
				x8, err := FakeQuantActivation(x, &ActivationQuantizer{Rule: qx, Lambda: 1})
				if err != nil {
					t.Fatal(err)
				}
				w8, err := FakeQuant(weights, qw)
				if err != nil {
					t.Fatal(err)
				}
				y, err := Linear(x8, w8)
				if err != nil {
					t.Fatal(err)
				}
				vm := G.NewTapeMachine(g)
				defer vm.Close()
				if err := vm.RunAll(); err != nil {
					t.Fatal(err)
				}
				tx, err := qx.Quantize(xs, rows, in)
				if err != nil {
					t.Fatal(err)
				}
				tw, err := qw.Quantize(ws, out, in)
				if err != nil {
					t.Fatal(err)
				}
				got := y.Value().Data().([]float32)
				for i := range rows {
					for o := range out {
						want, group := float32(0), min(in, tw.Layout.Run)
						for at := 0; at < in; at += group {
							sum := int32(0)
							for k := at; k < at+group; k++ {
								sum += int32(tx.Codes[i*in+k]) * int32(tw.Codes[o*in+k])
							}
							scale := tx.Scales[i%len(tx.Scales)] * tw.Scales[(o*in+at)/tw.Layout.Run]
							want += float32(float32(sum) * scale)
						}
						if got[i*out+o] != want {
							t.Fatalf("row %d, output %d: %v, want %v", i, o, got[i*out+o], want)
						}
					}
				}
			})
		}
	}
}

// A product that cannot multiply codes multiplies the values.
func TestLinearOfBlocks(t *testing.T) {
	qx, qw := quantizer(t, quant.Config{Bits: 8, Scheme: quant.Affine}), quantizer(t, quant.Config{Bits: 4, Granularity: quant.PerBlock, Block: [2]int{5, 3}})
	var x8, w8 *G.Node
	b := newBench(t, [][]int{{4, 6}, {5, 6}}, func(in []*G.Node) (_ *G.Node, err error) {
		if x8, err = FakeQuant(in[0], qx); err != nil {
			return nil, err
		}
		if w8, err = FakeQuant(in[1], qw); err != nil {
			return nil, err
		}
		return Linear(x8, w8)
	})
	b.run()
	xs, ws, y := x8.Value().Data().([]float64), w8.Value().Data().([]float64), b.out.Value().Data().([]float64)
	for i := range y {
		want := 0.0
		for k := range 6 {
			want += xs[i/5*6+k] * ws[i%5*6+k]
		}
		if math.Abs(y[i]-want) > 1e-12 {
			t.Errorf("output %d: %v, want %v", i, y[i], want)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(xs)))) == 24 && slices.Equal(xs, b.data[0]) {
		t.Error("x was not quantized")
	}
}

// LSQ's gradients (arXiv:1902.08153, equations 3 and 5): of a weight 1 inside
// the grid and 0 beyond it, of a step round(v)-v inside and the outermost
// codes beyond, times 1/sqrt(n Qp).
func TestLSQGradient(t *testing.T) {
	const rows, cols = 3, 20
	q := quantizer(t, quant.Config{Bits: 3, Scale: quant.LSQ, Granularity: quant.PerChannel})
	for _, lambda := range []float64{0.5, 1} {
		b := newBench(t, [][]int{{rows, cols}, {rows}}, func(in []*G.Node) (*G.Node, error) {
			return FakeQuantWeight(in[0], &WeightQuantizer{Rule: q, Learned: in[1], Lambda: lambda})
		})
		copy(b.data[1], []float64{0.25, 0.5, 0.75})
		b.run()
		x, dy := b.data[0], weightsOf(b)
		y, dx, ds := make([]float64, len(x)), make([]float64, len(x)), make([]float64, rows)
		for i, w := range x {
			s := b.data[1][i/cols]
			v := w / s
			code := math.RoundToEven(min(max(v, -4), 3))
			y[i] = w + lambda*(code*s-w)
			dx[i], ds[i/cols] = dy[i], ds[i/cols]+lambda*dy[i]*(code-v)
			if v <= -4 || v >= 3 {
				dx[i] = (1 - lambda) * dy[i]
				ds[i/cols] += lambda * dy[i] * v
			}
		}
		for g := range ds {
			ds[g] /= math.Sqrt(cols * 3)
		}
		close64(t, "value", b.out.Value().Data().([]float64), y)
		close64(t, "gradient of weights", b.gradient(0), dx)
		close64(t, "gradient of steps", b.gradient(1), ds)
	}
}

// SEQ (arXiv:2502.02631, section 3.3) at 2 bits has the values -3/4, -1/4, 1/4
// and 3/4 of alpha; its gradients are those of the steps of LSQ, with the
// whole range as the clip.
func TestSEQGradient(t *testing.T) {
	const n = 40
	q := quantizer(t, quant.Config{Bits: 2, Scale: quant.SEQ})
	b := newBench(t, [][]int{{2, n / 2}, {1}}, func(in []*G.Node) (*G.Node, error) {
		return FakeQuantWeight(in[0], &WeightQuantizer{Rule: q, Learned: in[1], Lambda: 1})
	})
	const alpha = 1.25
	b.data[1][0] = alpha
	b.run()
	x, dy := b.data[0], weightsOf(b)
	y, dx, da := make([]float64, n), make([]float64, n), 0.0
	for i, w := range x {
		level := -0.75
		for _, edge := range []float64{-0.5, 0, 0.5} {
			if w/alpha > edge {
				level += 0.5
			}
		}
		y[i] = level * alpha
		if math.Abs(w/alpha) <= 0.99 {
			dx[i] = dy[i]
			da += dy[i] * (level - w/alpha)
		} else {
			da += dy[i] * level
		}
	}
	close64(t, "value", b.out.Value().Data().([]float64), y)
	close64(t, "gradient of weights", b.gradient(0), dx)
	close64(t, "gradient of alpha", b.gradient(1), []float64{da / math.Sqrt(n)})
}

// PACT (arXiv:1805.06085): y = round(clip(x, 0, alpha) (2^k-1)/alpha)
// alpha/(2^k-1), dy/dalpha = 1 where x >= alpha, dy/dx = 1 in between.
func TestPACT(t *testing.T) {
	b := newBench(t, [][]int{{4, 9}, {1}}, func(in []*G.Node) (*G.Node, error) { return PACT(in[0], in[1], 4) })
	const alpha = 0.75
	b.data[1][0] = alpha
	b.run()
	x, dy := b.data[0], weightsOf(b)
	y, dx, da := make([]float64, len(x)), make([]float64, len(x)), 0.0
	for i, v := range x {
		y[i] = math.RoundToEven(min(max(v, 0), alpha)*15/alpha) * alpha / 15
		switch {
		case v >= alpha:
			da += dy[i]
		case v > 0:
			dx[i] = dy[i]
		}
	}
	close64(t, "value", b.out.Value().Data().([]float64), y)
	close64(t, "gradient of x", b.gradient(0), dx)
	close64(t, "gradient of alpha", b.gradient(1), []float64{da})
}

func TestLearnedScalesBegin(t *testing.T) {
	w := []float32{1, -3, 2, 0, 4, -4, 4, 4}
	for _, c := range []struct {
		config quant.Config
		want   []float32
	}{
		{quant.Config{Bits: 4, Scale: quant.LSQ, Granularity: quant.PerToken}, []float32{2 * 1.5 / float32(math.Sqrt(7)), 2 * 4 / float32(math.Sqrt(7))}},
		{quant.Config{Bits: 2, Scale: quant.SEQ, Granularity: quant.PerToken}, []float32{3, 4}},
		{quant.Config{Bits: quant.Ternary, Scale: quant.SEQ}, []float32{4}},
		{quant.Config{Bits: 4}, nil},
	} {
		got, err := LearnedScales(quantizer(t, c.config), w, 2, 4)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(c.want) {
			t.Fatalf("%+v: %v, want %v", c.config, got, c.want)
		}
		for i := range got {
			if math.Abs(float64(got[i]-c.want[i])) > 1e-6 {
				t.Errorf("%+v: %v, want %v", c.config, got, c.want)
			}
		}
	}
}

// What does not fit is refused when the graph is built.
func TestRulesThatDoNotFit(t *testing.T) {
	g := G.NewGraph()
	node := func(name string, shape ...int) *G.Node {
		return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name))
	}
	w, two := node("w", 4, 10), node("two", 2)
	groups := quantizer(t, quant.Config{Bits: 4, Granularity: quant.PerGroup, Group: 4})
	learned := quantizer(t, quant.Config{Bits: 4, Scale: quant.LSQ})
	plain := quantizer(t, quant.Config{Bits: 4})
	for _, c := range []struct {
		build func() (*G.Node, error)
		want  []string
	}{
		{func() (*G.Node, error) { return FakeQuant(w, groups) }, []string{"FakeQuant: got w (4, 10)", "groups of 4"}},
		{func() (*G.Node, error) {
			return FakeQuant(w, quantizer(t, quant.Config{Bits: 4, Granularity: quant.PerChannel, Axis: 2}))
		}, []string{"w (4, 10)", "axis 2"}},
		{func() (*G.Node, error) {
			return FakeQuantWeight(w, &WeightQuantizer{Rule: learned, Learned: two, Lambda: 1})
		}, []string{"FakeQuant", "two (2)", "[1]"}},
		{func() (*G.Node, error) {
			return FakeQuantWeight(w, &WeightQuantizer{Rule: plain, Learned: node("one", 1), Lambda: 1})
		}, []string{"absmax is not learned", "lsq or seq"}},
		{func() (*G.Node, error) {
			return FakeQuantWeight(w, &WeightQuantizer{Rule: learned, Learned: node("s", 1), Estimator: quant.Tanh})
		}, []string{"tanh", "leave"}},
		{func() (*G.Node, error) { return FakeQuant(w, nil) }, []string{"FakeQuant", "nil", "quant.New"}},
		{func() (*G.Node, error) { return FakeQuant(w, (*quant.Scalar)(nil)) }, []string{"FakeQuant", "nil", "quant.New"}},
		{func() (*G.Node, error) { return FakeQuant(nil, plain) }, []string{"FakeQuant: got a nil node"}},
		{func() (*G.Node, error) { return FakeQuantWeight(nil, &WeightQuantizer{}) }, []string{"FakeQuantWeight: got a nil node"}},
		{func() (*G.Node, error) { return FakeQuantActivation(nil, &ActivationQuantizer{}) }, []string{"FakeQuantActivation: got a nil node"}},
		{func() (*G.Node, error) { return FakeQuantWeight(w, &WeightQuantizer{Rule: (*quant.Scalar)(nil)}) }, []string{"FakeQuantWeight", "nil"}},
		{func() (*G.Node, error) { return FakeQuant(w, quantizer(t, quant.Config{Bits: 4, Scale: quant.Static})) }, []string{"FakeQuant: got w (4, 10)", "use WithScales"}},
		{func() (*G.Node, error) { return PACT(nil, two, 4) }, []string{"PACT: got a nil node"}},
		{func() (*G.Node, error) { return FakeQuantWeight(w, &WeightQuantizer{Learned: two, Lambda: 1}) }, []string{"FakeQuantWeight", "set Rule", "lsq or seq"}},
		{func() (*G.Node, error) { return FakeQuantWeight(w, &WeightQuantizer{Scale: quant.TWN, Lambda: 1}) }, []string{"FakeQuantWeight", `"twn"`, "absmean or median", "Rule"}},
		{func() (*G.Node, error) {
			return FakeQuantWeight(w, &WeightQuantizer{Lambda: 1, Noise: quant.Noise{Kind: "normal", Strength: 1}})
		}, []string{"FakeQuantWeight", `"normal"`, "gaussian"}},
		{func() (*G.Node, error) { return PACT(w, two, 4) }, []string{"PACT", "w (4, 10)", "two (2)"}},
		{func() (*G.Node, error) { return PACT(w, node("alpha", 1), 8) }, []string{"PACT", "8 bits", "2 to 7"}},
	} {
		_, err := c.build()
		if err == nil {
			t.Errorf("no error, want %q", c.want)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}

// Stochastic rounding draws anew at each step, so that the mean over steps is
// the weight, and at step 0 what the rule draws outside of a graph.
func TestStochasticRoundingByStep(t *testing.T) {
	const steps = 2000
	q := quantizer(t, quant.Config{Bits: 4, Rounding: quant.Stochastic})
	weights, inputs := &WeightQuantizer{Rule: q, Lambda: 1, Seed: 7}, &ActivationQuantizer{Rule: q, Lambda: 1}
	for name, each := range map[string]struct {
		step *uint64
		node func(x *G.Node) (*G.Node, error)
	}{
		"weights":     {&weights.Step, func(x *G.Node) (*G.Node, error) { return FakeQuantWeight(x, weights) }},
		"activations": {&inputs.Step, func(x *G.Node) (*G.Node, error) { return FakeQuantActivation(x, inputs) }},
	} {
		b := newBench(t, [][]int{{2, 4}}, func(in []*G.Node) (*G.Node, error) { return each.node(in[0]) })
		x := []float64{0.3, 1, -0.62, 0.14, -1, 0.5, 0.9, -0.07}
		copy(b.data[0], x)
		var sum [8]float64
		for step := range steps {
			*each.step = uint64(step)
			b.run()
			for i, v := range b.out.Value().Data().([]float64) {
				sum[i] += v / steps
			}
			if step == 0 {
				want, err := q.Quantize([]float32{0.3, 1, -0.62, 0.14, -1, 0.5, 0.9, -0.07}, 2, 4)
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range want.Values() {
					if math.Abs(sum[i]*steps-float64(v)) > 1e-6 {
						t.Errorf("%s: value %d at step 0 is %v, by the rule %v", name, i, sum[i]*steps, v)
					}
				}
			}
		}
		for i, v := range x { // five standard errors of a step of 1/7
			if math.Abs(sum[i]-v) > 5.0/7/2/math.Sqrt(steps) {
				t.Errorf("%s: the mean of %v is %v", name, v, sum[i])
			}
		}
	}
	if weights.Draw() == (&WeightQuantizer{Seed: 8, Step: weights.Step}).Draw() {
		t.Error("two seeds draw the same")
	}
}

// Fixed scales are in the graph what Encode makes of them, of vectors too.
func TestFakeQuantByFixedScales(t *testing.T) {
	for _, c := range []struct {
		config quant.Config
		scales []float32
		zeros  []int8
		shape  []int
	}{
		{quant.Config{Bits: 8}, []float32{0.02}, nil, []int{3, 4}},
		{quant.Config{Bits: 4, Scheme: quant.Affine, Granularity: quant.PerToken}, []float32{0.2, 0.3, 0.4}, []int8{1, -2, 3}, []int{3, 4}},
		{quant.Config{Bits: 3, Scale: quant.Percentile}, []float32{0.4}, nil, []int{12}},
		{quant.Config{Bits: 3, Granularity: quant.PerGroup, Group: 4}, []float32{0.4, 0.2, 0.3}, nil, []int{12}},
	} {
		q, err := quantizer(t, c.config).WithScales(c.scales, c.zeros)
		if err != nil {
			t.Fatal(err)
		}
		g, r := G.NewGraph(), rand.New(rand.NewPCG(5, 6))
		x, values := floats32(g, "x", r, c.shape...)
		y, err := FakeQuant(x, q)
		if err != nil {
			t.Fatal(err)
		}
		vm := G.NewTapeMachine(g)
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		want := &quant.Tensor{Scales: c.scales, Zeros: c.zeros}
		if err := quantizer(t, c.config).Encode(want, values, c.shape...); err != nil {
			t.Fatal(err)
		}
		if got := y.Value().Data().([]float32); !slices.Equal(got, want.Values()) {
			t.Errorf("%+v: %v, want %v", c.config, got, want.Values())
		}
		vm.Close()
	}
}

// A learned scale that an update made negative ends the run, with its name.
func TestLearnedScaleMustBePositive(t *testing.T) {
	g := G.NewGraph()
	node := func(name string, values []float32, shape ...int) *G.Node {
		dense := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(values))
		return G.NewTensor(g, tensor.Float32, len(shape), G.WithShape(shape...), G.WithName(name), G.WithValue(dense))
	}
	q := quantizer(t, quant.Config{Bits: 4, Scale: quant.LSQ, Granularity: quant.PerChannel})
	scales := []float32{0.5, 0.25}
	w := node("w", []float32{1, 2, 3, 4}, 2, 2)
	if _, err := FakeQuantWeight(w, &WeightQuantizer{Rule: q, Learned: node("w.scales", scales, 2), Lambda: 1}); err != nil {
		t.Fatal(err)
	}
	vm := G.NewTapeMachine(g)
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	vm.Reset()
	scales[1] = -0.125
	if err := vm.RunAll(); err == nil || !strings.Contains(err.Error(), "learned scale 1 is -0.125") || !strings.Contains(err.Error(), "that of w.scales") {
		t.Errorf("error %v", err)
	}
}

// Block noise quantizes whole blocks by the rule, or leaves them as they are.
func TestBlockNoiseByRule(t *testing.T) {
	const rows, cols, block = 4, 1000, 25
	q := quantizer(t, quant.Config{Bits: 3, Granularity: quant.PerToken})
	w := &WeightQuantizer{Rule: q, Lambda: 1, Noise: quant.Noise{Kind: quant.BlockNoise, Block: block, Share: 0.4}, Seed: 3}
	b := newBench(t, [][]int{{rows, cols}}, func(in []*G.Node) (*G.Node, error) { return FakeQuantWeight(in[0], w) })
	b.run()
	x := make([]float32, rows*cols)
	for i, v := range b.data[0] {
		x[i] = float32(v)
	}
	want, err := q.Quantize(x, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	values, y := want.Values(), b.out.Value().Data().([]float64)
	quantized := 0
	for lo := 0; lo < len(y); lo += block {
		spared := slices.Equal(y[lo:lo+block], b.data[0][lo:lo+block])
		if spared {
			continue
		}
		quantized++
		for i := lo; i < lo+block; i++ {
			if math.Abs(y[i]-float64(values[i])) > 1e-5 {
				t.Fatalf("weight %d is %v, neither %v nor %v as its block", i, y[i], b.data[0][i], values[i])
			}
		}
	}
	if share := float64(quantized) / (rows * cols / block); math.Abs(share-0.4) > 0.12 {
		t.Errorf("%v of the blocks are quantized, want 0.4", share)
	}
}

// Noise of every kind has the size of each group's steps, which on a grid of
// odd codes are two scales, and measured noise consists of errors that the
// quantizer makes.
func TestNoiseByRule(t *testing.T) {
	for _, c := range []quant.Config{{Bits: 4, Granularity: quant.PerToken}, {Bits: 4, Scale: quant.SEQ, Granularity: quant.PerToken}} {
		noiseByRule(t, c)
	}
}

func noiseByRule(t *testing.T, c quant.Config) {
	const rows, cols = 2, 20000
	q := quantizer(t, c)
	for _, kind := range []quant.NoiseKind{quant.UniformNoise, quant.GaussianNoise, quant.LaplaceNoise, quant.MeasuredNoise} {
		w := &WeightQuantizer{Rule: q, Noise: quant.Noise{Kind: kind, Strength: 1}, Seed: 9}
		b := newBench(t, [][]int{{rows, cols}}, func(in []*G.Node) (*G.Node, error) { return FakeQuantWeight(in[0], w) })
		for i := range cols {
			b.data[0][i] *= 10 // the first row has larger steps
		}
		first := b.run()
		x := make([]float32, rows*cols)
		for i, v := range b.data[0] {
			x[i] = float32(v)
		}
		want, err := q.Quantize(x, rows, cols)
		if err != nil {
			t.Fatal(err)
		}
		y := b.out.Value().Data().([]float64)
		var square [rows]float64
		for r := range want.Scales {
			want.Scales[r] *= float32(want.Grid.Step)
		}
		for i, v := range y {
			square[i/cols] += (v - b.data[0][i]) * (v - b.data[0][i]) / cols
		}
		for r, s := range want.Scales {
			ratio := square[r] * 12 / float64(s*s)
			if kind == quant.MeasuredNoise { // errors of both rows, in both
				mean := float64(want.Scales[0]*want.Scales[0]+want.Scales[1]*want.Scales[1]) / 2
				ratio = square[r] * 12 / mean
			}
			if math.Abs(ratio-1) > 0.06 {
				t.Errorf("%s, row %d: the variance is %v of step^2/12", kind, r, ratio)
			}
		}
		if !slices.Equal(b.gradient(0), weightsOf(b)) {
			t.Errorf("%s: noise alone does not pass the gradient through", kind)
		}
		w.Step++
		if next := b.run(); next == first {
			t.Errorf("%s: the next step draws the same noise", kind)
		}
	}
}
