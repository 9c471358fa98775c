package kernel

import "math"

// CrossEntropy computes the loss of each row of logits: [rows, vocab] against
// targets: [rows]:
//
//	lse[r]  = log(sum of exp(logits[r]))
//	loss[r] = lse[r] - logits[r, targets[r]], or 0 where the target is -1
//
// in nats; loss, lse: [rows].
func CrossEntropy[F Float](loss, lse []F, logits []F, targets []int32, rows, vocab int) {
	chunks(rows, 1+grain/4/max(1, vocab), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			row := logits[r*vocab : (r+1)*vocab]
			lse[r], loss[r] = logSumExp(row), 0
			if t := targets[r]; t >= 0 {
				loss[r] = lse[r] - row[t]
			}
		}
	})
}

// CrossEntropyGrad computes the gradient of scale * sum(loss):
//
//	dlogits[r,v] = scale * (exp(logits[r,v] - lse[r]) - [v == targets[r]])
//
// and zeros where the target is -1. dlogits may be logits itself.
func CrossEntropyGrad[F Float](dlogits, logits, lse []F, targets []int32, rows, vocab int, scale F) {
	chunks(rows, 1+grain/4/max(1, vocab), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			d := dlogits[r*vocab : (r+1)*vocab]
			t := targets[r]
			if t < 0 {
				clear(d)
				continue
			}
			expSum(d, logits[r*vocab:(r+1)*vocab], lse[r], 1, scale)
			d[t] -= scale
		}
	})
}

func logSumExp[F Float](x []F) F {
	top := maximum(x)
	if math.IsInf(float64(top), 0) {
		return top
	}
	return top + F(math.Log(float64(sumExp(x, top))))
}

// sumExp returns the sum of exp(x - shift).
func sumExp[F Float](x []F, shift F) (sum F) {
	if v := vector[F](); v != nil {
		return F(v.sumExp(f32(x), float32(shift)))
	}
	for _, v := range x {
		sum += F(math.Exp(float64(v - shift)))
	}
	return sum
}

// expSum computes y = exp((x - shift) * scale) * gain and returns the sum of
// y before the gain. y may be x. In float32 the relative error of exp is below
// 2^-22 while the result lies between the smallest normal number and 2^127;
// beyond, results may be 0 and infinity.
func expSum[F Float](y, x []F, shift, scale, gain F) (sum F) {
	if v := vector[F](); v != nil {
		return F(v.expSum(f32(y), f32(x), float32(shift), float32(scale), float32(gain)))
	}
	for i, v := range x {
		e := F(math.Exp(float64((v - shift) * scale)))
		sum += e
		y[i] = e * gain
	}
	return sum
}

// maximum returns the largest element of x, passing over NaN, or -Inf if
// there is none.
func maximum[F Float](x []F) F {
	if v := vector[F](); v != nil {
		return F(v.maximum(f32(x)))
	}
	top := F(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	return top
}

// Argmax returns the index of the largest element of x, the first if there
// are several. NaN is passed over; if there is nothing else the result is 0.
func Argmax[F Float](x []F) int {
	top := maximum(x)
	for i, v := range x {
		if v == top {
			return i
		}
	}
	return 0
}
