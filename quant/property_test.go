package quant

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// anyConfig draws a configuration that is valid, for a shape that fits it.
func anyConfig(t *rapid.T) (Config, []int) {
	c := Config{
		Bits:      rapid.SampledFrom([]float64{1, 1.58, 2, 3, 4, 5, 6, 7, 8}).Draw(t, "bits"),
		ScaleType: rapid.SampledFrom(ScaleTypes()).Draw(t, "type"),
		Rounding:  HalfEven, Scheme: Symmetric, Codes: Full,
		Granularity: rapid.SampledFrom(Granularities()).Draw(t, "granularity"),
		Axis:        rapid.IntRange(-3, 2).Draw(t, "axis"),
	}
	if c.Bits >= 2 {
		c.Scheme = rapid.SampledFrom(Schemes()).Draw(t, "scheme")
		c.Codes = rapid.SampledFrom(CodeRanges()).Draw(t, "codes")
	}
	c.Scale = rapid.SampledFrom(ScalesFor(c.Bits, c.Scheme)).Draw(t, "scale")
	if c.Scale == SEQ {
		c.Codes, c.Bits = Full, min(c.Bits, 7)
	}
	if c.Scale == LSQ || c.Scale == SEQ {
		c.ScaleType = Float32
	} else if c.Bits > 1 && !rules[c.Scale].threshold {
		c.Rounding = rapid.SampledFrom(Roundings()).Draw(t, "rounding")
	}
	c.Group = rapid.IntRange(1, 6).Draw(t, "group")
	c.Block = Block{rapid.IntRange(1, 3).Draw(t, "height"), c.Group}
	shape := []int{rapid.IntRange(1, 3).Draw(t, "batch"), c.Block[0] * rapid.IntRange(1, 3).Draw(t, "rows"), c.Group * rapid.IntRange(1, 5).Draw(t, "cols")}
	return c, shape
}

func anyNumbers(t *rapid.T, n int) []float32 {
	scale := float32(math.Exp2(float64(rapid.IntRange(-4, 8).Draw(t, "size"))))
	x := make([]float32, n)
	for i := range x {
		x[i] = scale * rapid.Float32Range(-1, 1).Draw(t, "x")
	}
	return x
}

func product(shape []int) int {
	n, _ := elements(shape)
	return n
}

// Whatever the configuration: codes on the grid, values near, codes that stay,
// an exact zero.
func TestEveryConfigurationKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, shape := anyConfig(t)
		x := anyNumbers(t, product(shape))
		q, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		dst := new(Tensor)
		if c.Scale == Static {
			l, _ := c.Layout(shape...)
			dst.Scales, dst.Zeros = slices.Repeat([]float32{0.5}, l.Groups), make([]int8, l.Groups)
		}
		if err := q.QuantizeInto(dst, x, shape...); err != nil {
			t.Fatalf("%+v %v: %v", c, shape, err)
		}
		if err := errors.Join(q.checkCodes(dst), q.checkRoundTrip(dst, x), q.checkIdempotence(dst), q.checkZero(dst)); err != nil {
			t.Fatalf("%+v %v: %v", c, shape, err)
		}
	})
}

// Numbers twice as large have the same codes and twice the scale. A power of
// two keeps rounding out of it; float16 scales have no room for it below.
func TestScaleEquivariance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, shape := anyConfig(t)
		if c.Scale == Static || c.ScaleType == Float16 {
			return
		}
		x := anyNumbers(t, product(shape))
		for i := range x { // far from the floor of a scale
			x[i] += float32(math.Copysign(1, float64(x[i])))
		}
		twice := slices.Clone(x)
		for i := range twice {
			twice[i] *= 2
		}
		q, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		a, err := q.Quantize(x, shape...)
		if err != nil {
			t.Fatal(err)
		}
		b, err := q.Quantize(twice, shape...)
		if err != nil {
			t.Fatal(err)
		}
		for g := range a.Scales {
			if b.Scales[g] != 2*a.Scales[g] {
				t.Fatalf("%+v: scale %v, of twice the numbers %v", c, a.Scales[g], b.Scales[g])
			}
		}
		if !slices.Equal(a.Codes, b.Codes) || !slices.Equal(a.Zeros, b.Zeros) {
			t.Fatalf("%+v: the codes of twice the numbers are others", c)
		}
	})
}

// With a scale a channel, to swap channels is to swap codes and scales, on
// whichever axis the channels lie.
func TestChannelPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, _ := anyConfig(t)
		if c.Scale == Static || c.Rounding == Stochastic { // which draws by place
			return
		}
		shape := []int{4, 3, 5}
		c.Granularity = PerChannel
		c.Axis = (c.Axis + 3) % 3
		x := anyNumbers(t, 60)
		order := rapid.Permutation([]int{0, 1, 2, 3, 4}[:shape[c.Axis]]).Draw(t, "order")
		from := make([]int, 60) // where the elements of the moved tensor come from
		for i := range from {
			at := [3]int{i / 15, i / 5 % 3, i % 5}
			at[c.Axis] = order[at[c.Axis]]
			from[i] = at[0]*15 + at[1]*5 + at[2]
		}
		moved := make([]float32, 60)
		for i, k := range from {
			moved[i] = x[k]
		}
		q, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		a, errA := q.Quantize(x, shape...)
		b, errB := q.Quantize(moved, shape...)
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		for i, k := range from {
			if b.Codes[i] != a.Codes[k] {
				t.Fatalf("%+v: element %d has the code %d, at place %d %d", c, k, a.Codes[k], i, b.Codes[i])
			}
		}
		for i, k := range order {
			if b.Scales[i] != a.Scales[k] || len(a.Zeros) > 0 && b.Zeros[i] != a.Zeros[k] {
				t.Fatalf("%+v: channel %d differs at place %d", c, k, i)
			}
		}
	})
}

// Every granularity is the tensor rule applied to its groups, gathered by
// naive index arithmetic.
func TestLayoutsAgainstGathering(t *testing.T) {
	shape := []int{2, 6, 8}
	x := normal(96, 8)
	for _, c := range []Config{
		{Granularity: PerChannel, Axis: 0}, {Granularity: PerChannel, Axis: 1}, {Granularity: PerChannel, Axis: -1},
		{Granularity: PerToken}, {Granularity: PerGroup, Group: 4}, {Granularity: PerBlock, Block: [2]int{3, 4}},
	} {
		groups := map[[3]int][]int{}
		var order [][3]int
		for i := range x {
			b, r, k := i/48, i/8%6, i%8
			key := map[Granularity][3]int{
				PerChannel: {[]int{b, r, k, k}[(c.Axis+4)%4]}, PerToken: {b, r}, PerGroup: {b, r, k / 4}, PerBlock: {b, r / 3, k / 4},
			}[c.Granularity]
			if c.Granularity == PerChannel && c.Axis == -1 {
				key = [3]int{k}
			}
			if groups[key] == nil {
				order = append(order, key)
			}
			groups[key] = append(groups[key], i)
		}
		got := mustQuantize(t, c, x, shape...)
		if len(got.Scales) != len(order) {
			t.Fatalf("%+v: %d scales, want %d", c, len(got.Scales), len(order))
		}
		for g, key := range order {
			gathered := make([]float32, 0, len(groups[key]))
			for _, i := range groups[key] {
				gathered = append(gathered, x[i])
			}
			want := mustQuantize(t, Config{}, gathered)
			if got.Scales[g] != want.Scales[0] {
				t.Errorf("%+v: scale %d is %v, want %v", c, g, got.Scales[g], want.Scales[0])
			}
			for k, i := range groups[key] {
				if got.Codes[i] != want.Codes[k] {
					t.Errorf("%+v: element %d has the code %d, want %d", c, i, got.Codes[i], want.Codes[k])
				}
			}
		}
	}
}

// More bits are not worse, for every rule of uniform grids but lsq, whose
// first step is a guess.
func TestMonotonicInBits(t *testing.T) {
	x := normal(4096, 9)
	for _, scheme := range Schemes() {
		for _, rule := range ScalesFor(4, scheme) {
			if rule == Static || rule == LSQ {
				continue
			}
			for bits := 2.0; bits < 8; bits++ {
				if rule == SEQ && bits == 7 {
					continue
				}
				if err := Check(Config{Bits: bits, Scheme: scheme, Scale: rule}, x); err != nil {
					t.Errorf("%s %s at %v bits: %v", scheme, rule, bits, err)
				}
			}
		}
	}
}

func TestCancellationAndProgress(t *testing.T) {
	x := normal(3*stripTasks*taskSize, 6)
	q, dst := mustNew(t, Config{}), new(Tensor)
	var seen []int
	report := func(done, total int) {
		if total != len(x) {
			t.Errorf("total %d, want %d", total, len(x))
		}
		seen = append(seen, done)
	}
	if err := q.QuantizeInput(context.Background(), dst, Input{Float32: x}, report); err != nil {
		t.Fatal(err)
	}
	if len(seen) < 3 || !slices.IsSorted(seen) || seen[len(seen)-1] != len(x) {
		t.Errorf("progress %v of %d", seen, len(x))
	}
	// The first news comes while the scale is looked for: three from each pass of
	// all threads, two from each of one.
	for rule, least := range map[Scale]int{AbsMean: 3 + 3, TWN: 2*3 + 3, Median: 3 + 2*2 + 3, Optimal: 3 + 2 + 3} {
		seen = nil
		if err := mustNew(t, Config{Scale: rule}).QuantizeInput(context.Background(), dst, Input{Float32: x}, report); err != nil {
			t.Fatal(err)
		}
		half := slices.IndexFunc(seen, func(done int) bool { return done > len(x)/2 })
		if seen[0] > len(x)/6 || half < 3 || len(seen) < least || !slices.IsSorted(seen) || seen[len(seen)-1] != len(x) {
			t.Errorf("%s: progress %v of %d", rule, seen, len(x))
		}
		ctx, cancel := context.WithCancel(context.Background())
		calls := 0
		stop := func(done, total int) { calls++; cancel() }
		if err := mustNew(t, Config{Scale: rule}).QuantizeInput(ctx, dst, Input{Float32: x}, stop); !errors.Is(err, context.Canceled) || calls != 1 {
			t.Errorf("%s: cancelled at the first news: %v after %d", rule, err, calls)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	stop := func(done, total int) { cancel() }
	for _, c := range []Config{{}, {Bits: 8, Granularity: PerGroup, Group: 64}} {
		if err := mustNew(t, c).QuantizeInput(ctx, dst, Input{Float32: x}, stop); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled: %v", c.Granularity, err)
		}
	}
}
