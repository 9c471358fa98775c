package quant

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Check tries a configuration on the numbers x and reports which of these
// does not hold:
//
//   - every code is on the grid;
//   - round trip: inside the grid's range a value is at most half a step from
//     its element, or a whole step where the rounding is not to nearest (rules
//     with a threshold, and binary grids, promise no such bound);
//   - idempotence: the codes of the values, by the same scales, are the codes;
//   - exact zero: the code of 0 has the value 0 (grids of odd codes have no 0);
//   - monotonic in bits: for uniform grids of up to 7 bits, a bit more does not
//     make the squared error larger.
func Check(c Config, x []float32, shape ...int) error {
	q, err := New(c)
	if err != nil {
		return err
	}
	t, err := q.Quantize(x, shape...)
	if err != nil {
		return err
	}
	return errors.Join(q.checkCodes(t), q.checkRoundTrip(t, x), q.checkIdempotence(t), q.checkZero(t), q.checkBits(t, x))
}

func (q *Scalar) checkCodes(t *Tensor) error {
	for i, c := range t.Codes {
		if int(c) < q.grid.Min || int(c) > q.grid.Max || (int(c)-q.grid.Min)%q.grid.Step != 0 {
			return fmt.Errorf("element %d has the code %d, which is not on the grid %+v", i, c, q.grid)
		}
	}
	return nil
}

func (q *Scalar) checkRoundTrip(t *Tensor, x []float32) error {
	if q.encode == byThreshold || q.encode == bySign {
		return nil
	}
	reach := 0.5 * float64(q.grid.Step)
	if !slices.Contains([]Rounding{HalfEven, HalfAway}, q.config.Rounding) {
		reach *= 2
	}
	y := t.Values()
	var err error
	eachRun(t.Layout, func(g, lo, hi int) {
		scale, zero := float64(t.Scales[g]), 0.0
		if len(t.Zeros) > 0 {
			zero = float64(t.Zeros[g])
		}
		for i := lo; i < hi && err == nil; i++ {
			v := float64(x[i])/scale + zero
			inside := v >= float64(q.grid.Min) && v <= float64(q.grid.Max)
			if d := math.Abs(float64(x[i])-float64(y[i])) / scale; inside && d > reach+1e-4 {
				err = fmt.Errorf("element %d, %v, comes back as %v, %.4g steps away", i, x[i], y[i], d)
			}
		}
	})
	return err
}

// checkIdempotence encodes the values of t once more, with another draw.
func (q *Scalar) checkIdempotence(t *Tensor) error {
	again := &Tensor{Scales: t.Scales, Zeros: t.Zeros, Draw: t.Draw + 1}
	if err := q.Encode(again, t.Values(), t.Shape...); err != nil {
		return err
	}
	for i, code := range again.Codes {
		if code != t.Codes[i] {
			return fmt.Errorf("element %d has the code %d, its value the code %d", i, t.Codes[i], code)
		}
	}
	return nil
}

func (q *Scalar) checkZero(t *Tensor) error {
	if q.grid.Step != 1 {
		return nil
	}
	zeros := &Tensor{Scales: t.Scales, Zeros: t.Zeros}
	if err := q.Encode(zeros, make([]float32, len(t.Codes)), t.Shape...); err != nil {
		return err
	}
	for i, v := range zeros.Values() {
		if v != 0 {
			return fmt.Errorf("element %d: 0 has the code %d, of the value %v", i, zeros.Codes[i], v)
		}
	}
	return nil
}

func (q *Scalar) checkBits(t *Tensor, x []float32) error {
	if q.config.Bits < 2 || q.config.Bits > 7 || q.config.Scale == Static || q.config.Scale == LSQ {
		return nil
	}
	c := q.config
	c.Bits++
	finer, err := New(c)
	if err != nil {
		return nil // the rule has no such grid
	}
	more, err := finer.Quantize(x, t.Shape...)
	if err != nil {
		return err
	}
	few, _ := Compare(x, t)
	many, _ := Compare(x, more)
	if many.MSE > few.MSE {
		return fmt.Errorf("%v bits have the squared error %.4g, %v bits %.4g: more bits should not be worse", c.Bits, many.MSE, q.config.Bits, few.MSE)
	}
	return nil
}
