package train

import (
	"math"

	"trefoil/internal/kernel"
)

// muonBlock is a part of a matrix that Muon updates by itself: some of its
// rows, or some of its columns, or all of it.
type muonBlock struct {
	w, m, g    []float32 // of the whole matrix: weights, momentum, gradient
	rows, cols int       // of the block
	keep, rate float32   // factors of the weights and of the update

	// In memory a block is lines of length elements, stride apart.
	first, lines, length, stride int
}

// muonBlocks divides the shorter side of a parameter's matrix into blocks of
// at most o.muonBlock, as even as can be; 0 leaves it whole.
//
// The work of Newton-Schulz steps on a matrix grows with the square of its
// shorter side, that of training with the number of tokens: at width 512 and
// 2,048 tokens a step, whole matrices take more than half as long as all the
// rest. Blocks are made orthogonal one by one where Muon is sharded over
// devices, too (Khaled et al. 2025, "MuonBP: Faster Muon via Block-Periodic
// Orthogonalization", arXiv:2510.16981).
func (o *Optimizer) muonBlocks(s *state, w, g []float32, decay float64) []muonBlock {
	k, count := min(s.rows, s.cols), 1
	if o.muonBlock > 0 {
		count = (k + o.muonBlock - 1) / o.muonBlock
	}
	blocks := make([]muonBlock, count)
	for i := range blocks {
		first, last := i*k/count, (i+1)*k/count
		n := last - first
		b := muonBlock{w: w, m: s.mean, g: g, rows: n, cols: s.cols, first: first * s.cols, lines: n, length: s.cols, stride: s.cols}
		if s.rows > s.cols {
			b.rows, b.cols = s.rows, n
			b.first, b.lines, b.length = first, s.rows, n
		}
		b.keep = float32(1 - o.MuonLR*decay)
		b.rate = float32(-o.MuonLR * 0.2 * math.Sqrt(float64(max(s.rows, s.cols))))
		blocks[i] = b
	}
	return blocks
}

// muon updates blocks by their momentum, made orthogonal (Jordan et al. 2024,
// "Muon: An optimizer for hidden layers in neural networks"), in steps of
// AdamW's size (Liu et al. 2025, arXiv:2502.16982, equation 4), the gradient
// multiplied by scale before:
//
//	m = 0.95 m + g
//	w = (1 - lr decay) w - lr 0.2 sqrt(max(rows, cols)) orthogonal(g + 0.95 m)
//
// rows and cols are those of the matrix, so that the root mean square of the
// update does not depend on the blocks.
func (o *Optimizer) muon(blocks []muonBlock, scale float32) {
	// A block a core: its products are too small to be shared by several.
	kernel.Parallel(len(blocks), func(i int) {
		room := o.orthogonalizers.take()
		blocks[i].update(room, scale)
		o.orthogonalizers.put(room)
	})
}

func (b *muonBlock) update(o *orthogonalizer, scale float32) {
	const momentum = 0.95
	x := o.matrix(b.rows * b.cols)
	for i := range b.lines { // line by line, so that each is in the cache
		m, g := b.line(b.m, i), b.line(b.g, i)
		kernel.Combine(m, momentum, m, scale, g)
		kernel.Combine(x[i*b.length:][:b.length], scale, g, momentum, m)
	}
	y := o.orthogonalize(x, b.rows, b.cols)
	for i := range b.lines {
		w := b.line(b.w, i)
		kernel.Combine(w, b.keep, w, b.rate, y[i*b.length:][:b.length])
	}
}

// line returns line i of the block's part of a matrix.
func (b *muonBlock) line(whole []float32, i int) []float32 {
	return whole[b.first+i*b.stride:][:b.length]
}
