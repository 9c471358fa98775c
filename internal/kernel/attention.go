package kernel

import "math"

// An AttentionShape is the shape of causal attention with grouped queries.
// Query i of a sequence sees keys 0..Keys-Queries+i: with Queries == Keys that
// is training, with Queries == 1 the decoding of one token after a cache of
// Keys-1. Heads is a multiple of KVHeads; head h reads key head
// h*KVHeads/Heads.
type AttentionShape struct {
	Batch, Heads, KVHeads, HeadDim, Queries, Keys int
}

// Attention computes softmax(scale * q k^T) v with a causal mask, for every
// sequence and head. Row b*Queries+i of q, ldq long, holds query i of sequence
// b, with head h at column h*HeadDim; rows b*Keys+j of k and v hold key and
// value j. y: [Batch*Queries, Heads*HeadDim]. lse: [Batch*Heads*Queries] is the
// log of the softmax's denominator, which AttentionGrad wants; nil if it is of
// no use. Scores are held for some queries at a time only (Dao et al. 2022).
// A query's output has the same bits whatever the number of queries.
func Attention[F Float](y, lse []F, q []F, ldq int, k []F, ldk int, v []F, ldv int, s AttentionShape, scale F) {
	if vec := vector[F](); vec != nil {
		a := attention{vec, s, float32(scale), f32(q), ldq, f32(k), ldk, f32(v), ldv}
		a.forward(f32(y), f32(lse))
		return
	}
	ldy := s.Heads * s.HeadDim
	Parallel(s.Batch*s.Heads, func(task int) {
		b, h := task/s.Heads, task%s.Heads
		kvh := h * s.KVHeads / s.Heads
		scores := make([]F, s.Keys)
		for i := range s.Queries {
			row := b*s.Queries + i
			visible := scores[:s.Keys-s.Queries+i+1]
			out := y[row*ldy+h*s.HeadDim:][:s.HeadDim]
			sum := attentionRow(out, visible, q[row*ldq+h*s.HeadDim:][:s.HeadDim],
				k[b*s.Keys*ldk+kvh*s.HeadDim:], ldk, v[b*s.Keys*ldv+kvh*s.HeadDim:], ldv, scale)
			if lse != nil {
				lse[task*s.Queries+i] = sum
			}
		}
	})
}

// attentionRow is one query of one head: y: [headDim]. It returns the log of
// the sum of exponentials and leaves the weights, not normalized, in scores.
func attentionRow[F Float](y, scores, q, k []F, ldk int, v []F, ldv int, scale F) (lse F) {
	for j := range scores {
		scores[j] = dot(q, k[j*ldk:])
	}
	top := maximum(scores)
	sum := expSum(scores, scores, top, scale, 1)
	clear(y)
	for j, p := range scores {
		axpy(y, p, v[j*ldv:])
	}
	for d := range y {
		y[d] *= 1 / sum
	}
	return top*scale + F(math.Log(float64(sum)))
}

// AttentionGrad is the gradient of Attention, for Queries == Keys. It
// overwrites dq, dk and dv, which are laid out like q, k and v with leading
// dimensions lddq, lddk and lddv, and touches no other columns. dy and y are
// shaped like Attention's y; y and lse are what Attention gave.
func AttentionGrad[F Float](dq []F, lddq int, dk []F, lddk int, dv []F, lddv int, dy, y, lse []F,
	q []F, ldq int, k []F, ldk int, v []F, ldv int, s AttentionShape, scale F) {
	if vec := vector[F](); vec != nil {
		a := attention{vec, s, float32(scale), f32(q), ldq, f32(k), ldk, f32(v), ldv}
		a.backward(f32(dq), lddq, f32(dk), lddk, f32(dv), lddv, f32(dy), f32(y), f32(lse))
		return
	}
	group := s.Heads / s.KVHeads
	ldy := s.Heads * s.HeadDim
	Parallel(s.Batch*s.KVHeads, func(task int) {
		b, kvh := task/s.KVHeads, task%s.KVHeads
		at := func(x []F, ld, i, head int) []F { return x[(b*s.Keys+i)*ld+head*s.HeadDim:][:s.HeadDim] }
		for j := range s.Keys {
			clear(at(dk, lddk, j, kvh))
			clear(at(dv, lddv, j, kvh))
		}
		for h := kvh * group; h < (kvh+1)*group; h++ {
			for i := range s.Queries {
				dqi, dyi, qi := at(dq, lddq, i, h), at(dy, ldy, i, h), at(q, ldq, i, h)
				clear(dqi)
				delta := dot(dyi, at(y, ldy, i, h))
				shift := lse[(b*s.Heads+h)*s.Queries+i]
				for j := range i + 1 {
					kj, vj := at(k, ldk, j, kvh), at(v, ldv, j, kvh)
					p := F(math.Exp(float64(dot(qi, kj)*scale - shift)))
					ds := p * (dot(dyi, vj) - delta) * scale
					axpy(dqi, ds, kj)
					axpy(at(dk, lddk, j, kvh), ds, qi)
					axpy(at(dv, lddv, j, kvh), p, dyi)
				}
			}
		}
	})
}
