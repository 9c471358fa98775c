package kernel

import (
	"fmt"
	"math"
)

// RopeTable fills the tables of the rotary embedding (Su et al. 2021,
// equation 34): cos, sin: [positions, headDim/2], of the angles
// position * base^(-2i/headDim), computed in float64.
func RopeTable[F Float](cos, sin []F, positions, headDim int, base float64) {
	half := headDim / 2
	for i := range half {
		frequency := math.Pow(base, -2*float64(i)/float64(headDim))
		for p := range positions {
			s, c := math.Sincos(float64(p) * frequency)
			cos[p*half+i], sin[p*half+i] = F(c), F(s)
		}
	}
}

// Rope rotates, in place, the first heads*headDim columns of x: [rows, ld].
// In each head element i and element i + headDim/2 are one pair (the layout of
// GPT-NeoX), so headDim must be even. Row r stands at position
// start + r%tokens. cos and sin are RopeTable's. With inverse set it turns the
// other way, which is the gradient.
func Rope[F Float](x []F, cos, sin []F, rows, ld, heads, headDim, tokens, start int, inverse bool) {
	if headDim%2 != 0 || headDim <= 0 {
		panic(fmt.Sprintf("kernel: Rope rotates pairs: headDim %d is not even", headDim))
	}
	half := headDim / 2
	chunks(rows, 1+grain/max(1, heads*headDim), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			at := (start + r%tokens) * half
			ropeRow(x[r*ld:r*ld+heads*headDim], cos[at:at+half], sin[at:at+half], inverse)
		}
	})
}

func ropeRow[F Float](x, cos, sin []F, inverse bool) {
	half := len(cos)
	sign := F(1)
	if inverse {
		sign = -1
	}
	if v := vector[F](); v != nil && len(x) > 0 {
		v.rope(f32(x), f32(cos), f32(sin), float32(sign))
		return
	}
	for ; len(x) > 0; x = x[2*half:] {
		for i, c := range cos {
			s := sign * sin[i]
			a, b := x[i], x[half+i]
			x[i], x[half+i] = a*c-b*s, b*c+a*s
		}
	}
}
