package quant

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"testing"

	"trefoil/internal/kernel"
)

// The goldens are what other implementations make of the same numbers; see
// testdata/goldens.py.
type goldens struct {
	Cases []struct {
		Name, Source string
		Config       Config
		Shape        []int
		Seed         uint64
		Codes        []int8
		Scales       []float32
		Zeros        []int8
		ULPs         int // of a scale: sums in another order, or a factor rounded elsewhere
	}
	Gradients []struct {
		Kind   string
		Bits   float64
		Param  float32
		Y, DX  []float32
		DParam float64
	}
	ACIQ       map[Scale]map[string]float64
	ACIQBounds map[Scale]float32 `json:"aciq_bounds"`
	Hadamard   []float32
	Smooth     []float32
	LLMInt8    struct {
		Columns []int
		Codes   []int8
		Peaks   []float32
	} `json:"llm_int8"`
	Metrics Metrics
}

func readGoldens(t *testing.T) *goldens {
	t.Helper()
	b, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	g := new(goldens)
	if err := json.Unmarshal(b, g); err != nil {
		t.Fatal(err)
	}
	return g
}

// numbers returns the input of the goldens: products of two numbers of 10
// bits with a random sign, exact in float32.
func numbers(n int, seed uint64) []float32 {
	out := make([]float32, n)
	next := func() int {
		seed = (seed*1103515245 + 12345) % (1 << 31)
		return int(seed >> 21)
	}
	for i := range out {
		a, b, c := next(), next(), next()
		out[i] = float32((c%2*2-1)*a*b) / (1 << 18)
	}
	return out
}

func TestGoldens(t *testing.T) {
	for _, c := range readGoldens(t).Cases {
		t.Run(c.Name, func(t *testing.T) {
			x := numbers(len(c.Codes), c.Seed)
			got := mustQuantize(t, c.Config, x, c.Shape...)
			for i, s := range got.Scales {
				if ulps(s, c.Scales[i]) > c.ULPs {
					t.Fatalf("%s: scale %d is %v, want %v", c.Source, i, s, c.Scales[i])
				}
			}
			if len(got.Scales) != len(c.Scales) || !slices.Equal(got.Zeros, c.Zeros) {
				t.Errorf("%s: %d scales, want %d; zero points %v, want %v", c.Source, len(got.Scales), len(c.Scales), got.Zeros, c.Zeros)
			}
			for i, code := range got.Codes {
				if code != c.Codes[i] {
					t.Fatalf("%s: element %d, %v, has the code %d, want %d", c.Source, i, x[i], code, c.Codes[i])
				}
			}
		})
	}
}

// Small cases worked out by hand.
func TestRulesByHand(t *testing.T) {
	for _, c := range []struct {
		config Config
		x      []float32
		scale  float64
		codes  []int8
	}{
		{Config{Scale: SEQ}, []float32{-1, -0.6, 0.1, 0.9}, 2.0 / 3, []int8{-1, -1, 0, 1}},
		{Config{Bits: 2, Scale: SEQ}, []float32{-1, -0.6, 0.1, 0.9}, 0.25, []int8{-3, -3, 1, 3}},
		{Config{Bits: 3, Scale: SEQ}, []float32{2, 0.3, -0.7, -1.2}, 0.25, []int8{7, 1, -3, -5}},
		{Config{Scale: LSQ}, []float32{-1, 1, 2, -4}, 4, []int8{0, 0, 0, -1}},
		{Config{Bits: 3, Scale: LSQ}, []float32{-1, 1, 2, -4}, 4 / math.Sqrt(3), []int8{0, 0, 1, -2}},
		{Config{Scale: AbsMax}, []float32{-2, 0.9, 1.1}, 2, []int8{-1, 0, 1}},
		{Config{Bits: 4, Scale: MinMax}, []float32{-1, 0.5, 3.5}, 0.5, []int8{-2, 1, 7}},
		{Config{Bits: 5}, []float32{-1.5, 0.4}, 0.1, []int8{-15, 4}},
		{Config{Bits: 6}, []float32{3.1, -0.7}, 0.1, []int8{31, -7}},
		{Config{Bits: 7}, []float32{-6.3, 2.5}, 0.1, []int8{-63, 25}},
	} {
		got := mustQuantize(t, c.config, c.x)
		if !near(float64(got.Scales[0]), c.scale, 1e-6) || !slices.Equal(got.Codes, c.codes) {
			t.Errorf("%v bits %s: scale %v and codes %v, want %v and %v", c.config.Bits, c.config.Scale, got.Scales[0], got.Codes, c.scale, c.codes)
		}
	}
}

// ulps is the distance of two positive numbers in units of the last place.
func ulps(a, b float32) int {
	return max(int(math.Float32bits(a)), int(math.Float32bits(b))) - min(int(math.Float32bits(a)), int(math.Float32bits(b)))
}

// near reports whether two numbers agree to a relative tolerance, or are both
// tiny.
func near(a, b, tolerance float64) bool {
	return math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b), 1e-6)
}

// The paper prints 1.71, 2.15 and 2.55 sigma for 2, 3 and 4 bits of a normal
// distribution, 2.83, 3.89 and 5.03 b for a Laplace distribution.
func TestACIQ(t *testing.T) {
	g := readGoldens(t)
	for rule, byBits := range g.ACIQ {
		for _, bits := range []float64{2, 3, 4, 8} {
			want := byBits[map[float64]string{2: "2", 3: "3", 4: "4", 8: "8"}[bits]]
			if got := ACIQ(rule, bits); !near(got, want, 1e-6) {
				t.Errorf("%s at %v bits: %v, want %v", rule, bits, got, want)
			}
		}
		x := numbers(3000, 7)
		got := mustQuantize(t, Config{Bits: 4, Scale: rule}, x)
		if bound := got.Scales[0] * 7; !near(float64(bound), float64(g.ACIQBounds[rule]), 1e-6) {
			t.Errorf("%s: bound %v, want %v", rule, bound, g.ACIQBounds[rule])
		}
	}
	for bits, want := range map[float64][2]float64{2: {1.71, 2.83}, 3: {2.15, 3.89}, 4: {2.55, 5.03}} {
		if a, b := ACIQ(ACIQGaussian, bits), ACIQ(ACIQLaplace, bits); math.Abs(a-want[0]) > 0.01 || math.Abs(b-want[1]) > 0.01 {
			t.Errorf("%v bits: %.3f and %.3f, the paper has %v", bits, a, b, want)
		}
	}
}

// PyTorch differentiates the forward rules, rounding passed straight through.
func TestLearnedGradients(t *testing.T) {
	x, dy := numbers(64, 3), numbers(64, 5)
	l := mustLayout(t, Config{}, 64)
	for _, c := range readGoldens(t).Gradients {
		y, dx, dparam := make([]float32, 64), make([]float32, 64), []float32{0}
		param, grid := []float32{c.Param}, Config{Bits: c.Bits}.Grid()
		switch c.Kind {
		case "lsq":
			LSQForward(y, x, param, l, grid)
			LSQBackward(dx, dparam, dy, x, param, l, grid)
		case "seq":
			SEQForward(y, x, param, l, c.Bits)
			SEQBackward(dx, dparam, dy, x, param, l, c.Bits)
		case "pact":
			PACTForward(y, x, c.Param)
			dparam[0] = PACTBackward(dx, dy, x, c.Param)
		}
		for i := range y {
			if (dx[i] == 0) != (c.DX[i] == 0) || !near(float64(dx[i]), float64(c.DX[i]), 1e-6) {
				t.Fatalf("%s at %v bits: gradient of x[%d] is %v, want %v", c.Kind, c.Bits, i, dx[i], c.DX[i])
			}
			if !near(float64(y[i]), float64(c.Y[i]), 1e-6) {
				t.Fatalf("%s at %v bits: y[%d] = %v, want %v", c.Kind, c.Bits, i, y[i], c.Y[i])
			}
		}
		if !near(float64(dparam[0]), c.DParam, 2e-5) {
			t.Errorf("%s at %v bits: gradient of the parameter %v, want %v", c.Kind, c.Bits, dparam[0], c.DParam)
		}
	}
}

// What is learned is what is encoded.
func TestLearnedValuesAreThoseOfTheCodes(t *testing.T) {
	x := numbers(4*50, 13)
	for _, c := range []Config{{Scale: LSQ}, {Bits: 3, Scale: LSQ}, {Scale: SEQ}, {Bits: 2, Scale: SEQ}, {Bits: 4, Scale: SEQ}} {
		c.Granularity = PerToken
		q, l := mustNew(t, c), mustLayout(t, c, 4, 50)
		bits := q.Config().Bits
		params, y := []float32{0.25, 0.5, 1, 2}, make([]float32, len(x))
		dst := &Tensor{Scales: slices.Clone(params)}
		if c.Scale == LSQ {
			LSQForward(y, x, params, l, q.Grid())
		} else {
			SEQForward(y, x, params, l, bits)
			for i, alpha := range params {
				dst.Scales[i] = SEQStep(alpha, bits)
			}
		}
		if err := q.Encode(dst, x, 4, 50); err != nil {
			t.Fatal(err)
		}
		for i, v := range dst.Values() {
			if !near(float64(v), float64(y[i]), 1e-6) {
				t.Fatalf("%s at %v bits: element %d is %v in training, %v encoded", c.Scale, bits, i, y[i], v)
			}
		}
	}
}

func mustLayout(t *testing.T, c Config, shape ...int) Layout {
	t.Helper()
	l, err := c.Layout(shape...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOutliersAgainstSciPy(t *testing.T) {
	g := readGoldens(t)
	m := numbers(4*16, 9)
	rotated := slices.Clone(m)
	if err := Hadamard(rotated, 4, 16); err != nil {
		t.Fatal(err)
	}
	for i, v := range rotated {
		if math.Abs(float64(v-g.Hadamard[i])) > 1e-6 {
			t.Fatalf("Hadamard: element %d is %v, want %v", i, v, g.Hadamard[i])
		}
	}
	inputs, errX := ColumnPeaks(m, 4, 16)
	weights, errW := ColumnPeaks(numbers(8*16, 11), 8, 16)
	s, err := SmoothScales(inputs, weights, 0.6)
	if err = errors.Join(errX, errW, err); err != nil {
		t.Fatal(err)
	}
	for i, v := range s {
		if !near(float64(v), float64(g.Smooth[i]), 1e-6) {
			t.Errorf("SmoothQuant: factor %d is %v, want %v", i, v, g.Smooth[i])
		}
	}
}

// The columns split off are those of bitsandbytes, and so are the codes of the
// rest by its scales. (They are larger than ours: it takes row maxima over the
// small elements of outlying columns too, which the paper has no need of.)
func TestSplitAgainstBitsAndBytes(t *testing.T) {
	want := readGoldens(t).LLMInt8
	m := numbers(4*16, 9)
	for i, v := range m {
		m[i] = kernel.RoundFloat16(v) // which it works in
	}
	split, err := SplitColumns(m, 4, 16, 3)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(split.Columns, want.Columns) {
		t.Errorf("columns %v, want %v", split.Columns, want.Columns)
	}
	got, c := new(Tensor), Config{Bits: 8, Granularity: PerToken}
	for r, peak := range want.Peaks {
		got.Scales = append(got.Scales, peak/127)
		if ours := mustQuantize(t, c, split.Rest[16*r:16*(r+1)], 1, 16); ours.Scales[0] > got.Scales[r] {
			t.Errorf("row %d: scale %v above %v", r, ours.Scales[0], got.Scales[r])
		}
	}
	if err := mustNew(t, c).Encode(got, split.Rest, 4, 16); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Codes, want.Codes) {
		t.Errorf("codes %v, want %v", got.Codes, want.Codes)
	}
}

func TestMetricsAgainstNumPy(t *testing.T) {
	x := numbers(64, 3)
	got, err := Compare(x, mustQuantize(t, Config{Bits: 4}, x))
	if err != nil {
		t.Fatal(err)
	}
	want := readGoldens(t).Metrics
	for name, pair := range map[string][2]float64{
		"MSE": {got.MSE, want.MSE}, "SQNR": {got.SQNR, want.SQNR}, "cosine": {got.Cosine, want.Cosine}, "KL": {got.KL, want.KL},
		"largest error": {got.MaxError, want.MaxError}, "zeros": {got.Zeros, want.Zeros}, "entropy": {got.Entropy, want.Entropy},
		"effective bits": {got.EffectiveBits, want.EffectiveBits},
	} {
		if !near(pair[0], pair[1], 1e-6) {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
}

// Of many groups, whose elements lie in one run or in several, each has the
// gradients that it has alone; SEQ's are scaled by the whole tensor's size.
func TestLearnedGradientsByGroup(t *testing.T) {
	shape := []int{4, 6, 8}
	x, dy := numbers(192, 3), numbers(192, 5)
	for _, c := range []Config{
		{Granularity: PerToken}, {Granularity: PerChannel, Axis: 1}, {Granularity: PerChannel, Axis: 2}, {Granularity: PerGroup, Group: 4}, {Granularity: PerBlock, Block: Block{3, 4}},
	} {
		l := mustLayout(t, c, shape...)
		alone := mustLayout(t, Config{}, l.Size())
		params := make([]float32, l.Groups)
		for g := range params {
			params[g] = 0.3 + 0.1*float32(g%5)
		}
		for _, bits := range []float64{Ternary, 3} {
			grid := Config{Bits: bits}.Grid()
			for name, rule := range map[string]struct {
				whole, group func(dx, dparams, dy, x, params []float32)
				factor       float64 // from the group's gradient to the tensor's
			}{
				"lsq": {
					func(dx, dp, dy, x, p []float32) { LSQBackward(dx, dp, dy, x, p, l, grid) },
					func(dx, dp, dy, x, p []float32) { LSQBackward(dx, dp, dy, x, p, alone, grid) }, 1,
				},
				"seq": {
					func(dx, dp, dy, x, p []float32) { SEQBackward(dx, dp, dy, x, p, l, bits) },
					func(dx, dp, dy, x, p []float32) { SEQBackward(dx, dp, dy, x, p, alone, bits) }, math.Sqrt(1 / float64(l.Groups)),
				},
			} {
				dx, dparams := make([]float32, len(x)), make([]float32, l.Groups)
				rule.whole(dx, dparams, dy, x, params)
				gather := func(from []float32, g int) (out []float32) {
					for r := range l.Runs {
						lo := l.Start(g) + r*l.Stride
						out = append(out, from[lo:lo+l.Run]...)
					}
					return out
				}
				for g := range l.Groups {
					want, wantParam := make([]float32, l.Size()), []float32{0}
					rule.group(want, wantParam, gather(dy, g), gather(x, g), params[g:g+1])
					if !slices.Equal(gather(dx, g), want) {
						t.Errorf("%s, %+v: the gradients of group %d differ from those of the group alone", name, c, g)
					}
					if d := float64(wantParam[0]) * rule.factor; !near(float64(dparams[g]), d, 1e-5) {
						t.Errorf("%s, %+v: the gradient of scale %d is %v, want %v", name, c, g, dparams[g], d)
					}
				}
			}
		}
	}
}
