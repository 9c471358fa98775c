package kernel

// gradTileRows is how many rows of tiles the gradient takes at a time: enough
// that adding to the gradients of keys and values is a small part of it.
const gradTileRows = 8

// attentionGrads are the outputs of AttentionGrad, and what came from outside.
type attentionGrads struct {
	dq         []float32
	lddq       int
	dk         []float32
	lddk       int
	dv         []float32
	lddv       int
	dy, y, lse []float32
}

// backward computes the gradient, in parallel over sequences and key heads.
// The heads that share keys run one after another, so that the sums over them
// have one order.
func (a *attention) backward(dq []float32, lddq int, dk []float32, lddk int, dv []float32, lddv int, dy, y, lse []float32) {
	s := a.s
	if s.Batch*s.Heads*s.Queries == 0 {
		return
	}
	a.check(y)
	a.check(dy)
	matrix[float32]{dq, lddq, 1}.holds(s.Batch*s.Keys, s.Heads*s.HeadDim)
	matrix[float32]{dk, lddk, 1}.holds(s.Batch*s.Keys, s.KVHeads*s.HeadDim)
	matrix[float32]{dv, lddv, 1}.holds(s.Batch*s.Keys, s.KVHeads*s.HeadDim)
	g := &attentionGrads{dq, lddq, dk, lddk, dv, lddv, dy, y, lse}
	a.each(s.Batch*s.KVHeads, func(task int) { a.backwardGroup(g, task/s.KVHeads, task%s.KVHeads) })
}

// backwardGroup computes the gradients of one key head of sequence b and of
// the heads that read it.
func (a *attention) backwardGroup(g *attentionGrads, b, kvh int) {
	s := a.s
	memory := headMemories.take()
	defer headMemories.put(memory)
	k, v := a.head(a.k, a.ldk, b*s.Keys, kvh), a.head(a.v, a.ldv, b*s.Keys, kvh)
	w := gradHead{
		attention: a,
		keysT:     a.panels(&memory.keys, k.transposed(), s.HeadDim, s.Keys),
		valuesT:   a.panels(&memory.values, v.transposed(), s.HeadDim, s.Keys),
		keys:      a.panels(&memory.keyRows, k, s.Keys, s.HeadDim),
		delta:     &memory.delta,
		dk:        a.head(g.dk, g.lddk, b*s.Keys, kvh),
		dv:        a.head(g.dv, g.lddv, b*s.Keys, kvh),
		p:         matrix[float32]{grow(&memory.p, gradTileRows*a.rows*a.scoreLD()), a.scoreLD(), 1},
		ds:        matrix[float32]{grow(&memory.ds, gradTileRows*a.rows*a.scoreLD()), a.scoreLD(), 1},
	}
	group, ldy := s.Heads/s.KVHeads, s.Heads*s.HeadDim
	for h := kvh * group; h < (kvh+1)*group; h++ {
		w.q, w.dq = a.head(a.q, a.ldq, b*s.Queries, h), a.head(g.dq, g.lddq, b*s.Queries, h)
		w.y, w.dy = a.head(g.y, ldy, b*s.Queries, h), a.head(g.dy, ldy, b*s.Queries, h)
		w.adds = h > kvh*group
		w.lse = g.lse[(b*s.Heads+h)*s.Queries:][:s.Queries]
		w.queries = a.panels(&memory.queries, w.q, s.Queries, s.HeadDim)
		w.gradients = a.panels(&memory.gradients, w.dy, s.Queries, s.HeadDim)
		for i := 0; i < s.Queries; i += gradTileRows * a.rows {
			w.block(i, min(s.Queries, i+gradTileRows*a.rows))
		}
	}
}

// A gradHead is one head's part of the gradient.
type gradHead struct {
	*attention
	q, y, dq, dy, dk, dv matrix[float32]
	lse                  []float32
	keysT, valuesT       panels // [HeadDim, Keys]
	keys                 panels // [Keys, HeadDim]
	queries, gradients   panels // [Queries, HeadDim]
	p, ds                matrix[float32]
	delta                *[maxRows]float32
	adds                 bool // to dk and dv, which heads before it have written
}

// block takes queries [first, last), first a multiple of gradTileRows*rows:
//
//	p  = exp(scale * q k^T - lse)
//	ds = scale * p * (dy v^T - sum(dy * y))
//	dq = ds k, dk += ds^T q, dv += p^T dy
//
// The first head's block writes the keys and values that no query before it
// sees.
func (w *gradHead) block(first, last int) {
	for i := first; i < last; i += w.rows {
		w.tileRow(i, min(w.rows, last-i), i-first)
	}
	for j := 0; j < last; j += w.rows {
		// The first queries that see key j are in the row of tiles at j.
		skip := max(0, j-first)
		m, k, add := min(w.rows, last-j), last-first-skip, w.adds || j < first
		w.times(w.dv.from(j, 0), w.p.from(skip, j).transposed(), w.gradients.from(first+skip), m, w.s.HeadDim, k, add)
		w.times(w.dk.from(j, 0), w.ds.from(skip, j).transposed(), w.queries.from(first+skip), m, w.s.HeadDim, k, add)
	}
}

// tileRow computes p, ds and dq of queries [i, i+m); p and ds stand from row
// at of their buffers.
func (w *gradHead) tileRow(i, m, at int) {
	n, headDim := i+m, w.s.HeadDim
	p, ds := w.p.from(at, 0), w.ds.from(at, 0)
	w.times(p, w.q.from(i, 0), w.keysT, m, n, headDim, false)
	w.times(ds, w.dy.from(i, 0), w.valuesT, m, n, headDim, false)
	for r := range m {
		w.delta[r] = w.dot(w.dy.from(i+r, 0).data[:headDim], w.y.from(i+r, 0).data[:headDim])
	}
	w.softmaxGradRows(&p.data[0], &ds.data[0], p.row, m, i+1, w.scale, &w.lse[i], &w.delta[0])
	w.times(w.dq.from(i, 0), ds, w.keys, m, headDim, n, false)
}
