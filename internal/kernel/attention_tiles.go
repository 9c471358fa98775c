package kernel

import "math"

// An attention is one call of Attention or AttentionGrad in float32. It goes
// through the queries of a head one row of tiles at a time, so that their
// scores stay in the first-level cache, and no tile lies wholly behind the
// mask.
type attention struct {
	*vectorKernels
	s     AttentionShape
	scale float32
	q     []float32
	ldq   int
	k     []float32
	ldk   int
	v     []float32
	ldv   int
}

// headMemory is what a goroutine needs for one head.
type headMemory struct {
	keys, values       []float32 // packed, as the following
	keyRows            []float32
	queries, gradients []float32
	p, ds              []float32 // scores of some queries, and their gradients

	top, sum, delta [maxRows]float32 // of each query in a row of tiles
}

var headMemories freeList[headMemory]

// head returns the view of one head in a matrix of rows ld long.
func (a *attention) head(x []float32, ld, firstRow, head int) matrix[float32] {
	return matrix[float32]{x[firstRow*ld+head*a.s.HeadDim:], ld, 1}
}

// scoreLD is the distance of two queries' scores: no power of two, and with
// room for what softmaxRows clears.
func (a *attention) scoreLD() int { return a.s.Keys&^15 + 48 }

// forward computes the heads of all sequences, each in one or several pieces.
func (a *attention) forward(y, lse []float32) {
	heads := a.s.Batch * a.s.Heads
	if heads*a.s.Queries == 0 {
		return
	}
	a.check(y)
	size := divide(a.s.Queries, (2*Threads()+heads-1)/heads, 24)
	pieces := (a.s.Queries + size - 1) / size
	a.each(heads*pieces, func(task int) {
		first := task % pieces * size
		a.forwardHead(y, lse, task/pieces, first, min(a.s.Queries, first+size))
	})
}

// each runs tasks in parallel if together they are worth it.
func (a *attention) each(tasks int, body func(task int)) {
	if a.s.Batch*a.s.Heads*a.s.Queries*a.s.Keys*a.s.HeadDim > taskFlops/4 {
		Parallel(tasks, body)
		return
	}
	for task := range tasks {
		body(task)
	}
}

// check panics unless the slices hold the shape: tiles do not check indices.
func (a *attention) check(y []float32) {
	s := a.s
	matrix[float32]{y, s.Heads * s.HeadDim, 1}.holds(s.Batch*s.Queries, s.Heads*s.HeadDim)
	matrix[float32]{a.q, a.ldq, 1}.holds(s.Batch*s.Queries, s.Heads*s.HeadDim)
	matrix[float32]{a.k, a.ldk, 1}.holds(s.Batch*s.Keys, s.KVHeads*s.HeadDim)
	matrix[float32]{a.v, a.ldv, 1}.holds(s.Batch*s.Keys, s.KVHeads*s.HeadDim)
}

// forwardHead computes queries [first, last) of head bh of Batch*Heads.
func (a *attention) forwardHead(y, lse []float32, bh, first, last int) {
	s := a.s
	b, h := bh/s.Heads, bh%s.Heads
	kvh := h * s.KVHeads / s.Heads
	memory := headMemories.take()
	defer headMemories.put(memory)
	seen := s.Keys - s.Queries + last
	keysT := a.head(a.k, a.ldk, b*s.Keys, kvh).transposed()
	var keys panels
	if last-first > 1 {
		keys = a.panels(&memory.keys, keysT, s.HeadDim, seen)
	}
	values := a.panels(&memory.values, a.head(a.v, a.ldv, b*s.Keys, kvh), seen, s.HeadDim)
	q, out := a.head(a.q, a.ldq, b*s.Queries, h), a.head(y, s.Heads*s.HeadDim, b*s.Queries, h)
	p := matrix[float32]{grow(&memory.p, a.rows*a.scoreLD()), a.scoreLD(), 1}
	for i := first; i < last; i += a.rows {
		m := min(a.rows, last-i)
		n := s.Keys - s.Queries + i + m
		if last-first == 1 { // one token: read its keys where they are
			one := product{&a.gemmTiles, p, q.from(i, 0), keysT, 1, n, s.HeadDim, false, false}
			one.rectangle(0, 1, 0, n)
		} else {
			a.times(p, q.from(i, 0), keys, m, n, s.HeadDim, false)
		}
		a.softmaxRows(&p.data[0], p.row, m, n-m+1, a.scale, &memory.top[0], &memory.sum[0])
		a.times(out.from(i, 0), p, values, m, s.HeadDim, n, false)
		for r, sum := range memory.sum[:m] {
			a.vectorKernels.scale(out.from(i+r, 0).data[:s.HeadDim], 1/sum)
			if lse != nil {
				lse[bh*s.Queries+i+r] = memory.top[r]*a.scale + float32(math.Log(float64(sum)))
			}
		}
	}
}

// A panels is the right-hand side of a product, in panels as wide as a tile:
// column j begins panel j/cols at data[j/cols*stride].
type panels struct {
	data       []float32
	ld, stride int
}

// from returns the panels without their first rows.
func (p panels) from(row int) panels { return panels{p.data[row*p.ld:], p.ld, p.stride} }

// panels makes k by n elements of b readable by tiles: where they are if
// tiles can read them there, or packed into *buf.
func (g *gemmTiles) panels(buf *[]float32, b matrix[float32], k, n int) panels {
	if b.col == 1 && n%(g.cols/2) == 0 {
		return panels{b.data, b.row, g.cols}
	}
	across := (n + g.cols - 1) / g.cols
	dst := grow(buf, k*across*g.cols)
	for j := range across {
		g.pack(dst[j*k*g.cols:(j+1)*k*g.cols], b.from(0, j*g.cols), k, min(g.cols, n-j*g.cols))
	}
	return panels{dst, g.cols, k * g.cols}
}

// times computes c (+)= a*b, where a: [m, k] and b: [k, n].
func (g *gemmTiles) times(c, a matrix[float32], b panels, m, n, k int, add bool) {
	for j := 0; j < n; j += g.cols {
		g.tiles(c.from(0, j), a, &b.data[j/g.cols*b.stride], b.ld, m, min(g.cols, n-j), k, add)
	}
}
