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

// muonBlocks divides the shorter side of a matrix [rows, cols] into blocks of at
// most so many, as even as can be; 0 leaves it whole.
//
// The work of Newton-Schulz steps on a matrix grows with the square of its
// shorter side, that of training with the number of tokens: at width 512 and
// 2,048 tokens a step, whole matrices take more than half as long as all the
// rest. Blocks are made orthogonal one by one where Muon is sharded over
// devices, too (Khaled et al. 2025, "MuonBP: Faster Muon via Block-Periodic
// Orthogonalization", arXiv:2510.16981).
func muonBlocks(rows, cols, most int) []*muonBlock {
	k, count := min(rows, cols), 1
	if most > 0 {
		count = (k + most - 1) / most
	}
	blocks := make([]*muonBlock, count)
	for i := range blocks {
		first, last := i*k/count, (i+1)*k/count
		n := last - first
		b := &muonBlock{rows: n, cols: cols, first: first * cols, lines: n, length: cols, stride: cols}
		if rows > cols {
			b.rows, b.cols = rows, n
			b.first, b.lines, b.length = first, rows, n
		}
		blocks[i] = b
	}
	return blocks
}

// aim sets what the blocks of a matrix do in the next step.
func (o *Optimizer) aim(s *state, w, g []float32, decay float64) {
	for _, b := range s.blocks {
		b.w, b.m, b.g = w, s.mean, g
		b.keep = float32(1 - o.MuonLR*decay)
		b.rate = float32(-o.MuonLR * 0.2 * math.Sqrt(float64(max(s.rows, s.cols))))
	}
}

// muon updates all blocks by their momentum, made orthogonal (Jordan et al. 2024,
// "Muon: An optimizer for hidden layers in neural networks"), in steps of
// AdamW's size (Liu et al. 2025, arXiv:2502.16982, equation 4), the gradient
// multiplied by scale before:
//
//	m = 0.95 m + g
//	w = (1 - lr decay) w - lr 0.2 sqrt(max(rows, cols)) orthogonal(g + 0.95 m)
//
// rows and cols are those of the matrix, so that the root mean square of the
// update does not depend on the blocks.
func (o *Optimizer) muon(scale float32) {
	// A block a core: its products are too small to be shared by several.
	kernel.Parallel(len(o.blocks), func(i int) {
		room := o.orthogonalizers.take()
		o.blocks[i].update(room, scale)
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
