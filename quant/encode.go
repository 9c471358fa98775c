package quant

import "trefoil/internal/kernel"

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

// codes writes the codes of x. place is the number of elements before x in
// the tensor, counted group by group.
func (w *work) codes(codes []int8, x []float32, p params, place int) {
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
			half := q.config.Rounding.round(float64(v*p.inv)/2-0.5, q.config.Seed, place+i)
			codes[i] = int8(min(max(2*half+1, lo), hi))
		}
	case byRounding:
		q.roundAll(codes, x, p, place)
	}
}

func (q *Scalar) roundAll(codes []int8, x []float32, p params, place int) {
	lo, hi, zero := float64(q.grid.Min), float64(q.grid.Max), float64(p.zero)
	if q.config.Rounding == HalfEven {
		for i, v := range x {
			codes[i] = int8(min(max(HalfEven.round(float64(v*p.inv), 0, 0)+zero, lo), hi))
		}
		return
	}
	for i, v := range x {
		r := q.config.Rounding.round(float64(v*p.inv), q.config.Seed, place+i)
		codes[i] = int8(min(max(r+zero, lo), hi))
	}
}

// sign is 1 if it holds.
func sign(holds bool) int8 {
	if holds {
		return 1
	}
	return 0
}
