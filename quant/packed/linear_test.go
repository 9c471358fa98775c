package packed

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// product is the definition of Linear.Multiply, element by element.
func product(x []int8, sx []float32, m *Matrix, codes []int8, rows int) []float32 {
	scales, group := m.Scales()
	out, in := m.Rows(), m.Cols()
	y := make([]float32, rows*out)
	for r := range rows {
		for o := range out {
			size := min(group, in)
			for at := 0; at < in; at += size {
				sum := 0
				for i := at; i < at+size; i++ {
					sum += int(x[r*in+i]) * int(codes[o*in+i])
				}
				part := float32(sum) * float32(sx[r]*scales[(o*in+at)/group])
				if at > 0 {
					part += y[r*out+o]
				}
				y[r*out+o] = part
			}
		}
	}
	return y
}

func TestLinear(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for i, f := range slices.Repeat(formats, 8) {
			rows, out, in := []int{1, 2, 3, 13, 67}[rng.IntN(5)], 1+rng.IntN(70), pick(rng)
			codes := randomCodes(rng, out*in, f)
			scales, _ := randomScales(rng, out, in)
			m, err := NewMatrix(f, out, in, codes, scales)
			if err != nil {
				t.Fatal(err)
			}
			l, err := NewLinear(m)
			if err != nil || l.Out() != out || l.In() != in {
				t.Fatal(err)
			}
			x, sx := randomCodes(rng, rows*in, Bits8), gaussian(rng, rows)
			if i%5 == 0 {
				x = slices.Repeat([]int8{-128}, rows*in)
			}
			want := product(x, sx, m, codes, rows)
			ldy := out + rng.IntN(3)
			y, check := guarded(rows*ldy, float32(-77))
			if err := l.Multiply(y, ldy, x, sx, rows); err != nil {
				t.Fatal(err)
			}
			check(t)
			for r := range rows {
				if !slices.Equal(y[r*ldy:][:out], want[r*out:][:out]) {
					t.Fatalf("%v [%d %d], scales by %q, row %d of %d: %v, want %v", f, out, in, scales.Granularity, r, rows, y[r*ldy:][:out], want[r*out:][:out])
				}
				for _, v := range y[r*ldy+out : (r+1)*ldy] {
					if v != -77 {
						t.Fatalf("%v: written beyond row %d", f, r)
					}
				}
			}
		}
	})
}

// Dynamic scales are those of the kernel; static ones are one for all rows.
func TestApply(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	const rows, out, in = 5, 33, 70
	w := gaussian(rng, out*in)
	m, err := Quantize(Trits, quantizer(t, quant.Config{}), w, out, in)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLinear(m)
	if err != nil {
		t.Fatal(err)
	}
	weights, x := make([]int8, out*in), gaussian(rng, rows*in)
	if err := m.Codes(weights, 0); err != nil {
		t.Fatal(err)
	}
	codes, scales, y := make([]int8, rows*in), make([]float32, rows), make([]float32, rows*out)
	for _, bits := range []int{4, 8} {
		kernel.QuantizeRows(codes, scales, x, rows, in, quant.MaxCode(bits))
		if err := l.Apply(y, x, rows, Input{Bits: bits}); err != nil || !slices.Equal(y, product(codes, scales, m, weights, rows)) {
			t.Errorf("%d bits, a scale a row: wrong (%v)", bits, err)
		}
		for i, v := range x {
			top := float64(quant.MaxCode(bits))
			codes[i] = int8(min(max(math.RoundToEven(float64(v*(1/float32(0.3)))), -top-1), top))
		}
		static := slices.Repeat([]float32{0.3}, rows)
		if err := l.Apply(y, x, rows, Input{Bits: bits, Scale: 0.3}); err != nil || !slices.Equal(y, product(codes, static, m, weights, rows)) {
			t.Errorf("%d bits, one scale: wrong (%v)", bits, err)
		}
	}
}

// What does not fit is an error, and nothing is written beyond the slices.
func TestLinearRefuses(t *testing.T) {
	const out, in = 8, 5
	for _, f := range []Format{Trits, Bits4} {
		m, err := NewMatrix(f, out, in, slices.Repeat([]int8{1}, out*in), Scales{Values: []float32{1}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewLinear(m)
		if err != nil {
			t.Fatal(err)
		}
		floats := func(n int) []float32 { return make([]float32, n) }
		y := slices.Repeat([]float32{-77}, 2*out)
		for says, try := range map[string]func() error{
			"room for 3 results, for 1 rows of 8":  func() error { return l.Apply(y[:3], floats(in), 1, Input{Bits: 8}) },
			"room for 15 results, for 2 rows of 8": func() error { return l.Apply(y[:15], floats(2*in), 2, Input{Bits: 8}) },
			"4 inputs for 1 rows":                  func() error { return l.Apply(y, floats(in)[:4], 1, Input{Bits: 8}) },
			"9 inputs for 2 rows":                  func() error { return l.Apply(y, floats(2 * in)[:9], 2, Input{Bits: 8}) },
			"for -1 rows":                          func() error { return l.Apply(y, floats(in), -1, Input{Bits: 8}) },
			"input of 0 bits: use 2 to 8":          func() error { return l.Apply(y, floats(in), 1, Input{}) },
			"input of 1 bits":                      func() error { return l.Apply(y, floats(in), 1, Input{Bits: 1}) },
			"input of 9 bits":                      func() error { return l.Apply(y, floats(in), 1, Input{Bits: 9}) },
			"static scale -1":                      func() error { return l.Apply(y, floats(in), 1, Input{Bits: 8, Scale: -1}) },
			"static scale NaN": func() error {
				return l.Apply(y, floats(in), 1, Input{Bits: 8, Scale: float32(math.NaN())})
			},
			"10 codes and 1 scales for 2 rows":   func() error { return l.Multiply(y, out, make([]int8, 2*in), []float32{1}, 2) },
			"9 codes and 2 scales for 2 rows":    func() error { return l.Multiply(y, out, make([]int8, 2*in)[:9], []float32{1, 1}, 2) },
			"rows of 8 that begin 7 apart":       func() error { return l.Multiply(y, 7, make([]int8, 2*in), []float32{1, 1}, 2) },
			"need as many, and a scale each":     func() error { return Input{Bits: 8}.Quantize(make([]int8, 2*in), floats(1), floats(2*in), 2, in) },
			"with room for 9 codes and 2 scales": func() error { return Input{Bits: 8}.Quantize(make([]int8, 9), floats(2), floats(2*in), 2, in) },
		} {
			if err := try(); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%v: got %v, want it to say %q", f, err, says)
			}
		}
		if slices.ContainsFunc(y, func(v float32) bool { return v != -77 }) {
			t.Errorf("%v: a refused call wrote %v", f, y)
		}
		if err := l.Multiply(nil, out, nil, nil, 0); err != nil {
			t.Errorf("%v: no rows: %v", f, err)
		}
	}
}

// What is documented about numbers that are not finite.
func TestInputOfStrangeNumbers(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	x := []float32{nan, 1, -inf, 1, 1, -2}
	codes, scales := make([]int8, 6), make([]float32, 3)
	if err := (Input{Bits: 8}).Quantize(codes, scales, x, 3, 2); err != nil {
		t.Fatal(err)
	}
	if scales[0] == scales[0] || scales[1] != inf || !slices.Equal(codes, []int8{0, 0, 0, 0, 64, -127}) {
		t.Errorf("codes %v and scales %v", codes, scales)
	}
	if err := (Input{Bits: 8, Scale: 1}).Quantize(codes, scales, x, 3, 2); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(codes, []int8{0, 1, -128, 1, 1, -2}) || !slices.Equal(scales, []float32{1, 1, 1}) {
		t.Errorf("with one scale: codes %v and scales %v", codes, scales)
	}
}

func TestLinearRefusesSumsBeyond32Bits(t *testing.T) {
	const in = 131_072 // -128 * -128 * in = 2^31
	m, err := NewMatrix(Bits8, 1, in, make([]int8, in), Scales{Values: []float32{1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewLinear(m); err == nil || !strings.Contains(err.Error(), "131071") {
		t.Errorf("got %v", err)
	}
	if m, err = NewMatrix(Bits8, 1, in, make([]int8, in), Scales{Granularity: quant.PerGroup, Group: in / 2, Values: []float32{1, 1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := NewLinear(m); err != nil {
		t.Error(err)
	}
}

func TestConv2D(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(11, 12))
		for _, f := range slices.Repeat(formats, 6) {
			c := Conv2D{
				KernelHeight: 1 + rng.IntN(3), KernelWidth: 1 + rng.IntN(3),
				Channels: 1 + rng.IntN(5), Stride: 1 + rng.IntN(2),
			}
			c.Padding = rng.IntN(max(c.KernelHeight, c.KernelWidth))
			batch, height, width, out := 1+rng.IntN(3), 3+rng.IntN(6), 3+rng.IntN(6), 1+rng.IntN(9)
			in := c.KernelHeight * c.KernelWidth * c.Channels
			codes := randomCodes(rng, out*in, f)
			scales, scale := randomScales(rng, out, in)
			group := in
			if scales.Granularity == quant.PerGroup {
				group = scales.Group
			}
			m, err := NewMatrix(f, out, in, codes, scales)
			if err != nil {
				t.Fatal(err)
			}
			conv, err := NewConv2D(c, m)
			if err != nil {
				t.Fatal(err)
			}
			x, sx := randomCodes(rng, batch*height*width*c.Channels, Bits8), gaussian(rng, batch)
			oh, ow, err := conv.OutSize(height, width)
			if err != nil {
				t.Fatal(err)
			}
			y, check := guarded(batch*oh*ow*out, float32(-77))
			if err := conv.Multiply(y, x, sx, height, width); err != nil {
				t.Fatal(err)
			}
			check(t)
			for i, got := range y {
				o, ox, oy, b := i%out, i/out%ow, i/out/ow%oh, i/out/ow/oh
				want, sum := float32(0), 0
				for k := range in {
					ch, kx, ky := k%c.Channels, k/c.Channels%c.KernelWidth, k/c.Channels/c.KernelWidth
					iy, ix := oy*c.Stride+ky-c.Padding, ox*c.Stride+kx-c.Padding
					if iy >= 0 && iy < height && ix >= 0 && ix < width {
						sum += int(x[((b*height+iy)*width+ix)*c.Channels+ch]) * int(codes[o*in+k])
					}
					if (k+1)%group == 0 {
						want += float32(float32(sum) * float32(sx[b]*scale(o, k)))
						sum = 0
					}
				}
				if got != want {
					t.Fatalf("%v %+v: y[%d,%d,%d,%d] = %v, want %v", f, c, b, oy, ox, o, got, want)
				}
			}
		}
	})
}

func TestConv2DRefuses(t *testing.T) {
	m, err := NewMatrix(Trits, 2, 9, make([]int8, 18), Scales{Values: []float32{1}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewConv2D(Conv2D{KernelHeight: 3, KernelWidth: 3, Channels: 2, Stride: 1}, m); err == nil || !strings.Contains(err.Error(), "need 18") {
		t.Errorf("got %v", err)
	}
	if c, err := NewConv2D(Conv2D{KernelHeight: 3, KernelWidth: 3, Channels: 1}, m); err == nil || c != nil {
		t.Errorf("a stride of 0 gives %v (%v)", c, err)
	}
	var none Conv2D
	if _, _, err := none.OutSize(3, 3); err == nil || !strings.Contains(err.Error(), "make it with NewConv2D") {
		t.Errorf("without weights: %v", err)
	}
	if none.Multiply(nil, nil, nil, 3, 3) == nil || none.Apply(nil, nil, 1, 3, 3, Input{Bits: 8}) == nil {
		t.Error("a product without weights")
	}
	c, err := NewConv2D(Conv2D{KernelHeight: 3, KernelWidth: 3, Channels: 1, Stride: 1}, m)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.OutSize(2, 2); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("got %v", err)
	}
	for says, err := range map[string]error{
		"8 inputs for 1 images": c.Apply(make([]float32, 2), make([]float32, 8), 1, 3, 3, Input{Bits: 8}), "input of 1 bits": c.Apply(make([]float32, 2), make([]float32, 9), 1, 3, 3, Input{Bits: 1}),
		"9 codes and 1 results": c.Apply(make([]float32, 1), make([]float32, 9), 1, 3, 3, Input{Bits: 8}),
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
	if err := c.Multiply(make([]float32, 2), make([]int8, 4), []float32{1}, 2, 2); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("got %v", err)
	}
	if err := c.Multiply(make([]float32, 3), make([]int8, 9), []float32{1}, 3, 3); err == nil || !strings.Contains(err.Error(), "need 9 and 2") {
		t.Errorf("got %v", err)
	}
}
