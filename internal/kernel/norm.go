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
		rmsInverses(inv[lo:hi], x[lo*dim:hi*dim], dim, eps)
		for r := lo; r < hi; r++ {
			normalize(y[r*dim:(r+1)*dim], x[r*dim:(r+1)*dim], gain[:dim], inv[r])
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
		rmsInverses(inv[lo:hi], x[lo*dim:hi*dim], dim, eps)
		for r := lo; r < hi; r++ {
			normalize(y, x[r*dim:(r+1)*dim], gain[:dim], inv[r])
			scales[r] = quantizeRow(codes[r*dim:(r+1)*dim], y, qmax)
		}
	})
}

// rmsInverses computes inv[r] = 1 / sqrt(mean(x[r]^2) + eps) for x: [len(inv), dim].
func rmsInverses[F Float](inv, x []F, dim int, eps F) {
	r := 0
	if v := vector[F](); v != nil {
		for ; r+4 <= len(inv); r += 4 {
			four := f32(x[r*dim : (r+4)*dim])
			v.squares4(&f32(inv)[r], four, four[:dim])
		}
	}
	for ; r < len(inv); r++ {
		row := x[r*dim : (r+1)*dim]
		inv[r] = dot(row, row)
	}
	for r, squares := range inv {
		inv[r] = F(1 / math.Sqrt(float64(squares/F(dim)+eps)))
	}
}

// normalize computes y = x * inv * gain.
func normalize[F Float](y, x, gain []F, inv F) {
	if v := vector[F](); v != nil {
		v.normalize(f32(y), f32(x), f32(gain), float32(inv))
		return
	}
	for i, v := range x {
		y[i] = v * inv * gain[i]
	}
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
	buf := callSpace()
	defer buf.release()
	partial := floats[F](buf, blocks*(dim+4))
	clear(partial)
	Parallel(blocks, func(b int) {
		sum, pulls := partial[b*dim:(b+1)*dim], partial[blocks*dim+4*b:][:4]
		end := min(rows, (b+1)*gainRows)
		for r := b * gainRows; r < end; {
			n := 1
			if r+4 <= end && vector[F]() != nil {
				n = 4
			}
			lo, hi := r*dim, (r+n)*dim
			if n == 4 {
				rmsNormGradRows4(dx[lo:hi], sum, dy[lo:hi], x[lo:hi], gain[:dim], inv[r:r+4], pulls)
			} else {
				rmsNormGradRow(dx[lo:hi], sum, dy[lo:hi], x[lo:hi], gain[:dim], inv[r])
			}
			if around != nil {
				add(dx[lo:hi], dx[lo:hi], around[lo:hi])
			}
			r += n
		}
	})
	clear(dgain[:dim])
	for b := range blocks {
		add(dgain[:dim], dgain[:dim], partial[b*dim:(b+1)*dim])
	}
}

// rmsNormGradRows4 computes four rows of dx and adds to dgain, by assembly, with
// room for four values in pulls.
func rmsNormGradRows4[F Float](dx, dgain, dy, x, gain, inv, pulls []F) {
	v := vector[F]()
	v.weightedDots4(&f32(pulls)[0], f32(dy), f32(x), f32(gain))
	for r, dot := range pulls {
		pulls[r] = pull(dot, inv[r], len(gain))
	}
	v.rmsNormGrad4(&f32(inv)[0], &f32(pulls)[0], f32(dx), f32(dy), f32(x), f32(dgain), f32(gain))
}

// pull is the factor of x in its gradient, which is orthogonal to x.
func pull[F Float](weightedDot, inv F, dim int) F { return weightedDot * inv * inv * inv / F(dim) }

// rmsNormGradRow computes one row of dx and adds to dgain.
func rmsNormGradRow[F Float](dx, dgain, dy, x, gain []F, inv F) {
	pull := pull(weightedDot(dy, x, gain), inv, len(x))
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
