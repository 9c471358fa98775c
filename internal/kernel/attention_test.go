package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// An attentionCase is the operands of one call, dense, and room for results.
type attentionCase[F Float] struct {
	s             AttentionShape
	scale         F
	q, k, v, dy   []F
	y, lse        []F
	dq, dk, dv    []F
	guards        []fenced[F]
	ldq, ldk, ldv int
}

func newAttentionCase[F Float](r *rand.Rand, s AttentionShape) *attentionCase[F] {
	a := &attentionCase[F]{s: s, scale: F(1 / math.Sqrt(float64(s.HeadDim)))}
	a.ldq, a.ldk, a.ldv = s.Heads*s.HeadDim, s.KVHeads*s.HeadDim, s.KVHeads*s.HeadDim
	keep := func(g fenced[F]) []F {
		a.guards = append(a.guards, g)
		return g.s
	}
	nq, nk := s.Batch*s.Queries*a.ldq, s.Batch*s.Keys*a.ldk
	a.q, a.k, a.v, a.dy = keep(random[F](r, nq)), keep(random[F](r, nk)), keep(random[F](r, nk)), keep(random[F](r, nq))
	a.y, a.lse = keep(newFenced[F](nq, guard)), keep(newFenced[F](s.Batch*s.Heads*s.Queries, guard))
	a.dq, a.dk, a.dv = keep(newFenced[F](nq, guard)), keep(newFenced[F](nk, guard)), keep(newFenced[F](nk, guard))
	return a
}

func (a *attentionCase[F]) forward() {
	Attention(a.y, a.lse, a.q, a.ldq, a.k, a.ldk, a.v, a.ldv, a.s, a.scale)
}

func (a *attentionCase[F]) backward() {
	AttentionGrad(a.dq, a.ldq, a.dk, a.ldk, a.dv, a.ldv, a.dy, a.y, a.lse, a.q, a.ldq, a.k, a.ldk, a.v, a.ldv, a.s, a.scale)
}

// wide returns the case in float64.
func wide(a *attentionCase[float32]) *attentionCase[float64] {
	b := newAttentionCase[float64](rand.New(rand.NewPCG(0, 0)), a.s)
	copy(b.q, widen(a.q))
	copy(b.k, widen(a.k))
	copy(b.v, widen(a.v))
	copy(b.dy, widen(a.dy))
	b.scale = float64(a.scale)
	return b
}

func attentionShapes(r *rand.Rand) []AttentionShape {
	s := []AttentionShape{
		{0, 2, 2, 8, 3, 3}, {1, 1, 1, 1, 1, 1}, {2, 2, 1, 4, 0, 0}, {2, 4, 2, 32, 64, 64}, {1, 2, 2, 48, 100, 100},
		{1, 4, 4, 64, 131, 131}, {3, 6, 2, 20, 37, 37}, {1, 1, 1, 33, 9, 9}, {1, 8, 2, 16, 70, 70},
	}
	for range 10 {
		kv, n := 1+r.IntN(3), 1+r.IntN(80)
		s = append(s, AttentionShape{1 + r.IntN(2), kv * (1 + r.IntN(3)), kv, 1 + r.IntN(70), n, n})
	}
	return s
}

func TestAttention(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(21, 22))
		for _, s := range attentionShapes(r) {
			checkAttention(t, r, s)
		}
	})
}

func FuzzAttention(f *testing.F) {
	f.Add(uint8(1), uint8(2), uint8(2), uint8(33), uint8(70), uint64(1))
	f.Fuzz(func(t *testing.T, batch, kvHeads, group, headDim, tokens uint8, seed uint64) {
		kv := 1 + int(kvHeads%3)
		s := AttentionShape{int(batch % 3), kv * (1 + int(group%3)), kv, 1 + int(headDim%80), int(tokens), int(tokens)}
		for l := Portable; l <= min(Best(), AVX512); l++ {
			defer SetLevel(SetLevel(l))
			checkAttention(t, rand.New(rand.NewPCG(seed, 0)), s)
		}
	})
}

// checkAttention compares with the portable loops in float64.
func checkAttention(t *testing.T, r *rand.Rand, s AttentionShape) {
	t.Helper()
	a := newAttentionCase[float32](r, s)
	b := wide(a)
	a.forward()
	b.forward()
	what := fmt.Sprintf("%+v", s)
	near(t, what+" y", a.y, b.y, 1e-5)
	near(t, what+" lse", a.lse, b.lse, 1e-5)
	a.backward()
	b.backward()
	near(t, what+" dq", a.dq, b.dq, 1e-4)
	near(t, what+" dk", a.dk, b.dk, 1e-4)
	near(t, what+" dv", a.dv, b.dv, 1e-4)
	for _, g := range a.guards {
		g.check(t, what)
	}
}

// TestAttentionTokenByToken checks that decoding with a growing cache gives
// the bits of one call for all queries, with any number of threads, and with
// q, k and v side by side in one matrix.
func TestAttentionTokenByToken(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		defer SetThreads(SetThreads(1))
		r := rand.New(rand.NewPCG(23, 24))
		for _, headDim := range []int{32, 20} {
			const heads, kvHeads, tokens = 4, 2, 90
			width, kv := heads*headDim, kvHeads*headDim
			ld := width + 2*kv
			x := gaussian[float32](r, tokens*ld)
			q, k, v := x, x[width:], x[width+kv:]
			want := make([]float32, tokens*width)
			s := AttentionShape{1, heads, kvHeads, headDim, tokens, tokens}
			Attention(want, nil, q, ld, k, ld, v, ld, s, 0.2)
			for _, threads := range []int{1, 3} {
				SetThreads(threads)
				for _, queries := range []int{1, 2, 13} {
					for last := queries; last <= tokens; last += 7 {
						got := make([]float32, queries*width)
						s.Queries, s.Keys = queries, last
						Attention(got, nil, q[(last-queries)*ld:], ld, k, ld, v, ld, s, 0.2)
						same(t, fmt.Sprintf("%d queries of %d", queries, last), got, want[(last-queries)*width:last*width])
					}
				}
			}
		}
	})
}

// TestAttentionGradThreads checks that gradients do not depend on threads,
// and that columns beside the heads are left alone.
func TestAttentionGradThreads(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		defer SetThreads(SetThreads(1))
		r := rand.New(rand.NewPCG(25, 26))
		a := newAttentionCase[float32](r, AttentionShape{2, 6, 2, 24, 75, 75})
		a.forward()
		var want [3][]float32
		for threads := 1; threads <= 5; threads += 2 {
			SetThreads(threads)
			ld := a.ldq + 2*a.ldk + 5
			d := make([]float32, 2*75*ld)
			AttentionGrad(d, ld, d[a.ldq:], ld, d[a.ldq+a.ldk:], ld, a.dy, a.y, a.lse, a.q, a.ldq, a.k, a.ldk, a.v, a.ldv, a.s, a.scale)
			a.backward()
			if threads == 1 {
				want = [3][]float32{append([]float32{}, a.dq...), append([]float32{}, a.dk...), append([]float32{}, a.dv...)}
			}
			for i, got := range [][]float32{a.dq, a.dk, a.dv} {
				same(t, fmt.Sprintf("%d threads, output %d", threads, i), got, want[i])
			}
			for row := range 2 * 75 {
				at := d[row*ld:]
				same(t, "dq in place", at[:a.ldq], a.dq[row*a.ldq:(row+1)*a.ldq])
				same(t, "dk in place", at[a.ldq:a.ldq+a.ldk], a.dk[row*a.ldk:(row+1)*a.ldk])
				same(t, "dv in place", at[a.ldq+a.ldk:a.ldq+2*a.ldk], a.dv[row*a.ldv:(row+1)*a.ldv])
				same(t, "rest", at[ld-5:ld], make([]float32, 5))
			}
		}
	})
}
