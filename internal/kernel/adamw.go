package kernel

import "math"

// An AdamWStep says how AdamW moves.
type AdamWStep struct {
	LR           float64
	Beta1, Beta2 float64
	Eps          float64
	WeightDecay  float64 // decoupled: shrinks w by LR*WeightDecay
	GradScale    float64 // factor on g: 1, or less to clip the norm
	Step         int     // 1 for the first step
}

// AdamW takes one optimizer step (Loshchilov and Hutter 2019, algorithm 2): it
// updates the weights w and the moments m and v, all of g's length, from the
// gradient g:
//
//	g = g * GradScale
//	m = m + (1-Beta1) * (g - m)
//	v = v + (1-Beta2) * (g*g - v)
//	w = w - LR*WeightDecay*w - LR/(1-Beta1^Step) * m / (sqrt(v/(1-Beta2^Step)) + Eps)
func AdamW[F Float](w, m, v, g []F, p AdamWStep) {
	k, n := adamWConstants[F](p), len(w)
	if n <= grain { // without a function that captures
		adamW(w, m[:n], v[:n], g[:n], k)
		return
	}
	chunks(n, grain, func(lo, hi int) {
		adamW(w[lo:hi], m[lo:hi], v[lo:hi], g[lo:hi], k)
	})
}

// adamWFactors are the factors of one AdamWStep, ready for the loop.
type adamWFactors[F Float] struct {
	gradScale, oneMinusBeta1, oneMinusBeta2 F
	rate                                    F // LR / (1-Beta1^Step)
	correction                              F // 1 / sqrt(1-Beta2^Step)
	eps                                     F
	keep                                    F // 1 - LR*WeightDecay
}

func adamWConstants[F Float](p AdamWStep) adamWFactors[F] {
	t := float64(p.Step)
	return adamWFactors[F]{
		gradScale:     F(p.GradScale),
		oneMinusBeta1: F(1 - p.Beta1),
		oneMinusBeta2: F(1 - p.Beta2),
		rate:          F(p.LR / (1 - math.Pow(p.Beta1, t))),
		correction:    F(1 / math.Sqrt(1-math.Pow(p.Beta2, t))),
		eps:           F(p.Eps),
		keep:          F(1 - p.LR*p.WeightDecay),
	}
}

func adamW[F Float](w, m, v, g []F, k adamWFactors[F]) {
	if vec := vector[F](); vec != nil {
		vec.adamW(f32(w), f32(m), f32(v), f32(g), float32(k.gradScale), float32(k.oneMinusBeta1), float32(k.oneMinusBeta2),
			float32(k.rate), float32(k.correction), float32(k.eps), float32(k.keep))
		return
	}
	for i, d := range g {
		d *= k.gradScale
		m[i] += k.oneMinusBeta1 * (d - m[i])
		v[i] += k.oneMinusBeta2 * (d*d - v[i])
		root := F(math.Sqrt(float64(v[i])))
		w[i] = k.keep*w[i] - k.rate*m[i]/(root*k.correction+k.eps)
	}
}
