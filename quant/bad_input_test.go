package quant

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestBadConfigurationsAreNamed(t *testing.T) {
	for _, c := range []struct {
		config Config
		field  string
	}{
		{Config{Bits: 9}, "bits: 9"}, {Config{Bits: 2.5}, "bits: 2.5"}, {Config{Bits: math.NaN()}, "bits: NaN"},
		{Config{Scheme: Affine}, "scheme: a grid of 1.58 bits cannot be affine"},
		{Config{Codes: Narrow}, "codes: a grid of 1.58 bits"},
		{Config{Bits: 8, Scale: TWN}, "scale: twn is no rule for symmetric grids"},
		{Config{Bits: 8, Scheme: Affine, Scale: KL}, "scale: kl is no rule for affine grids"},
		{Config{Scale: "mean"}, `scale: "mean" is not known`},
		{Config{Granularity: PerGroup}, "group: 0 elements"}, {Config{Granularity: PerBlock}, "block: 0 x 0"},
		{Config{Granularity: "row"}, `granularity: "row"`}, {Config{Scale: TWN, Rounding: Floor}, "rounding: with the scale twn"},
		{Config{Bits: 8, Scale: SEQ}, "scale: seq has 2 to 7 bits"}, {Config{Percentile: 101}, "percentile: 101"},
		{Config{Bits: 4, Scale: SEQ, Rounding: Floor}, "rounding: the gradients of seq are those of rounding half to even, not floor"},
		{Config{Scale: LSQ, Rounding: Stochastic}, "rounding: the gradients of lsq"}, {Config{Scale: LSQ, ScaleType: Float16}, "scale_type: scales that lsq learns are float32"},
		{Config{Sigmas: -1}, "sigmas: -1"}, {Config{Threshold: math.NaN()}, "threshold: NaN"}, {Config{ScaleType: "int"}, `scale_type: "int"`},
	} {
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.field)
		}
	}
}

// A wrong number of bits is one mistake, not two.
func TestOneMistakeIsReportedOnce(t *testing.T) {
	if _, err := New(Config{Bits: 1.6}); err == nil || strings.Count(err.Error(), "\n") > 0 {
		t.Errorf("1.6 bits: %v, want one line", err)
	}
}

// The range of values is covered by uniform grids alone.
func TestCoverRefuses(t *testing.T) {
	for _, c := range []Config{{}, {Bits: 1}, {Bits: 4, Scale: SEQ}} {
		if _, _, err := c.Cover(-1, 1); err == nil || !strings.Contains(err.Error(), "not uniform") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestBadShapesAreNamed(t *testing.T) {
	for _, c := range []struct {
		config Config
		shape  []int
		want   string
	}{
		{Config{}, []int{3, 4}, "24 elements do not fill shape [3 4]: give 12"},
		{Config{}, []int{0, 4}, "every dimension"}, {Config{}, []int{math.MaxInt, 24}, "every dimension"},
		{Config{Granularity: PerChannel, Axis: 2}, []int{4, 6}, "axis 2 is out of range for shape [4 6]: use -2 to 1"},
		{Config{Granularity: PerGroup, Group: 4}, []int{4, 6}, "groups of 4 do not divide"},
		{Config{Granularity: PerBlock, Block: [2]int{3, 2}}, []int{4, 6}, "blocks of 3 x 2 do not divide"},
		{Config{Granularity: PerBlock, Block: [2]int{3, 2}}, []int{24}, "need two dimensions"},
		{Config{Scale: Static}, []int{24}, "0 scales and 0 zero points are given"},
	} {
		if _, err := mustNew(t, c.config).Quantize(make([]float32, 24), c.shape...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v %v: %v, want %q", c.config, c.shape, err, c.want)
		}
	}
	if _, err := mustNew(t, Config{}).Quantize(nil); err == nil {
		t.Error("an empty tensor has codes")
	}
}

// NaN and infinities are errors for every rule, wherever they stand.
func TestNonFiniteNumbersAreErrors(t *testing.T) {
	everyRule(func(c Config) {
		q := mustNew(t, c)
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
			for _, n := range []int{5, 3000, taskSize + 10} {
				x := normal(n, 4)
				x[n-2] = bad
				dst := &Tensor{Scales: []float32{1}, Zeros: []int8{0}}
				if err := q.QuantizeInto(dst, x); err == nil || !strings.Contains(err.Error(), "only finite numbers") {
					t.Errorf("%v bits %s %s: %v among %d: error %v", c.Bits, c.Scheme, c.Scale, bad, n, err)
				}
			}
		}
	})
}

// Zeros, denormals and the largest numbers have codes on the grid and finite
// values, or an error that says that the scale overflows.
func TestExtremeNumbers(t *testing.T) {
	try := func(c Config) {
		q := mustNew(t, c)
		for name, x := range map[string][]float32{
			"zeros": make([]float32, 40), "one": {3}, "denormals": {1e-45, -1e-44, 1e-40, 0}, "largest": {math.MaxFloat32, -math.MaxFloat32, 1, 0},
			"equal": slices.Repeat([]float32{-2}, 3000), "positive": {1, 2, 3}, "mixed": {1e-45, math.MaxFloat32, 0, -1},
		} {
			dst := &Tensor{Scales: []float32{1}, Zeros: []int8{0}}
			if err := q.QuantizeInto(dst, x); err != nil {
				if text := err.Error(); !strings.Contains(text, "overflows") && !strings.Contains(text, "too large for power-of-two") {
					t.Errorf("%v bits %s %s: %s: %v", c.Bits, c.Scheme, c.Scale, name, err)
				}
				continue
			}
			if err := q.checkCodes(dst); err != nil {
				t.Errorf("%v bits %s %s: %s: %v", c.Bits, c.Scheme, c.Scale, name, err)
			}
			if _, err := Compare(x, dst); err != nil { // which refuses values that are not finite
				t.Errorf("%v bits %s %s %s: %s: %v", c.Bits, c.Scheme, c.Scale, c.ScaleType, name, err)
			}
			if dst.Scales[0] < minScale/256 {
				t.Errorf("%v bits %s %s: %s: scale %v", c.Bits, c.Scheme, c.Scale, name, dst.Scales[0])
			}
			if name == "zeros" && q.Grid().Step == 1 && slices.ContainsFunc(dst.Values(), func(v float32) bool { return v != 0 }) {
				t.Errorf("%v bits %s %s: zeros become %v", c.Bits, c.Scheme, c.Scale, dst.Values())
			}
		}
	}
	everyRule(func(c Config) {
		try(c)
		if c.ScaleType = PowerOfTwo; c.Scale != LSQ && c.Scale != SEQ {
			try(c)
		}
	})
}

// Where the outermost values of a grid lie beyond float32, there is an error
// and no infinity.
func TestGridsBeyondFloat32(t *testing.T) {
	const most = math.MaxFloat32
	for name, c := range map[string]struct {
		config Config
		x      []float32
	}{
		"affine":       {Config{Bits: 4, Scheme: Affine}, []float32{-most, most}},
		"power of two": {Config{Bits: 8, ScaleType: PowerOfTwo}, []float32{most, 1}},
		"lsq":          {Config{Bits: 2, Scale: LSQ}, []float32{-most, 0, 0, 0.9 * most}},
	} {
		q := mustNew(t, c.config)
		if got, err := q.Quantize(c.x); err == nil || !strings.Contains(err.Error(), "grid of group 0 overflows float32") {
			t.Errorf("%s: %v, of the values %v", name, err, got)
		}
		for i := range c.x {
			c.x[i] /= 4
		}
		if got := mustQuantize(t, c.config, c.x); slices.ContainsFunc(got.Values(), func(v float32) bool { return v-v != 0 }) {
			t.Errorf("%s: a quarter of the numbers becomes %v", name, got.Values())
		}
	}
	untyped := &Tensor{Scales: []float32{0.1}}
	if err := mustNew(t, Config{Bits: 8, ScaleType: Float16}).Encode(untyped, []float32{1}); err == nil || !strings.Contains(err.Error(), "0.1, is no float16") {
		t.Errorf("a scale that is no float16: %v", err)
	}
	given := &Tensor{Scales: []float32{most / 2}}
	if err := mustNew(t, Config{Bits: 8}).Encode(given, []float32{1}); err == nil || !strings.Contains(err.Error(), "overflows") {
		t.Errorf("a scale of %v: %v", given.Scales[0], err)
	}
}

func everyRule(try func(Config)) {
	for _, bits := range []float64{1, 1.58, 2, 4, 8} {
		for _, scheme := range Schemes() {
			if bits < 2 && scheme == Affine {
				continue
			}
			for _, rule := range ScalesFor(bits, scheme) {
				if bits == 8 && rule == SEQ {
					continue
				}
				try(Config{Bits: bits, Scheme: scheme, Scale: rule})
			}
		}
	}
}
