package quant

import (
	"math"

	"trefoil/internal/kernel"
)

// encoding is the way from a value to its code.
type encoding int

const (
	nearest     encoding = iota // clamp(round half to even(x*inv)), by the kernel
	byRounding                  // any rounding, any zero point
	byThreshold                 // 0 up to the threshold, the sign beyond
	bySign                      // -1 up to the centre, 1 beyond
	byOddCodes                  // 2 round(x*inv/2 - 1/2) + 1: no zero
)

func (c Config) encoding() encoding {
	switch {
	case c.Bits == 1:
		return bySign
	case rules[c.Scale].threshold:
		return byThreshold
	case c.Scale == SEQ && c.Bits >= 2:
		return byOddCodes
	case c.Scheme == Affine || c.Rounding != HalfEven:
		return byRounding
	}
	return nearest
}

// encodeTo writes the codes of x. place is the number of elements before x in
// the tensor, counted group by group.
func (w *work) encodeTo(codes []int8, x []float32, p params, place int) {
	q := w.q
	lo, hi := float64(q.grid.Min), float64(q.grid.Max)
	switch w.encode {
	case nearest:
		kernel.QuantizeSpan(codes, x, p.inv, float32(lo), float32(hi))
	case byThreshold:
		for i, v := range x {
			codes[i] = sign(v > p.cut) - sign(v < -p.cut)
		}
	case bySign:
		for i, v := range x {
			codes[i] = 2*sign(v > p.cut) - 1
		}
	case byOddCodes:
		for i, v := range x {
			half := math.RoundToEven(float64(v*p.inv)/2 - 0.5)
			codes[i] = int8(min(max(2*half+1, lo), hi))
		}
	case byRounding:
		q.roundAll(codes, x, p, w.t.Draw, place)
	}
}

func (q *Scalar) roundAll(codes []int8, x []float32, p params, draw uint64, place int) {
	if q.config.Rounding == HalfEven {
		q.roundHalfEven(codes, x, p)
		return
	}
	lo, hi, zero := float64(q.grid.Min), float64(q.grid.Max), float64(p.zero)
	for i, v := range x {
		r := q.config.Rounding.round(float64(v*p.inv), q.config.Seed, draw, place+i)
		codes[i] = int8(min(max(r+zero, lo), hi))
	}
}

// roundHalfEven clamps before it rounds, which is the same, since the ends of
// the grid are whole numbers. Then 1.5*2^23 leaves a float32 no fraction, and
// the code in its lowest bits.
func (q *Scalar) roundHalfEven(codes []int8, x []float32, p params) {
	const magic = 3 << 22
	lo, hi := float32(q.grid.Min)-p.zero, float32(q.grid.Max)-p.zero
	zero := int32(p.zero) - int32(math.Float32bits(magic))
	for i, v := range x {
		r := min(max(float32(v*p.inv), lo), hi)
		codes[i] = int8(int32(math.Float32bits(r+magic)) + zero)
	}
}

// sign is 1 if it holds.
func sign(holds bool) int8 {
	if holds {
		return 1
	}
	return 0
}
