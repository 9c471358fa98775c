package kernel

import "math"

// An attention is one call of Attention or AttentionGrad in float32. It goes
// through the queries of a head some rows of tiles at a time, so that their
// scores stay in the first-level cache, or near it, and no tile lies wholly
// behind the mask.
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

	top, sum [queryTiles * maxRows]float32     // of each query
	delta    [gradQueryTiles * maxRows]float32 // of each query
}

// queryTiles is how many rows of tiles Attention takes at a time: each panel
// of keys and values then serves all of them.
const queryTiles = 4

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
	values := a.rowPanels(&memory.values, a.head(a.v, a.ldv, b*s.Keys, kvh), seen, s.HeadDim, last-first)
	q, out := a.head(a.q, a.ldq, b*s.Queries, h), a.head(y, s.Heads*s.HeadDim, b*s.Queries, h)
	ldp := a.scoreLD()
	p := grow(&memory.p, queryTiles*a.rows*ldp)
	for i := first; i < last; i += queryTiles * a.rows {
		m := min(queryTiles*a.rows, last-i)
		before := s.Keys - s.Queries + i // keys that all of the queries see
		shared := before / a.cols * a.cols
		if last-first == 1 { // one token: read its keys where they are
			one := product{&a.gemmTiles, matrix[float32]{p, ldp, 1}, q.from(i, 0), keysT, 1, before + 1, s.HeadDim, false, false}
			one.rectangle(0, 1, 0, before+1)
		} else {
			a.times(p, ldp, &q.data[i*q.row], q.row, 1, &keys, 0, m, shared, s.HeadDim, false)
		}
		own := keys.column(shared, a.cols)
		for r := 0; r < m; r += a.rows {
			rows := min(a.rows, m-r)
			n := before + r + rows
			if last-first > 1 {
				a.times(p[r*ldp+shared:], ldp, &q.data[(i+r)*q.row], q.row, 1, &own, 0, rows, n-shared, s.HeadDim, false)
			}
			a.softmaxRows(&p[r*ldp], ldp, rows, n-rows+1, 1, a.scale, &memory.top[r], &memory.sum[r])
		}
		if shared > 0 {
			a.times(out.data[i*out.row:], out.row, &p[0], ldp, 1, &values, 0, m, s.HeadDim, shared, false)
		}
		for r := 0; r < m; r += a.rows {
			rows := min(a.rows, m-r)
			a.times(out.data[(i+r)*out.row:], out.row, &p[r*ldp+shared], ldp, 1, &values, shared, rows, s.HeadDim, before+r+rows-shared, shared > 0)
		}
		for r, sum := range memory.sum[:m] {
			a.vectorKernels.scale(out.data[(i+r)*out.row:][:s.HeadDim], 1/sum)
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

// column returns the panels from column j on, a multiple of cols.
func (p panels) column(j, cols int) panels {
	if j == 0 {
		return p
	}
	return panels{p.data[j/cols*p.stride:], p.ld, p.stride}
}

// rowPanels is panels for rows of b that lie in memory, to be read so many
// times: a few times they are read where they are, if tiles can.
func (g *gemmTiles) rowPanels(buf *[]float32, b matrix[float32], k, n, times int) panels {
	if times <= directRows && n%(g.cols/2) == 0 {
		return panels{b.data, b.row, g.cols}
	}
	return g.panels(buf, b, k, n)
}

// panels packs k by n elements of b for tiles into *buf. Rows of a head are
// far apart in memory, often by a multiple of what throws them out of each
// other's place in the cache.
func (g *gemmTiles) panels(buf *[]float32, b matrix[float32], k, n int) panels {
	across := (n + g.cols - 1) / g.cols
	dst := grow(buf, k*across*g.cols)
	for j := range across {
		g.pack(dst[j*k*g.cols:(j+1)*k*g.cols], b.from(0, j*g.cols), k, min(g.cols, n-j*g.cols))
	}
	return panels{dst, g.cols, k * g.cols}
}

// times computes c (+)= a*b, where a: [m, k], its elements rowA and colA apart,
// and b: [k, n] are the rows of the panels from row on. Its arguments are words
// and no structs: those are copied in pieces twice as long as they were written
// in, which waits for all of a tile to be stored.
func (g *gemmTiles) times(c []float32, ldc int, a *float32, rowA, colA int, b *panels, row, m, n, k int, add bool) {
	for j := 0; j < n; j += g.cols {
		tile := g.full
		if n-j <= g.cols/2 {
			tile = g.half
		}
		tile(&c[j], ldc, a, rowA, colA, &b.data[row*b.ld+j/g.cols*b.stride], b.ld, m, min(g.cols, n-j), k, add)
	}
}
