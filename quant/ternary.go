package quant

import "trefoil/internal/kernel"

// Scale names the rule that gives a ternary matrix its scale gamma.
type Scale string

const (
	// AbsMean is gamma = mean|W|, the rule of BitNet b1.58
	// (arXiv:2402.17764, equation 3).
	AbsMean Scale = "absmean"
	// Median is gamma = median|W| (arXiv:2411.05882, section 3).
	Median Scale = "median"
)

// minScale keeps the scale of an all-zero tensor away from zero, as the
// reference implementations do.
const minScale = 1e-5

// Gamma returns the scale of the weights w by the rule: at least 1e-5, NaN
// when w holds a NaN.
func (s Scale) Gamma(w []float32) float32 { return gamma(s, w) }

func gamma[F kernel.Float](s Scale, w []F) F {
	if s == Median {
		return medianAbs(w)
	}
	return kernel.AbsMean(w)
}

// Ternarize writes the codes in {-1, 0, 1} of the weights w, as long as w,
// and returns their scale by the rule: w is represented by code * gamma.
func Ternarize[F kernel.Float](codes []int8, w []F, rule Scale) F {
	g := gamma(rule, w)
	kernel.Ternarize(codes, w, g)
	return g
}

// medianAbs returns the lower median of |w|, at least 1e-5.
func medianAbs[F kernel.Float](w []F) F {
	if len(w) == 0 {
		return minScale
	}
	a := make([]F, len(w))
	for i, v := range w {
		if v != v {
			return v
		}
		a[i] = max(v, -v)
	}
	return max(selectKth(a, (len(a)-1)/2), minScale)
}

// selectKth returns the k-th smallest of a and reorders a: Hoare's selection
// with the median of three as pivot.
func selectKth[F kernel.Float](a []F, k int) F {
	for lo, hi := 0, len(a)-1; lo < hi; {
		mid := lo + (hi-lo)/2
		pivot := max(min(a[lo], a[mid]), min(max(a[lo], a[mid]), a[hi]))
		i, j := lo, hi
		for i <= j {
			for a[i] < pivot {
				i++
			}
			for a[j] > pivot {
				j--
			}
			if i <= j {
				a[i], a[j] = a[j], a[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return a[k]
		}
	}
	return a[k]
}

// MaxCode returns the largest code of a symmetric grid of the given number of
// bits, 2 to 8: 127 for 8 bits. The smallest code is -MaxCode-1.
func MaxCode(bits int) int { return 1<<(bits-1) - 1 }
