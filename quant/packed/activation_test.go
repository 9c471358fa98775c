package packed

import (
	"math"
	"strings"
	"testing"
)

// everyCode is all codes of 8 bits, -128 first.
func everyCode() []int8 {
	codes := make([]int8, 256)
	for i := range codes {
		codes[i] = int8(i - 128)
	}
	return codes
}

func TestReLU(t *testing.T) {
	got := everyCode()
	ReLU(got, got)
	for i, c := range got {
		if want := max(i-128, 0); int(c) != want {
			t.Errorf("ReLU of %d is %d", i-128, c)
		}
	}
}

func TestReLU2(t *testing.T) {
	const scale = 0.05
	codes, got := everyCode(), make([]int8, 256)
	out, err := ReLU2(got, codes, scale)
	if err != nil {
		t.Fatal(err)
	}
	if want := float32(127 * 0.0025); math.Abs(float64(out-want)) > 1e-7 {
		t.Errorf("scale %v, want %v", out, want)
	}
	for i, c := range codes {
		x := math.Max(float64(c), 0) * scale
		if off := math.Abs(float64(got[i])*float64(out) - x*x); off > float64(out)/2*1.0001 {
			t.Errorf("ReLU2 of code %d is code %d: off by %v, scale %v", c, got[i], off, out)
		}
	}
	if got[255] != 127 || got[128] != 0 || got[0] != 0 {
		t.Errorf("codes of 127, 0 and -128: %d, %d, %d", got[255], got[128], got[0])
	}
}

func TestSiLU(t *testing.T) {
	for _, s := range [][2]float32{{0.03, 0.03}, {0.1, 0.05}, {4, 4}} {
		in, out := float64(s[0]), float64(s[1])
		got := everyCode()
		table, err := SiLU(s[0], s[1])
		if err != nil {
			t.Fatal(err)
		}
		table.Apply(got, got)
		for i, c := range got {
			x := float64(i-128) * in
			y := x * 0.5 * (1 + math.Tanh(x/2)) // the sigmoid, another way
			if y = min(max(y, -127*out), 127*out); math.Abs(float64(c)*out-y) > out/2*1.0001 {
				t.Errorf("scales %v: SiLU of %v is %v, want %v", s, x, float64(c)*out, y)
			}
		}
	}
}

// A scale with which codes are no numbers is refused, and nothing is written.
func TestActivationsRefuseScales(t *testing.T) {
	for _, bad := range []float32{0, -1, float32(math.NaN()), float32(math.Inf(1)), 1e37} {
		if _, err := SiLU(bad, 1); err == nil || !strings.Contains(err.Error(), "input scale") {
			t.Errorf("SiLU from %v: %v", bad, err)
		}
		if _, err := SiLU(1, bad); err == nil || !strings.Contains(err.Error(), "output scale") {
			t.Errorf("SiLU to %v: %v", bad, err)
		}
	}
	for _, bad := range []float32{0, -1, 1e-25, 1e25, float32(math.NaN())} {
		codes := []int8{5}
		if scale, err := ReLU2(codes, []int8{100}, bad); err == nil || codes[0] != 5 {
			t.Errorf("ReLU2 of the scale %v: codes %v of scale %v", bad, codes, scale)
		}
	}
}

func TestTableOddities(t *testing.T) {
	table, err := NewTable(func(x float64) float64 {
		switch {
		case x < 0:
			return math.NaN()
		case x > 100:
			return math.Inf(1)
		}
		return x
	}, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	got := []int8{-5, 3, 5, 7, 101}
	table.Apply(got, got)
	for i, want := range []int8{0, 2, 2, 4, 127} { // halves go to even
		if got[i] != want {
			t.Errorf("code %d: %d, want %d", i, got[i], want)
		}
	}
}
