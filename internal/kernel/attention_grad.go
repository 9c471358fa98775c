package kernel

// gradQueryTiles is how many rows of tiles the gradient takes at a time: enough
// that adding to the gradients of keys and values is a small part of it. They
// meet as many keys at a time, so that their scores stay near the processor
// (FlashAttention-2; Dao 2023, arXiv:2307.08691, algorithm 2).
const gradQueryTiles = 8

// gradLD is the distance of two queries' scores: room for a block of keys and
// for what softmaxGradRows clears.
const gradLD = gradQueryTiles*maxRows + 16

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
		p:         grow(&memory.p, gradQueryTiles*a.rows*gradLD),
		ds:        grow(&memory.ds, gradQueryTiles*a.rows*gradLD),
	}
	group, ldy := s.Heads/s.KVHeads, s.Heads*s.HeadDim
	for h := kvh * group; h < (kvh+1)*group; h++ {
		w.q, w.dq = a.head(a.q, a.ldq, b*s.Queries, h), a.head(g.dq, g.lddq, b*s.Queries, h)
		w.y, w.dy = a.head(g.y, ldy, b*s.Queries, h), a.head(g.dy, ldy, b*s.Queries, h)
		w.adds = h > kvh*group
		w.lse = g.lse[(b*s.Heads+h)*s.Queries:][:s.Queries]
		w.queries = a.panels(&memory.queries, w.q, s.Queries, s.HeadDim)
		w.gradients = a.panels(&memory.gradients, w.dy, s.Queries, s.HeadDim)
		for i := 0; i < s.Queries; i += w.block() {
			w.queryBlock(i, min(s.Queries, i+w.block()))
		}
	}
}

// A gradHead is one head's part of the gradient.
type gradHead struct {
	*attention
	q, y, dq, dy, dk, dv matrix[float32]
	lse                  []float32
	keysT, valuesT       panels    // [HeadDim, Keys]
	keys                 panels    // [Keys, HeadDim]
	queries, gradients   panels    // [Queries, HeadDim]
	p, ds                []float32 // scores of a block, gradLD apart
	delta                *[gradQueryTiles * maxRows]float32
	adds                 bool // to dk and dv, which heads before it have written
}

// block is how many queries, and keys, meet at a time.
func (w *gradHead) block() int { return gradQueryTiles * w.rows }

// queryBlock takes queries [first, last), first a multiple of w.block():
//
//	p  = exp(scale * q k^T - lse)
//	ds = scale * p * (dy v^T - sum(dy * y))
//	dq = ds k, dk += ds^T q, dv += p^T dy
//
// first with all keys before them, then with each other.
func (w *gradHead) queryBlock(first, last int) {
	headDim := w.s.HeadDim
	for i := first; i < last; i++ {
		w.delta[i-first] = w.dot(w.dy.data[i*w.dy.row:][:headDim], w.y.data[i*w.y.row:][:headDim])
	}
	for j := 0; j < first; j += w.block() {
		w.before(first, last-first, j)
	}
	for i := first; i < last; i += w.rows {
		w.tileRow(first, i, min(w.rows, last-i))
	}
	for j := first; j < last; j += w.rows {
		// The first queries that see key j are in the row of tiles at j.
		m, k, at := min(w.rows, last-j), last-j, (j-first)*gradLD+j-first
		w.times(w.dv.data[j*w.dv.row:], w.dv.row, &w.p[at], 1, gradLD, &w.gradients, j, m, headDim, k, w.adds)
		w.times(w.dk.data[j*w.dk.row:], w.dk.row, &w.ds[at], 1, gradLD, &w.queries, j, m, headDim, k, w.adds)
	}
}

// before does the part of m queries from first on and of the block of keys from
// j on, all of which they see.
func (w *gradHead) before(first, m, j int) {
	n, headDim := w.block(), w.s.HeadDim
	keysT, valuesT := w.keysT.column(j, w.cols), w.valuesT.column(j, w.cols)
	w.times(w.p, gradLD, &w.q.data[first*w.q.row], w.q.row, 1, &keysT, 0, m, n, headDim, false)
	w.times(w.ds, gradLD, &w.dy.data[first*w.dy.row], w.dy.row, 1, &valuesT, 0, m, n, headDim, false)
	w.softmaxGradRows(&w.p[0], &w.ds[0], gradLD, m, n, 0, w.scale, &w.lse[first], &w.delta[0])
	w.times(w.dq.data[first*w.dq.row:], w.dq.row, &w.ds[0], gradLD, 1, &w.keys, j, m, headDim, n, j > 0)
	w.times(w.dv.data[j*w.dv.row:], w.dv.row, &w.p[0], 1, gradLD, &w.gradients, first, n, headDim, m, true)
	w.times(w.dk.data[j*w.dk.row:], w.dk.row, &w.ds[0], 1, gradLD, &w.queries, first, n, headDim, m, true)
}

// tileRow computes p, ds and dq of queries [i, i+m) and the keys from first on.
func (w *gradHead) tileRow(first, i, m int) {
	n, headDim, at := i-first+m, w.s.HeadDim, (i-first)*gradLD
	keysT, valuesT := w.keysT.column(first, w.cols), w.valuesT.column(first, w.cols)
	w.times(w.p[at:], gradLD, &w.q.data[i*w.q.row], w.q.row, 1, &keysT, 0, m, n, headDim, false)
	w.times(w.ds[at:], gradLD, &w.dy.data[i*w.dy.row], w.dy.row, 1, &valuesT, 0, m, n, headDim, false)
	w.softmaxGradRows(&w.p[at], &w.ds[at], gradLD, m, n-m+1, 1, w.scale, &w.lse[i], &w.delta[i-first])
	w.times(w.dq.data[i*w.dq.row:], w.dq.row, &w.ds[at], gradLD, 1, &w.keys, first, m, headDim, n, first > 0)
}
