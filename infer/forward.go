package infer

import (
	"fmt"
	"math"

	"trefoil/arch"
	"trefoil/internal/kernel"
)

// A workspace holds the intermediate results of a pass over some rows. Codes
// and rounded belong to the projection that is computed last.
type workspace struct {
	x      []float32 // [rows, dim]: the residual stream
	normed []float32 // [rows, max(dim, qDim, ff)]: input of a projection
	joined []float32 // [rows, max(width of q, k and v, 2 ff, dim)]: output of a projection
	mixed  []float32 // [rows, max(qDim, ff)]: output of attention or gate
	inv    []float32 // [rows]

	codes   []int8    // [rows, max(dim, qDim, ff)]
	scales  []float32 // [rows]
	rounded []float32 // [rows, max(dim, qDim, ff)]
}

// fit makes room for rows.
func (w *workspace) fit(c arch.Config, rows int) {
	wide := max(c.Dim, c.QDim(), c.FF)
	if len(w.x) >= rows*c.Dim {
		return
	}
	*w = workspace{
		x:      make([]float32, rows*c.Dim),
		normed: make([]float32, rows*wide),
		joined: make([]float32, rows*max(c.QDim()+2*c.KVDim(), 2*c.FF, c.Dim)),
		mixed:  make([]float32, rows*wide),
		inv:    make([]float32, rows),

		codes:   make([]int8, rows*wide),
		scales:  make([]float32, rows),
		rounded: make([]float32, rows*wide),
	}
}

// A cache holds the rotated keys and the values of the tokens so far, for
// each block: [tokens, kvDim].
type cache struct {
	tokens int
	k, v   [][]float32
}

// check reports ids that the model does not have.
func (m *Model) check(tokens []int32) error {
	for i, id := range tokens {
		if id < 0 || int(id) >= m.config.Model.Vocab {
			return fmt.Errorf("token %d at position %d: the model knows 0 to %d", id, i, m.config.Model.Vocab-1)
		}
	}
	return nil
}

// forward runs the blocks over tokens, batch sequences of equal length one
// after the other, and leaves their residual stream in w.x. With a cache,
// batch is 1 and the tokens follow those of the cache.
func (m *Model) forward(w *workspace, tokens []int32, batch int, past *cache) error {
	c := m.config.Model
	rows := len(tokens)
	w.fit(c, rows)
	for r, id := range tokens {
		copy(w.x[r*c.Dim:(r+1)*c.Dim], m.embedding[int(id)*c.Dim:])
	}
	for i := range m.blocks {
		b := &m.blocks[i]
		m.normalize(w, w.normed, w.x, b.attentionNorm, rows)
		if err := m.project(w, b.qkv, w.joined, w.normed, rows); err != nil {
			return err
		}
		m.attend(w, i, rows, batch, past)
		if err := m.project(w, b.o, w.joined, m.subNormalize(w, b.attentionSubNorm, rows), rows); err != nil {
			return err
		}
		kernel.Add(w.x[:rows*c.Dim], w.x[:rows*c.Dim], w.joined[:rows*c.Dim])

		m.normalize(w, w.normed, w.x, b.ffnNorm, rows)
		if err := m.project(w, b.gateUp, w.joined, w.normed, rows); err != nil {
			return err
		}
		if c.Activation == arch.ReLU2 {
			kernel.ReLU2Gate(w.mixed, w.joined, rows, c.FF)
		} else {
			kernel.SiLUGate(w.mixed, w.joined, rows, c.FF)
		}
		if err := m.project(w, b.down, w.joined, m.subNormalize(w, b.ffnSubNorm, rows), rows); err != nil {
			return err
		}
		kernel.Add(w.x[:rows*c.Dim], w.x[:rows*c.Dim], w.joined[:rows*c.Dim])
	}
	if past != nil {
		past.tokens += rows
	}
	return nil
}

func (m *Model) normalize(w *workspace, y, x, gain []float32, rows int) {
	kernel.RMSNorm(y, w.inv, x, gain, rows, len(gain), float32(m.config.Model.NormEps))
}

// subNormalize returns w.mixed behind a sub-norm, or as it is where the model
// has none.
func (m *Model) subNormalize(w *workspace, gain []float32, rows int) []float32 {
	if gain == nil {
		return w.mixed
	}
	m.normalize(w, w.normed, w.mixed, gain, rows)
	return w.normed
}

func (m *Model) project(w *workspace, p *projection, y, x []float32, rows int) error {
	err := p.apply(w, y, x, rows, m.activations)
	if err == nil && m.tap != nil {
		p.show(m.tap, y, x, rows)
	}
	return err
}

// attend reads the queries, keys and values of block i from w.joined and
// writes the attention's output to w.mixed.
func (m *Model) attend(w *workspace, i, rows, batch int, past *cache) {
	c := m.config.Model
	qDim, kvDim, start := c.QDim(), c.KVDim(), 0
	width := qDim + 2*kvDim
	if past != nil {
		start = past.tokens
	}
	length := rows / batch
	cos, sin := m.rope.tables(start + length)
	kernel.Rope(w.joined, cos, sin, rows, width, c.Heads+c.KVHeads, c.HeadDim(), length, start, false)

	k, v, ld := w.joined[qDim:], w.joined[qDim+kvDim:], width
	if past != nil {
		for r := range rows {
			row := w.joined[r*width : (r+1)*width]
			past.k[i] = append(past.k[i], row[qDim:qDim+kvDim]...)
			past.v[i] = append(past.v[i], row[qDim+kvDim:]...)
		}
		k, v, ld = past.k[i], past.v[i], kvDim
	}
	shape := kernel.AttentionShape{
		Batch: batch, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim(),
		Queries: length, Keys: start + length,
	}
	scale := float32(1 / math.Sqrt(float64(c.HeadDim())))
	kernel.Attention(w.mixed, nil, w.joined, width, k, ld, v, ld, shape, scale)
}

// head writes the logits [rows, vocab] of rows of the residual stream x.
func (m *Model) head(w *workspace, logits, x []float32, rows int) {
	c := m.config.Model
	m.normalize(w, w.normed, x, m.norm, rows)
	kernel.GemmNT(logits, w.normed, m.headWeights, rows, c.Vocab, c.Dim, false)
}

// Logits returns the logits [len(tokens), vocab] of batch sequences of equal
// length, one after the other in tokens: row r is the prediction of what
// follows token r.
func (m *Model) Logits(tokens []int32, batch int) ([]float32, error) {
	c := m.config.Model
	if batch < 1 || len(tokens) == 0 || len(tokens)%batch != 0 {
		return nil, fmt.Errorf("%d tokens are not %d sequences of equal length", len(tokens), batch)
	}
	if n := len(tokens) / batch; n > c.Context {
		return nil, fmt.Errorf("a sequence of %d tokens is longer than the context of %d", n, c.Context)
	}
	if err := m.check(tokens); err != nil {
		return nil, err
	}
	var w workspace
	logits := make([]float32, len(tokens)*c.Vocab)
	if err := m.forward(&w, tokens, batch, nil); err != nil {
		return nil, err
	}
	m.head(&w, logits, w.x, len(tokens))
	return logits, nil
}

// lossRows is about how many tokens Loss evaluates at a time.
const lossRows = 1024

// Loss returns the mean cross-entropy, in nats a token, of predicting each
// window's tokens from those before: windows is [n, length+1], and length is
// at most the context.
func (m *Model) Loss(windows []int32, n int) (float64, error) {
	if n < 1 || len(windows)%n != 0 || len(windows)/n < 2 {
		return 0, fmt.Errorf("%d tokens are not %d windows of at least 2 tokens", len(windows), n)
	}
	length := len(windows)/n - 1
	batch := max(1, lossRows/length)
	sum := 0.0
	for first := 0; first < n; first += batch {
		size := min(batch, n-first)
		inputs, targets := make([]int32, 0, size*length), make([]int32, 0, size*length)
		for i := first; i < first+size; i++ {
			w := windows[i*(length+1) : (i+1)*(length+1)]
			inputs, targets = append(inputs, w[:length]...), append(targets, w[1:]...)
		}
		logits, err := m.Logits(inputs, size)
		if err == nil {
			err = m.check(targets)
		}
		if err != nil {
			return 0, err
		}
		rows := len(targets)
		losses, lse := make([]float32, rows), make([]float32, rows)
		kernel.CrossEntropy(losses, lse, logits, targets, rows, m.config.Model.Vocab)
		for _, v := range losses {
			sum += float64(v)
		}
		if m.watch == nil {
			continue
		}
		if err := m.watch((first + size) * length); err != nil {
			return 0, err
		}
	}
	return sum / float64(n*length), nil
}
