package nn

import (
	"fmt"
	"math"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/quant"
)

// ternary is the b1.58 rule written out.
func ternary(w []float64) (codes []float64, gamma float64) {
	for _, v := range w {
		gamma += math.Abs(v)
	}
	gamma = max(gamma/float64(len(w)), 1e-5)
	for _, v := range w {
		codes = append(codes, min(max(math.RoundToEven(v/gamma), -1), 1))
	}
	return codes, gamma
}

// absmax is the rule of activations for one row, written out.
func absmax(x []float64, top float64) (codes []float64, scale float64) {
	for _, v := range x {
		scale = max(scale, math.Abs(v))
	}
	scale = max(scale, 1e-5) / top
	for _, v := range x {
		codes = append(codes, min(max(math.RoundToEven(v/scale), -top-1), top))
	}
	return codes, scale
}

func close64(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= 1e-12*max(1, math.Abs(want[i]))) {
			t.Fatalf("%s[%d] = %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestFakeQuantWeightBlends(t *testing.T) {
	for _, lambda := range []float64{0, 0.25, 1} {
		b := newBench(t, [][]int{{5, 8}}, func(in []*G.Node) (*G.Node, error) {
			return FakeQuantWeight(in[0], &WeightQuantizer{Lambda: lambda})
		})
		b.run()
		codes, gamma := ternary(b.data[0])
		want := make([]float64, len(codes))
		for i, w := range b.data[0] {
			want[i] = w + lambda*(codes[i]*gamma-w)
		}
		close64(t, "value", b.out.Value().Data().([]float64), want)
	}
}

// The derivative of rounding is zero almost everywhere, so the estimators are
// checked against their formulas written out by hand.
func TestEstimatorsOfWeights(t *testing.T) {
	for _, e := range []quant.Estimator{"", quant.Identity, quant.Clipped, quant.Tanh} {
		for _, lambda := range []float64{0.5, 1} {
			b := newBench(t, [][]int{{6, 9}}, func(in []*G.Node) (*G.Node, error) {
				return FakeQuantWeight(in[0], &WeightQuantizer{Lambda: lambda, Estimator: e})
			})
			b.run()
			_, gamma := ternary(b.data[0])
			incoming := weightsOf(b)
			want := make([]float64, len(incoming))
			for i, w := range b.data[0] {
				v, d := w/gamma, 1.0
				switch e {
				case quant.Clipped:
					if math.Abs(v) > 1.5 {
						d = 0
					}
				case quant.Tanh: // thresholds of {-1, 0, 1}: -1/2 and 1/2
					r := math.Abs(v) - 0.5
					d = 2 * (1 - math.Pow(math.Tanh(2*r), 2)) / (2 * math.Tanh(1))
				}
				want[i] = incoming[i] * (1 - lambda + lambda*d)
			}
			close64(t, "gradient by "+string(e), b.gradient(0), want)
		}
	}
}

// Blocks that block noise spares are weights as they are: their derivative is 1,
// whatever the estimator, and that of the others the estimator's. The blocks are
// told by the values.
func TestGradientOfBlockNoise(t *testing.T) {
	derivative := map[quant.Estimator]func(v, lo, hi float64) float64{ // written out, v in units of a step
		quant.Clipped: func(v, lo, hi float64) float64 {
			if v < lo-0.5 || v > hi+0.5 {
				return 0
			}
			return 1
		},
		quant.Tanh: func(v, lo, hi float64) float64 {
			threshold := min(max(math.Floor(v), lo), hi-1) + 0.5
			th := math.Tanh(2 * (v - threshold))
			return 2 * (1 - th*th) / (2 * math.Tanh(1))
		},
	}
	for e, d := range derivative {
		for _, lambda := range []float64{0.5, 1} {
			for name, rule := range map[string]quant.Quantizer{
				"ternary": nil, "3 bits in channels": quantizer(t, quant.Config{Bits: 3, Granularity: quant.PerChannel}),
			} {
				q := &WeightQuantizer{Rule: rule, Lambda: lambda, Estimator: e, Seed: 5, Step: 3, Noise: quant.Noise{Kind: quant.BlockNoise, Block: 3, Share: 0.5}}
				const rows, cols = 8, 12
				b := newBench(t, [][]int{{rows, cols}}, func(in []*G.Node) (*G.Node, error) { return FakeQuantWeight(in[0], q) })
				b.run()
				lo, hi := -1.0, 1.0
				_, gamma := ternary(b.data[0])
				scales := slices.Repeat([]float64{gamma}, rows)
				if rule != nil {
					lo, hi = -4, 3
					x := make([]float32, len(b.data[0]))
					for i, v := range b.data[0] {
						x[i] = float32(v)
					}
					var tensor quant.Tensor
					if err := rule.QuantizeInto(&tensor, x, rows, cols); err != nil {
						t.Fatal(err)
					}
					for r, s := range tensor.Scales {
						scales[r] = float64(s)
					}
				}
				y, incoming := b.out.Value().Data().([]float64), weightsOf(b)
				want, spared := make([]float64, len(y)), 0
				for i, w := range b.data[0] {
					if want[i] = incoming[i]; y[i] == w {
						spared++
						continue
					}
					want[i] *= 1 - lambda + lambda*d(w/scales[i/cols], lo, hi)
				}
				if spared < rows*cols/4 || spared > rows*cols*3/4 || spared%3 != 0 {
					t.Errorf("%d of %d weights are spared, want about half", spared, rows*cols)
				}
				close64(t, name+": gradient by "+string(e), b.gradient(0), want)
			}
		}
	}
}

// Weights that block noise spares pass their gradient on, and do not count for
// a learned step (Esser et al. 2020, equation 3).
func TestLearnedGradientOfBlockNoise(t *testing.T) {
	const rows, cols, step = 8, 12, 0.4
	rule := quantizer(t, quant.Config{Bits: 3, Scale: quant.LSQ})
	for _, lambda := range []float64{0.5, 1} {
		q := &WeightQuantizer{Rule: rule, Lambda: lambda, Seed: 5, Step: 3, Noise: quant.Noise{Kind: quant.BlockNoise, Block: 3, Share: 0.5}}
		b := newBench(t, [][]int{{rows, cols}, {1}}, func(in []*G.Node) (*G.Node, error) {
			q.Learned = in[1]
			return FakeQuantWeight(in[0], q)
		})
		b.data[1][0] = step
		b.run()
		y, incoming := b.out.Value().Data().([]float64), weightsOf(b)
		want, wantStep, spared := slices.Clone(incoming), 0.0, 0
		for i, w := range b.data[0] {
			if y[i] == w {
				spared++
				continue
			}
			v := float64(float32(w)) / float64(float32(step))
			code := min(max(math.RoundToEven(v), -4), 3)
			if v <= -4 || v >= 3 {
				want[i] *= 1 - lambda
				wantStep += incoming[i] * code
			} else {
				wantStep += incoming[i] * (code - v)
			}
		}
		if spared < rows*cols/4 || spared > rows*cols*3/4 || spared%3 != 0 {
			t.Errorf("%d of %d weights are spared, want about half", spared, rows*cols)
		}
		close64(t, "gradient", b.gradient(0), want)
		if got, want := b.gradient(1)[0], lambda*wantStep/math.Sqrt(rows*cols*3); math.Abs(got-want) > 1e-5*math.Abs(want) {
			t.Errorf("lambda %v: gradient of the step %v, want %v", lambda, got, want)
		}
	}
}

// weightsOf returns the numbers that multiply the bench's output: the
// gradient that reaches the operation.
func weightsOf(b *bench) []float64 {
	for _, n := range b.graph.AllNodes() {
		if n.Name() == "weights" {
			return n.Value().Data().([]float64)
		}
	}
	b.t.Fatal("no weights")
	return nil
}

func TestEstimatorsOfActivations(t *testing.T) {
	const rows, cols, bits = 4, 10, 3
	for _, e := range []quant.Estimator{"", quant.Identity, quant.Clipped, quant.Tanh} {
		for _, lambda := range []float64{0, 0.3, 1} {
			b := newBench(t, [][]int{{rows, cols}}, func(in []*G.Node) (*G.Node, error) {
				return FakeQuantActivation(in[0], &ActivationQuantizer{Bits: bits, Lambda: lambda, Estimator: e})
			})
			b.run()
			incoming, y := weightsOf(b), b.out.Value().Data().([]float64)
			gradient, value := make([]float64, rows*cols), make([]float64, rows*cols)
			for r := range rows {
				codes, scale := absmax(b.data[0][r*cols:(r+1)*cols], 3)
				for i, code := range codes {
					i += r * cols
					x := b.data[0][i]
					value[i] = x + lambda*(code*scale-x)
					v, d := x/scale, 1.0 // the largest |v| is 3: the clipped estimator lets all pass
					if e == quant.Tanh {
						threshold := min(max(math.Floor(v), -4), 2) + 0.5
						th := math.Tanh(2 * (v - threshold))
						d = 2 * (1 - th*th) / (2 * math.Tanh(1))
					}
					gradient[i] = incoming[i] * (1 - lambda + lambda*d)
				}
			}
			what := fmt.Sprintf(" of %q with lambda %v", e, lambda)
			close64(t, "value"+what, y, value)
			close64(t, "gradient"+what, b.gradient(0), gradient)
		}
	}
}

// A quantized Linear equals, forward and backward, the straight-through
// reference: the product of the quantized values, its gradients passed on.
func TestBitLinearAgainstReference(t *testing.T) {
	const rows, in, out1, out2 = 7, 12, 5, 3
	for _, bits := range []int{32, 16} {
		a := &ActivationQuantizer{Bits: 8, Lambda: 1, GradientBits: bits}
		w := &WeightQuantizer{Lambda: 1}
		b := newBench(t, [][]int{{rows, in}, {out1, in}, {out2, in}}, func(n []*G.Node) (*G.Node, error) { return bitLinear(n, a, w) })
		b.run()

		out := out1 + out2
		x := make([]float64, 0, rows*in)
		for r := range rows {
			codes, scale := absmax(b.data[0][r*in:(r+1)*in], 127)
			for _, c := range codes {
				x = append(x, c*scale)
			}
		}
		var wq []float64
		for _, data := range b.data[1:] {
			codes, gamma := ternary(data)
			for _, c := range codes {
				wq = append(wq, c*gamma)
			}
		}
		dy := weightsOf(b)
		y, dx, dw := make([]float64, rows*out), make([]float64, rows*in), make([]float64, out*in)
		for r := range rows {
			for o := range out {
				for i := range in {
					y[r*out+o] += x[r*in+i] * wq[o*in+i]
					dx[r*in+i] += dy[r*out+o] * wq[o*in+i]
					dw[o*in+i] += dy[r*out+o] * x[r*in+i]
				}
			}
		}
		close64(t, "y", b.out.Value().Data().([]float64), y)
		gotW := append(b.gradient(1), b.gradient(2)...)
		if bits == 32 {
			close64(t, "dx", b.gradient(0), dx)
			close64(t, "dw", gotW, dw)
			continue
		}
		// 16 bits round each gradient to half a part in 32767 of its row's largest.
		for name, pair := range map[string][2][]float64{"dx": {b.gradient(0), dx}, "dw": {gotW, dw}} {
			for i := range pair[1] {
				pair[0][i] -= pair[1][i]
			}
			if e := norm(pair[0]) / norm(pair[1]); e == 0 || e > 2e-4 {
				t.Errorf("%s at 16 bits: relative error %v, want in (0, 2e-4]", name, e)
			}
		}
	}
}

// While lambda is below 1 the same graph takes the float product.
func TestLinearFollowsLambda(t *testing.T) {
	a, w := &ActivationQuantizer{Bits: 8}, &WeightQuantizer{}
	b := newBench(t, [][]int{{4, 6}, {3, 6}}, func(n []*G.Node) (*G.Node, error) { return bitLinear(n, a, w) })
	float := b.run()
	a.Lambda, w.Lambda = 0.5, 0.5
	half := b.run()
	a.Lambda, w.Lambda = 1, 1
	full := b.run()
	if float == half || half == full || float == full {
		t.Errorf("costs at lambda 0, 1/2, 1: %v, %v, %v; want three numbers", float, half, full)
	}
	a.Lambda, w.Lambda = 0, 0
	if again := b.run(); again != float {
		t.Errorf("back at lambda 0: %v, want %v", again, float)
	}
}

func TestNoise(t *testing.T) {
	const rows, cols = 200, 100
	for _, c := range []struct {
		noise quant.Noise
		check func(t *testing.T, w, y, codes []float64, gamma float64)
	}{
		{quant.Noise{Kind: quant.UniformNoise, Strength: 1}, func(t *testing.T, w, y, _ []float64, gamma float64) {
			checkSpread(t, w, y, gamma, gamma/2)
		}},
		{quant.Noise{Kind: quant.GaussianNoise, Strength: 1}, func(t *testing.T, w, y, _ []float64, gamma float64) {
			checkSpread(t, w, y, gamma, 6*gamma)
		}},
		{quant.Noise{Kind: quant.LaplaceNoise, Strength: 1}, func(t *testing.T, w, y, _ []float64, gamma float64) {
			checkSpread(t, w, y, gamma, 20*gamma)
		}},
		{quant.Noise{Kind: quant.MeasuredNoise, Strength: 1}, func(t *testing.T, w, y, codes []float64, gamma float64) {
			errors := make([]float64, len(w)) // of the quantizer, sorted
			for i, c := range codes {
				errors[i] = c*gamma - w[i]
			}
			slices.Sort(errors)
			var drawn, made float64
			for i := range w {
				d := y[i] - w[i]
				if at, _ := slices.BinarySearch(errors, d-1e-9); at == len(errors) || errors[at] > d+1e-9 {
					t.Fatalf("the noise %v of weight %d is no error of the quantizer", d, i)
				}
				drawn += d * d
				made += errors[i] * errors[i]
			}
			if math.Abs(drawn/made-1) > 0.05 {
				t.Errorf("the square of the noise is %v of the quantizer's error", drawn/made)
			}
		}},
		{quant.Noise{Kind: quant.BlockNoise, Block: 10, Share: 0.3}, func(t *testing.T, w, y, codes []float64, gamma float64) {
			quantized := 0
			for lo := 0; lo < len(w); lo += 10 {
				q := math.Abs(y[lo]-codes[lo]*gamma) < 1e-12
				for i := lo; i < lo+10; i++ {
					want := w[i]
					if q {
						want = codes[i] * gamma
					}
					if math.Abs(y[i]-want) > 1e-12 {
						t.Fatalf("block at %d is neither quantized nor spared as a whole", lo)
					}
				}
				if q {
					quantized++
				}
			}
			if share := float64(quantized) / float64(len(w)/10); math.Abs(share-0.3) > 0.05 {
				t.Errorf("%v of the blocks are quantized, want 0.3", share)
			}
		}},
	} {
		t.Run(string(c.noise.Kind), func(t *testing.T) {
			q := &WeightQuantizer{Noise: c.noise, Seed: 5}
			if c.noise.Kind == quant.BlockNoise {
				q.Lambda = 1
			}
			b := newBench(t, [][]int{{rows, cols}}, func(in []*G.Node) (*G.Node, error) { return FakeQuantWeight(in[0], q) })
			first := b.run()
			if again := b.run(); again != first {
				t.Errorf("the same step draws other noise: %v, then %v", first, again)
			}
			codes, gamma := ternary(b.data[0])
			c.check(t, b.data[0], b.out.Value().Data().([]float64), codes, gamma)
			q.Step++
			if next := b.run(); next == first {
				t.Error("the next step draws the same noise")
			}
		})
	}
}

// checkSpread checks mean, variance and range of y - w: both noises have the
// variance step^2/12.
func checkSpread(t *testing.T, w, y []float64, step, limit float64) {
	t.Helper()
	n := float64(len(w))
	var mean, square float64
	for i := range w {
		d := y[i] - w[i]
		mean += d / n
		square += d * d / n
		if math.Abs(d) > limit {
			t.Fatalf("noise %v is beyond %v", d, limit)
		}
	}
	sigma := step / math.Sqrt(12)
	if math.Abs(mean) > 4*sigma/math.Sqrt(n) {
		t.Errorf("mean %v is not 0", mean)
	}
	if ratio := square / (sigma * sigma); math.Abs(ratio-1) > 0.05 {
		t.Errorf("variance is %v of step^2/12", ratio)
	}
}
