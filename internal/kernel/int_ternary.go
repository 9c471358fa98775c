package kernel

import "encoding/binary"

// panelOutputs outputs share a panel of packed weights, and panelDepth inputs
// of them a block: 32 x 16 codes of two bits are two cache lines.
const (
	panelOutputs = 32
	panelDepth   = 16
	panelBlock   = panelOutputs * panelDepth / 4

	// codeZeros is a byte of four codes 0.
	codeZeros = 0x55
)

// Ternary is a weight matrix [out, in] of codes -1, 0 and 1, packed two bits
// each for MulTernary at any level. The zero value is an empty matrix.
//
// Outputs are in panels of 32, inputs in blocks of 16; out and in are filled
// up with code 0. A block is 32 words of 32 bits, one an output. Byte b of a
// word holds code+1 of the inputs b, 4+b, 8+b and 12+b of the block, lowest bits
// first: so the word shifted right by 0, 2, 4 and 6 bits, and masked with 3 in
// every byte, gives four consecutive inputs each time.
type Ternary struct {
	out, in int
	panels  []byte // [ceil(out/32)][ceil(in/16)][32 words]
}

// Out returns the number of outputs, the rows of the matrix.
func (t *Ternary) Out() int { return t.out }

// In returns the number of inputs, the columns of the matrix.
func (t *Ternary) In() int { return t.in }

// blocks returns the number of blocks of a panel, at least 1.
func (t *Ternary) blocks() int { return max(1, (t.in+panelDepth-1)/panelDepth) }

// Pack makes t hold codes [out, in], each -1, 0 or 1, in the storage of what
// it held before.
func (t *Ternary) Pack(codes []int8, out, in int) {
	codes = codes[:out*in]
	t.out, t.in = out, in
	panels := (out + panelOutputs - 1) / panelOutputs
	size := t.blocks() * panelBlock
	t.panels = grow(&t.panels, panels*size)
	chunks(panels, max(1, grain/size), func(lo, hi int) {
		for p := lo; p < hi; p++ {
			first := p * panelOutputs
			packPanel(t.panels[p*size:(p+1)*size], codes[first*in:], min(panelOutputs, out-first), in)
		}
	})
}

// packPanel packs the first outs rows of codes [outs, in].
func packPanel(panel []byte, codes []int8, outs, in int) {
	for i := range panel {
		panel[i] = codeZeros
	}
	var fastOuts, fastIn int
	if k := integers(); k != nil && in >= 2*panelDepth {
		fastOuts, fastIn = outs&^3, in&^(2*panelDepth-1)
		for o := 0; o < fastOuts; o += 4 {
			k.packFour(&panel[4*o], &codes[o*in], in, fastIn/(2*panelDepth))
		}
	}
	for o := range outs {
		first := 0
		if o < fastOuts {
			first = fastIn
		}
		packRow(panel, codes[o*in:(o+1)*in], o, first)
	}
}

// packRow packs the codes of output o from input first on, into places that
// hold code 0.
func packRow(panel []byte, codes []int8, o, first int) {
	for i := first; i < len(codes); i++ {
		at, shift := panelIndex(o, i)
		panel[at] += byte(codes[i]) << shift
	}
}

// panelIndex returns the byte of a panel, and the bit in it, where the code of
// output o and input i begins.
func panelIndex(o, i int) (at, shift int) {
	return i/panelDepth*panelBlock + o*4 + i%4, i % panelDepth / 4 * 2
}

// unpackRow writes the codes of output o. codes has room for whole blocks.
func (t *Ternary) unpackRow(codes []int8, o int) {
	size := t.blocks() * panelBlock
	words := t.panels[o/panelOutputs*size+o%panelOutputs*4:]
	for b := range t.blocks() {
		word := binary.LittleEndian.Uint32(words[b*panelBlock:])
		block := (*[panelDepth]int8)(codes[b*panelDepth:])
		for i := range block {
			block[i] = int8(word>>(i%4*8+i/4*2)&3) - 1
		}
	}
}

// MulTernary multiplies int8 rows with ternary weights:
//
//	y[r*ldy+o] = F(sum over i of x[r,i]*w[o,i]) * (sx[r]*sw)
//
// for x [rows, in] and sx [rows]. Sums are exact for in <= 2^22.
func MulTernary[F Float](y []F, ldy int, x []int8, sx []F, w *Ternary, sw F, rows int) {
	if rows == 0 || w.out == 0 {
		return
	}
	p := ternaryProduct[F]{y: y[:(rows-1)*ldy+w.out], ldy: ldy, x: x[:rows*w.in], sx: sx[:rows], w: w, sw: sw}
	if k := integers(); k != nil {
		p.tiles(k)
	} else {
		p.portable()
	}
}

// ternaryProduct is one call of MulTernary.
type ternaryProduct[F Float] struct {
	y   []F
	ldy int
	x   []int8
	sx  []F
	w   *Ternary
	sw  F
}

func (p *ternaryProduct[F]) portable() {
	in := p.w.in
	chunks(p.w.out, max(1, grain/max(1, len(p.x))), func(lo, hi int) {
		buf := taskSpace()
		defer buf.release()
		codes := grow(&buf.int8, p.w.blocks()*panelDepth)
		for o := lo; o < hi; o++ {
			p.w.unpackRow(codes, o)
			for r, s := range p.sx {
				sum := dot8(p.x[r*in:(r+1)*in], codes)
				p.y[r*p.ldy+o] = F(sum) * F(s*p.sw)
			}
		}
	})
}

func dot8(x, w []int8) (sum int32) {
	w = w[:len(x)]
	for i, v := range x {
		sum += int32(v) * int32(w[i])
	}
	return sum
}
