package quant

import (
	"math"
	"strings"
	"testing"
)

// Each promise that is broken is found, and named.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	x := normal(64, 61)
	q := mustNew(t, Config{Bits: 4})
	odd := mustNew(t, Config{Bits: 2, Scale: SEQ})
	good := func(q *Scalar) *Tensor { return mustQuantize(t, q.config, x) }
	off := good(odd)
	off.Codes[5] = 2 // between the odd codes
	beyond := good(q)
	beyond.Codes[3] = 8
	moved := good(q)
	moved.Codes[9] ^= 3
	affine := mustNew(t, Config{Bits: 4, Scheme: Affine})
	shifted := good(affine)
	shifted.Zeros = []int8{9} // beyond the grid, so that 0 has no code
	narrower := good(q)
	narrower.Scales[0] /= 2 // the codes of the values are still the codes
	floor := mustNew(t, Config{Bits: 4, Rounding: Floor})
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"code between": {odd.checkCodes(off), "element 5 has the code 2"},
		"code beyond":  {q.checkCodes(beyond), "element 3 has the code 8"},
		"round trip":   {q.checkRoundTrip(moved, x), "element 9"},
		"scale":        {q.checkRoundTrip(narrower, x), "steps away"},
		"idempotence":  {q.checkIdempotence(beyond), "element 3 has the code 8, its value the code 7"},
		"zero":         {affine.checkZero(shifted), "of the value"},
		"bits":         {q.checkBits(tooGood(t, x), x), "more bits should not be worse"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
	for _, q := range []*Scalar{q, odd, floor} {
		if err := Check(q.config, x); err != nil {
			t.Errorf("%+v: %v", q.config, err)
		}
	}
	if err := floor.checkRoundTrip(good(q), x); err != nil {
		t.Errorf("values within a step are far for rounding down: %v", err)
	}
	if err := q.checkRoundTrip(good(floor), x); err == nil {
		t.Error("values rounded down pass as rounded to nearest")
	}
	if Check(Config{Bits: 9}, x) == nil || Check(Config{}, x, 3) == nil {
		t.Error("a wrong configuration or shape passes")
	}
}

// tooGood has the codes of 8 bits, which those of 5 cannot equal.
func tooGood(t *testing.T, x []float32) *Tensor {
	return mustQuantize(t, Config{Bits: 8}, x)
}

// A tensor that nobody completed is an error, not a crash.
func TestIncompleteTensors(t *testing.T) {
	whole := mustQuantize(t, Config{Bits: 4, Granularity: PerToken}, normal(12, 1), 3, 4)
	dst := make([]float32, 12)
	for name, change := range map[string]func(*Tensor){
		"no layout":    func(t *Tensor) { t.Layout = Layout{} },
		"made by hand": func(t *Tensor) { t.Layout = Layout{Groups: 3, Runs: 1, Run: 4, Stride: 4} },
		"scales":       func(t *Tensor) { t.Scales = t.Scales[:2] },
		"zeros":        func(t *Tensor) { t.Zeros = []int8{1} }, "codes": func(t *Tensor) { t.Codes = t.Codes[:11] },
	} {
		broken := *whole
		change(&broken)
		if err := broken.Dequantize(dst[:len(broken.Codes)]); err == nil || !strings.Contains(err.Error(), "3 groups of 4") && name != "no layout" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Compare(dst[:len(broken.Codes)], &broken); err == nil {
			t.Errorf("%s: compared", name)
		}
	}
	misshapen := *whole
	misshapen.Shape = []int{30, 40}
	if _, err := CompareChannels(dst, &misshapen, 1); err == nil || !strings.Contains(err.Error(), "[30 40]") {
		t.Errorf("another shape: %v", err)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		x := normal(12, 1)
		x[7] = float32(bad)
		if _, err := Compare(x, whole); err == nil || !strings.Contains(err.Error(), "number 7") {
			t.Errorf("compared with %v: %v", bad, err)
		}
		broken := *whole
		broken.Scales = []float32{1, float32(bad), 1}
		if _, err := CompareChannels(normal(12, 1), &broken, 0); err == nil || !strings.Contains(err.Error(), "code ") {
			t.Errorf("a scale of %v: %v", bad, err)
		}
	}
	if err := new(Tensor).Dequantize(nil); err != nil {
		t.Errorf("an empty tensor: %v", err)
	}
}
