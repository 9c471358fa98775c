package kernel

import "math"

// RMSNorm scales each row of x: [rows, dim] to a root mean square of 1 and
// then by gain: [dim] (Zhang and Sennrich 2019, equation 4):
//
//	inv[r] = 1 / sqrt(mean(x[r]^2) + eps)
//	y[r,i] = x[r,i] * inv[r] * gain[i]
//
// y: [rows, dim], inv: [rows]; RMSNormGrad wants inv back.
func RMSNorm[F Float](y, inv []F, x, gain []F, rows, dim int, eps F) {
	chunks(rows, 1+grain/max(1, dim), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			inv[r] = rmsNormRow(y[r*dim:(r+1)*dim], x[r*dim:(r+1)*dim], gain[:dim], eps)
		}
	})
}

// RMSNormQuantize is RMSNorm followed by QuantizeRows, without y in memory: it
// gives the codes: [rows, dim] and scales: [rows] of y, and inv: [rows].
func RMSNormQuantize[F Float](codes []int8, scales, inv []F, x, gain []F, rows, dim int, eps F, qmax int) {
	chunks(rows, 1+grain/max(1, dim), func(lo, hi int) {
		buf := taskSpace()
		defer buf.release()
		y := floats[F](buf, dim)
		for r := lo; r < hi; r++ {
			inv[r] = rmsNormRow(y, x[r*dim:(r+1)*dim], gain[:dim], eps)
			scales[r] = quantizeRow(codes[r*dim:(r+1)*dim], y, qmax)
		}
	})
}

func rmsNormRow[F Float](y, x, gain []F, eps F) (inv F) {
	inv = F(1 / math.Sqrt(float64(dot(x, x)/F(len(x))+eps)))
	if v := vector[F](); v != nil {
		v.normalize(f32(y), f32(x), f32(gain), float32(inv))
		return inv
	}
	for i, v := range x {
		y[i] = v * inv * gain[i]
	}
	return inv
}

// gainRows is the number of rows whose gradients of the gain are added up in
// one go. It fixes the order of the sum.
const gainRows = 64

// RMSNormGrad is the gradient of RMSNorm: from dy, x: [rows, dim],
// gain: [dim] and the inv: [rows] that RMSNorm gave, it computes
// dx: [rows, dim] and dgain: [dim]. around: [rows, dim], if not nil, is added to
// dx: the gradient of x on a way around the norm.
func RMSNormGrad[F Float](dx, dgain []F, dy, x, gain, inv, around []F, rows, dim int) {
	blocks := (rows + gainRows - 1) / gainRows
	w := callSpaces.take()
	defer callSpaces.put(w)
	partial := floats[F](w, blocks*dim)
	clear(partial)
	Parallel(blocks, func(b int) {
		sum := partial[b*dim : (b+1)*dim]
		for r := b * gainRows; r < min(rows, (b+1)*gainRows); r++ {
			lo, hi := r*dim, (r+1)*dim
			rmsNormGradRow(dx[lo:hi], sum, dy[lo:hi], x[lo:hi], gain[:dim], inv[r])
			if around != nil {
				add(dx[lo:hi], dx[lo:hi], around[lo:hi])
			}
		}
	})
	clear(dgain[:dim])
	for b := range blocks {
		add(dgain[:dim], dgain[:dim], partial[b*dim:(b+1)*dim])
	}
}

// rmsNormGradRow computes one row of dx and adds to dgain.
func rmsNormGradRow[F Float](dx, dgain, dy, x, gain []F, inv F) {
	pull := weightedDot(dy, x, gain) * inv * inv * inv / F(len(x))
	if v := vector[F](); v != nil {
		v.rmsNormGrad(f32(dx), f32(dgain), f32(dy), f32(x), f32(gain), float32(inv), float32(pull))
		return
	}
	for i, v := range x {
		dx[i] = dy[i]*gain[i]*inv - v*pull
		dgain[i] += dy[i] * v * inv
	}
}

// dot returns the sum of a*b.
func dot[F Float](a, b []F) (sum F) {
	b = b[:len(a)]
	if v := vector[F](); v != nil {
		return F(v.dot(f32(a), f32(b)))
	}
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// weightedDot returns the sum of a*b*weight.
func weightedDot[F Float](a, b, weight []F) (sum F) {
	if v := vector[F](); v != nil {
		return F(v.weightedDot(f32(a), f32(b), f32(weight)))
	}
	for i, v := range a {
		sum += v * weight[i] * b[i]
	}
	return sum
}
