package packed

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

var formats = []Format{Bits1, Trits, Bits2, Bits3, Bits4, Bits8}

// lengths are awkward: one, primes, and both sides of blocks and vectors.
var lengths = []int{1, 2, 3, 5, 7, 31, 32, 33, 63, 64, 65, 97, 127, 128, 129, 191, 256, 257, 331}

func pick(rng *rand.Rand) int { return lengths[rng.IntN(len(lengths))] }

// eachLevel runs test at every level that this machine has, portable first,
// with one thread and with three.
func eachLevel(t *testing.T, test func(t *testing.T)) {
	for l := kernel.Portable; l <= kernel.Best(); l++ {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v/%d", l, threads), func(t *testing.T) {
				defer kernel.SetLevel(kernel.SetLevel(l))
				defer kernel.SetThreads(kernel.SetThreads(threads))
				test(t)
			})
		}
	}
}

func randomCodes(rng *rand.Rand, n int, f Format) []int8 {
	lo, hi := f.Range()
	codes := make([]int8, n)
	for i := range codes {
		for codes[i] = lo - 1; !f.holds(codes[i]) || codes[i] < lo; {
			codes[i] = int8(int(lo) + rng.IntN(int(hi)-int(lo)+1))
		}
	}
	return codes
}

// randomScales returns scales of any granularity for a matrix [rows, cols],
// and the scale of each element.
func randomScales(rng *rand.Rand, rows, cols int) (s Scales, each func(r, c int) float32) {
	values := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64()) / 8
		}
		return v
	}
	switch rng.IntN(3) {
	case 0:
		s = Scales{Values: values(1)}
		return s, func(r, c int) float32 { return s.Values[0] }
	case 1:
		s = Scales{Granularity: quant.PerChannel, Values: values(rows)}
		return s, func(r, c int) float32 { return s.Values[r] }
	}
	group := 1 + rng.IntN(cols)
	for cols%group > 0 {
		group--
	}
	s = Scales{Granularity: quant.PerGroup, Group: group, Values: values(rows * cols / group)}
	return s, func(r, c int) float32 { return s.Values[(r*cols+c)/group] }
}

// guarded returns room for n elements between guard values, and what fails if
// one of those was overwritten.
func guarded[T comparable](n int, guard T) (s []T, check func(t *testing.T)) {
	const fence = 19
	all := slices.Repeat([]T{guard}, n+2*fence)
	return all[fence : fence+n], func(t *testing.T) {
		t.Helper()
		for i := range fence {
			if all[i] != guard || all[fence+n+i] != guard {
				t.Fatal("written outside of the slice")
			}
		}
	}
}

func TestMatrix(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, f := range slices.Repeat(formats, 6) {
			rows, cols := 1+rng.IntN(40), pick(rng)
			codes := randomCodes(rng, rows*cols, f)
			scales, scale := randomScales(rng, rows, cols)
			m, err := NewMatrix(f, rows, cols, codes, scales)
			if err != nil {
				t.Fatal(err)
			}
			got, check := guarded(rows*cols, int8(99))
			if err := m.Codes(got, 0); err != nil || !slices.Equal(got, codes) {
				t.Fatalf("%v: codes [%d %d] did not come back: %v", f, rows, cols, err)
			}
			check(t)
			want := make([]float32, rows*cols)
			for i, c := range codes {
				want[i] = float32(c) * scale(i/cols, i%cols)
			}
			checkDequantize(t, m, want, rng)
		}
	})
}

// checkDequantize wants the elements of m by every way there is.
func checkDequantize(t *testing.T, m *Matrix, want []float32, rng *rand.Rand) {
	t.Helper()
	half := make([]uint16, len(want))
	kernel.EncodeFloat16(half, want)
	whole, check := guarded(len(want), float32(-77))
	if err := m.Dequantize(whole); err != nil || !slices.Equal(whole, want) {
		t.Fatalf("%v: Dequantize: %v", m.Format(), err)
	}
	check(t)
	halves, check := guarded(len(want), uint16(77))
	if err := m.DequantizeFloat16(halves); err != nil || !slices.Equal(halves, half) {
		t.Fatalf("%v: DequantizeFloat16: %v", m.Format(), err)
	}
	check(t)
	r, cols := rng.IntN(m.Rows()), m.Cols()
	row, check := guarded(cols, float32(-77))
	if err := m.DequantizeRow(row, r); err != nil || !slices.Equal(row, want[r*cols:(r+1)*cols]) {
		t.Fatalf("%v: DequantizeRow(%d): %v", m.Format(), r, err)
	}
	check(t)
	halfRow, check := guarded(cols, uint16(77))
	if err := m.DequantizeRowFloat16(halfRow, r); err != nil || !slices.Equal(halfRow, half[r*cols:(r+1)*cols]) {
		t.Fatalf("%v: DequantizeRowFloat16(%d): %v", m.Format(), r, err)
	}
	check(t)
	next := 0
	for first, values := range m.Values(make([]float32, 1+rng.IntN(len(want)+3))) {
		if first != next || !slices.Equal(values, want[first:first+len(values)]) {
			t.Fatalf("%v: %d streamed values from %d on are wrong", m.Format(), len(values), first)
		}
		next += len(values)
	}
	if next != len(want) {
		t.Fatalf("%v: %d of %d values were streamed", m.Format(), next, len(want))
	}
}

// Packing gives codes back at every length.
func TestPackingRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(formats).Draw(t, "format")
		lo, hi := f.Range()
		codes := rapid.SliceOfN(rapid.Int8Range(lo, hi).Filter(f.holds), 1, 700).Draw(t, "codes")
		m, err := NewMatrix(f, 1, len(codes), codes, Scales{Values: []float32{1}})
		if err != nil {
			t.Fatal(err)
		}
		first := rapid.IntRange(0, len(codes)).Draw(t, "first")
		got := make([]int8, len(codes)-first)
		if err := m.Codes(got, first); err != nil || !slices.Equal(got, codes[first:]) {
			t.Fatalf("codes from %d on: %v, want %v (%v)", first, got, codes[first:], err)
		}
	})
}

// One million ternary weights, scales included.
func TestMemory(t *testing.T) {
	w := make([]float32, 1_000_000)
	for i := range w {
		w[i] = float32(i%7) - 3
	}
	for _, g := range []quant.Granularity{quant.PerTensor, quant.PerChannel} {
		for f, limit := range map[Format]int{Trits: 210_000, Bits2: 270_000} {
			m, err := Quantize(f, quantizer(t, quant.Config{Granularity: g}), w, 1000, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if m.Size() > limit {
				t.Errorf("%v with scales by %s: %d bytes, more than %d", f, g, m.Size(), limit)
			}
			if got := cap(m.packed) + 4*cap(m.scales); got > m.Size()+64 {
				t.Errorf("%v: Size says %d bytes, %d are held", f, m.Size(), got)
			}
		}
	}
	for kind, size := range map[quant.ScaleType]int{quant.Float32: 4, quant.Float16: 2, quant.PowerOfTwo: 1} {
		c := quant.Config{Granularity: quant.PerGroup, Group: 50, ScaleType: kind}
		m, err := Quantize(Trits, quantizer(t, c), w, 1000, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if want := 200_000 + 20_000*size; m.Size() != want || m.ScaleType() != kind {
			t.Errorf("20,000 scales as %s: %d bytes, want %d", m.ScaleType(), m.Size(), want)
		}
	}
}

// Beyond its output, quantizing and dequantizing allocate as many bytes for a
// large tensor as for a small one.
func TestNoAllocationsThatGrow(t *testing.T) {
	defer kernel.SetThreads(kernel.SetThreads(1))
	allocated := func(c quant.Config, rows int) uint64 {
		q := quantizer(t, c)
		x, m := make([]float32, rows*1000), new(Matrix)
		x[0] = 1
		var before, after runtime.MemStats
		for range 5 { // the last counts; the first makes the output
			runtime.ReadMemStats(&before)
			if m.Quantize(Trits, q, x, rows, 1000) != nil || m.Dequantize(x) != nil {
				t.Fatal("failed")
			}
			runtime.ReadMemStats(&after)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	// The packed form of 4,000 rows alone has 800,000 bytes.
	for _, rule := range []quant.Scale{quant.AbsMean, quant.TWN, quant.Median, quant.Optimal, quant.AbsMax, quant.SEQ} {
		c := quant.Config{Scale: rule}
		if small, large := allocated(c, 200), allocated(c, 4000); large > small+100_000 { // a pool may have been emptied
			t.Errorf("%s: %d bytes are allocated for 200 rows, %d for 4000", rule, small, large)
		}
	}
}

func TestMatrixRefuses(t *testing.T) {
	one := Scales{Values: []float32{1}}
	nan := Scales{Values: []float32{float32(math.NaN())}}
	group := func(n, count int) Scales {
		return Scales{Granularity: quant.PerGroup, Group: n, Values: make([]float32, count)}
	}
	for _, c := range []struct {
		f          Format
		rows, cols int
		codes      []int8
		scales     Scales
		says       string
	}{
		{Format(9), 1, 2, []int8{0, 1}, one, "format 9 is not known"},
		{Trits, 1, 3, []int8{0, 1}, one, "has 3 codes, not 2"},
		{Trits, 0, 2, nil, one, "shape [0 2]"},
		{Trits, math.MaxInt, math.MaxInt, nil, one, "a dimension is not between"},
		{Trits, 1, 2, []int8{0, 2}, one, "code 1 is 2, which 1.6 bits cannot hold"},
		{Bits1, 1, 2, []int8{1, 0}, one, "code 1 is 0, which 1 bit cannot hold"},
		{Bits4, 1, 2, []int8{-9, 0}, one, "code 0 is -9"},
		{Trits, 1, 2, []int8{0, 1}, nan, "scale 0 is NaN"},
		{Bits8, 1, 2, []int8{0, 1}, Scales{Values: []float32{3e38}}, "scale 0, 3e+38, is too large: the code -128"},
		{Trits, 1, 2, []int8{0, 1}, Scales{Values: []float32{0.1}, Type: quant.Float16}, "scale 0, 0.1, is no positive float16"},
		{Trits, 1, 2, []int8{0, 1}, Scales{Values: []float32{0.75}, Type: quant.PowerOfTwo}, "scale 0, 0.75, is no positive power-of-two"},
		{Trits, 1, 2, []int8{0, 1}, Scales{Values: []float32{0x1p-140}, Type: quant.PowerOfTwo}, "is no positive power-of-two"},
		{Trits, 1, 2, []int8{0, 1}, Scales{Values: []float32{-0.5}, Type: quant.Float16}, "is no positive float16"},
		{Trits, 1, 2, []int8{0, 1}, Scales{Values: []float32{1}, Type: "float8"}, `type "float8"`},
		{Trits, 1, 2, []int8{0, 1}, Scales{}, "0 scales for a matrix of shape [1 2]: need 1"},
		{Trits, 1, 2, []int8{0, 1}, Scales{Granularity: quant.PerBlock}, "scales by block"},
		{Trits, 1, 4, make([]int8, 4), group(3, 1), "groups of 3 do not divide rows of 4"},
		{Trits, 1, 4, make([]int8, 4), group(0, 1), "groups of 0 do not divide"},
		{Trits, 1, 4, make([]int8, 4), group(2, 1), "1 scales for a matrix of shape [1 4]: need 2"},
	} {
		if _, err := NewMatrix(c.f, c.rows, c.cols, c.codes, c.scales); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v, want it to say %q", err, c.says)
		}
	}
	if _, err := OpenMatrix(Trits, 1, 6, []byte{242, 243}, one); err == nil || !strings.Contains(err.Error(), "byte 1 is 243") {
		t.Errorf("got %v", err)
	}
	if _, err := OpenMatrix(Bits2, 1, 129, make([]byte, 32), one); err == nil || !strings.Contains(err.Error(), "need 64") {
		t.Errorf("got %v", err)
	}
	m, err := NewMatrix(Trits, 2, 3, make([]int8, 6), one)
	if err != nil {
		t.Fatal(err)
	}
	wide, err := NewMatrix(Trits, 2, 8, make([]int8, 16), one)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []int{1 << 61, math.MinInt, math.MaxInt, 2} { // row*8 wraps to 0 for the first two
		if err := wide.DequantizeRow(make([]float32, 8), row); err == nil || !strings.Contains(err.Error(), "of a matrix with 2: out of range") {
			t.Errorf("row %d: %v", row, err)
		}
		if err := wide.DequantizeRowFloat16(make([]uint16, 8), row); err == nil {
			t.Errorf("row %d as float16: no error", row)
		}
	}
	for i, err := range []error{
		m.Dequantize(make([]float32, 5)), m.DequantizeFloat16(make([]uint16, 7)),
		m.DequantizeRow(make([]float32, 2), 0), m.DequantizeRow(make([]float32, 3), 2), m.DequantizeRow(make([]float32, 3), -1),
		m.DequantizeRowFloat16(make([]uint16, 2), 0), m.DequantizeRowFloat16(make([]uint16, 3), 2),
		m.DequantizeContext(context.Background(), make([]float32, 5), nil),
		m.Codes(make([]int8, 2), 5), m.Codes(make([]int8, 2), -1),
	} {
		if err == nil {
			t.Errorf("misuse %d was not reported", i)
		}
	}
}

// Whatever the bytes: an error, or codes within the format's range.
func FuzzOpenMatrix(f *testing.F) {
	f.Add(byte(Trits), 3, 7, byte(0), 0, make([]byte, 5))
	f.Add(byte(Bits3), 1, 300, byte(1), 0, slices.Repeat([]byte{0x9d}, 192))
	f.Add(byte(Bits2), 2, 64, byte(2), 32, slices.Repeat([]byte{0xe4}, 32))
	f.Fuzz(func(t *testing.T, format byte, rows, cols int, granularity byte, group int, packed []byte) {
		names := quant.Granularities()
		s := Scales{Granularity: names[int(granularity)%len(names)], Group: group, Values: []float32{0.5}}
		if s.Granularity != quant.PerTensor && rows > 0 && rows < 1000 && cols > 0 && cols < 1000 {
			s.Values = slices.Repeat(s.Values, rows)
			if s.Granularity == quant.PerGroup && group > 0 {
				s.Values = slices.Repeat(s.Values[:1], rows*cols/group)
			}
		}
		m, err := OpenMatrix(Format(format), rows, cols, packed, s)
		if err != nil {
			return
		}
		codes := make([]int8, rows*cols)
		if err := m.Codes(codes, 0); err != nil {
			t.Fatal(err)
		}
		again, err := NewMatrix(m.Format(), rows, cols, codes, s) // checks the range
		if err != nil {
			t.Fatal(err)
		}
		back := make([]int8, rows*cols)
		if err := again.Codes(back, 0); err != nil || !slices.Equal(back, codes) {
			t.Fatalf("codes changed: %v", err)
		}
		if err := m.Dequantize(make([]float32, rows*cols)); err != nil {
			t.Fatal(err)
		}
	})
}
