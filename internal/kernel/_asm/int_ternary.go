package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The layout of package kernel's Ternary and of its tiles of sums.
const (
	panelBlock  = 128       // bytes of a block: 32 outputs x 16 inputs
	panelDepth  = 16        // inputs of a block
	sumStride   = 256 * 4   // bytes from one row of a tile of sums to the next
	wordSteps   = 64        // pairs of products that 16-bit lanes can add up
	fieldsAWord = 4         // groups of four inputs in a block
	lowBits     = 0x3030303 // the lowest field of every byte
)

func init() {
	groups["int_ternary"] = func() {
		ternaryDot(packed, 1, 2, 4, 8, 12)
		ternaryMadd(packed, zmm, 1, 2, 4, 8, 12)
		ternaryMadd(packed, ymm, 1, 2, 4)
		ternaryDot(unpacked, 12)
		ternaryMadd(unpacked, zmm, 12)
		ternaryMadd(unpacked, ymm, 6)
		both(unpackPanel)
		packFour()
		sumBytes()
	}
}

// A panel is packed, two bits a code, or unpacked: with many rows to multiply it
// pays to unpack once, into a block of [4 fields][32 outputs][4 inputs] bytes.
type form struct {
	name, what string
	bytes      int // of a block
}

var (
	packed   = form{"ternaryTile", "a packed panel", panelBlock}
	unpacked = form{"unpackedTile", "an unpacked panel", 4 * panelBlock}
)

// ternaryTile holds the registers that both kinds of product share.
type ternaryTile struct {
	form
	w            width
	rows         int
	sums, panel  GPVirtual
	blocks       GPVirtual
	x            rowPointers
	packed, code [2]VecPhysical // the first and mask for a packed panel only
	mask, input  VecPhysical
}

// header begins a function and jumps to the code for its rows.
func (f form) header(suffix string, cols int, rows []int, each func(rows int)) {
	TEXT(f.name+suffix, NOSPLIT, "func(sums *int32, x *int8, ldx, rows int, panel *byte, blocks int)")
	Doc(fmt.Sprintf("%s%s multiplies rows of x with %d outputs of %s, for rows in %v.", f.name, suffix, cols, f.what, rows),
		"code is what the panel holds: weight+1.",
		"",
		"\tfor r := range rows {",
		fmt.Sprintf("\t\tfor o := range %d {", cols),
		"\t\t\tsum := 0",
		"\t\t\tfor i := range 16 * blocks {",
		"\t\t\t\tsum += x[r*ldx+i] * code[o][i]",
		"\t\t\t}",
		"\t\t\tsums[r*256+o] = sum",
		"\t\t}",
		"\t}")
	n := Load(Param("rows"), GP64())
	for _, r := range rows[1:] {
		CMPQ(n, U8(r))
		JEQ(LabelRef(fmt.Sprintf("rows%d", r)))
	}
	for _, r := range rows {
		Label(fmt.Sprintf("rows%d", r))
		each(r)
		VZEROUPPER()
		RET()
	}
}

func (t *ternaryTile) loadParams() {
	t.sums = Load(Param("sums"), GP64()).(GPVirtual)
	t.panel = Load(Param("panel"), GP64()).(GPVirtual)
	t.blocks = Load(Param("blocks"), GP64()).(GPVirtual)
	x := Load(Param("x"), GP64()).(GPVirtual)
	ldx := Load(Param("ldx"), GP64()).(GPVirtual)
	t.x = newRowPointers(x, ldx, t.rows)
	if t.form == packed {
		splat(lowBits, t.mask)
	}
}

// With up to streamedRows rows the weights come from memory as fast as it
// delivers them: they are asked for streamDistance bytes ahead, which is
// farther than the processor looks by itself.
const (
	streamedRows   = 2
	streamDistance = 4096
)

// block emits the products of one block: step is called for each field, row
// and vector with the row's inputs in t.input and the codes in t.code[vector].
func (t *ternaryTile) block(step func(field, row, vec int)) {
	if t.form == packed {
		for v := range t.packed {
			t.w.loadInts(Mem{Base: t.panel, Disp: v * t.w.bytes()}, t.packed[v])
		}
	}
	if t.rows <= streamedRows {
		for line := 0; line < panelBlock; line += 64 {
			PREFETCHT0(Mem{Base: t.panel, Disp: streamDistance + line})
		}
	}
	for field := range fieldsAWord {
		for v := range t.code {
			if t.form == packed {
				t.w.field(field, t.packed[v], t.mask, t.code[v])
			} else {
				t.w.loadInts(Mem{Base: t.panel, Disp: field*panelBlock + v*t.w.bytes()}, t.code[v])
			}
		}
		for r := range t.rows {
			VPBROADCASTD(t.x.at(r, 4*field), t.input)
			for v := range t.code {
				step(field, r, v)
			}
		}
	}
	t.x.advance(U8(panelDepth))
	ADDQ(U32(t.bytes), t.panel)
}

// field takes a field out of every byte of packed.
func (w width) field(i int, packed, mask, code VecPhysical) {
	if i > 0 {
		VPSRLD(U8(2*i), packed, code)
		packed = code
	}
	w.and(mask, packed, code)
}

// unpackPanel emits what makes an unpacked panel of a packed one.
func unpackPanel(w width) {
	TEXT("unpackPanel"+w.suffix, NOSPLIT, "func(dst, panel *byte, blocks int)")
	Doc("unpackPanel"+w.suffix+" unpacks a panel.",
		"",
		"\tfor b := range blocks {",
		"\t\tfor f := range 4 {",
		"\t\t\tfor i := range 128 {",
		"\t\t\t\tdst[(b*4+f)*128+i] = panel[b*128+i] >> (2*f) & 3",
		"\t\t\t}",
		"\t\t}",
		"\t}")
	dst, panel := Load(Param("dst"), GP64()), Load(Param("panel"), GP64())
	blocks := Load(Param("blocks"), GP64())
	mask, from, code := w.all[0], w.all[1], w.all[2]
	splat(lowBits, mask)
	Label("block")
	for at := 0; at < panelBlock; at += w.bytes() {
		w.loadInts(Mem{Base: panel, Disp: at}, from)
		for f := range fieldsAWord {
			w.field(f, from, mask, code)
			w.storeInts(code, Mem{Base: dst, Disp: f*panelBlock + at})
		}
	}
	SUBQ(I8(-panelBlock), panel)
	ADDQ(U32(fieldsAWord*panelBlock), dst)
	DECQ(blocks)
	JNE(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// ternaryDot emits the product with VPDPBUSD. Few rows use several sets of
// accumulators, so that their additions do not wait for one another.
func ternaryDot(f form, rows ...int) {
	f.header("VNNI", 32, rows, func(rows int) {
		z := zmm.all
		t := ternaryTile{form: f, w: zmm, rows: rows, packed: [2]VecPhysical{z[24], z[25]},
			code: [2]VecPhysical{z[26], z[27]}, mask: z[28], input: z[29]}
		sets := max(1, 4/rows)
		acc := func(set, row, vec int) VecPhysical { return z[(set*rows+row)*2+vec] }
		t.loadParams()
		for i := range sets * rows * 2 {
			zmm.zero(z[i])
		}
		loop := fmt.Sprintf("block%d", rows)
		Label(loop)
		t.block(func(field, r, v int) { VPDPBUSD(t.input, t.code[v], acc(field%sets, r, v)) })
		DECQ(t.blocks)
		JNE(LabelRef(loop))
		for r := range rows {
			for v := range 2 {
				for set := 1; set < sets; set++ {
					VPADDD(acc(set, r, v), acc(0, r, v), acc(0, r, v))
				}
				zmm.storeInts(acc(0, r, v), Mem{Base: t.sums, Disp: r*sumStride + v*64})
			}
		}
	})
}

// ternaryMadd emits the product with VPMADDUBSW: pairs of products add up in
// 16-bit lanes, within +-512 each, and go to the 32-bit sums in memory after
// every 64 of them.
func ternaryMadd(f form, w width, rows ...int) {
	f.header(w.suffix, 2*w.lanes, rows, func(rows int) {
		all := w.all
		free := 2 * rows
		t := ternaryTile{form: f, w: w, rows: rows, code: [2]VecPhysical{all[free], all[free+1]}, input: all[free+2]}
		product := all[free+3]
		if f == packed {
			t.packed, t.mask = [2]VecPhysical{all[free+4], all[free+5]}, all[free+6]
		}
		acc := func(row, vec int) VecPhysical { return all[row*2+vec] }
		sum := func(row, vec int) Mem { return Mem{Base: t.sums, Disp: row*sumStride + vec*w.bytes()} }
		t.loadParams()
		w.zero(acc(0, 0))
		for r := range rows {
			for v := range 2 {
				w.storeInts(acc(0, 0), sum(r, v))
			}
		}
		outer, inner := fmt.Sprintf("flush%d", rows), fmt.Sprintf("block%d", rows)
		n, most := GP64(), GP64()
		Label(outer)
		for i := range 2 * rows {
			w.zero(all[i])
		}
		MOVQ(U32(wordSteps/fieldsAWord), most)
		MOVQ(t.blocks, n)
		CMPQ(n, most)
		CMOVQGT(most, n)
		SUBQ(n, t.blocks)
		Label(inner)
		t.block(func(_, r, v int) {
			VPMADDUBSW(t.input, t.code[v], product)
			VPADDW(product, acc(r, v), acc(r, v))
		})
		DECQ(n)
		JNE(LabelRef(inner))
		ones := t.input
		splat(0x10001, ones)
		for r := range rows {
			for v := range 2 {
				VPMADDWD(ones, acc(r, v), acc(r, v))
				VPADDD(sum(r, v), acc(r, v), acc(r, v))
				w.storeInts(acc(r, v), sum(r, v))
			}
		}
		TESTQ(t.blocks, t.blocks)
		JNE(LabelRef(outer))
	})
}

// packFour emits the packing of four outputs: a 4x4 transposition of 32-bit
// words for two blocks at a time, then the four fields on top of each other.
func packFour() {
	TEXT("packFourAVX2", NOSPLIT, "func(panel *byte, codes *int8, ld, pairs int)")
	Doc("packFourAVX2 packs four outputs of a panel, two blocks at a time.",
		"",
		"\tfor o := range 4 {",
		"\t\tfor i := range 32 * pairs {",
		"\t\t\tset the code of output o and input i in panel to codes[o*ld+i] + 1",
		"\t\t}",
		"\t}")
	panel, codes := Load(Param("panel"), GP64()), Load(Param("codes"), GP64()).(GPVirtual)
	ld, pairs := Load(Param("ld"), GP64()).(GPVirtual), Load(Param("pairs"), GP64())
	rows := newRowPointers(codes, ld, 4)
	y := ymm.all
	ones := y[15]
	splat(0x1010101, ones)
	Label("pair")
	for r := range 4 {
		VPADDB(rows.at(r, 0), ones, y[r])
	}
	VPUNPCKLDQ(y[1], y[0], y[4])
	VPUNPCKHDQ(y[1], y[0], y[5])
	VPUNPCKLDQ(y[3], y[2], y[6])
	VPUNPCKHDQ(y[3], y[2], y[7])
	VPUNPCKLQDQ(y[6], y[4], y[0])
	VPUNPCKHQDQ(y[6], y[4], y[1])
	VPUNPCKLQDQ(y[7], y[5], y[2])
	VPUNPCKHQDQ(y[7], y[5], y[3])
	for field := 1; field < fieldsAWord; field++ {
		VPSLLD(U8(2*field), y[field], y[field])
		VPOR(y[field], y[0], y[0])
	}
	VMOVDQU(y[0].AsX(), Mem{Base: panel})
	VEXTRACTI128(U8(1), y[0], Mem{Base: panel, Disp: panelBlock})
	rows.advance(U8(32))
	ADDQ(U32(2*panelBlock), panel)
	DECQ(pairs)
	JNE(LabelRef("pair"))
	VZEROUPPER()
	RET()
}

// sumBytes emits the sum of signed bytes.
func sumBytes() {
	TEXT("sumBytesAVX2", NOSPLIT, "func(x *int8, n int) (sum int32)")
	Doc("sumBytesAVX2 adds up n codes, a positive multiple of 32.",
		"",
		"\tfor i := range n {",
		"\t\tsum += x[i]",
		"\t}")
	x, n := Load(Param("x"), GP64()), Load(Param("n"), GP64())
	bytes, words, sum := Y0, Y1, Y2
	splat(0x1010101, bytes)
	splat(0x10001, words)
	VPXOR(sum, sum, sum)
	Label("loop")
	VPMADDUBSW(Mem{Base: x}, bytes, Y3)
	VPMADDWD(Y3, words, Y3)
	VPADDD(Y3, sum, sum)
	ADDQ(U8(32), x)
	SUBQ(U8(32), n)
	JNE(LabelRef("loop"))
	VEXTRACTI128(U8(1), sum, X3)
	VPADDD(X3, X2, X2)
	VPSHUFD(U8(0x4e), X2, X3)
	VPADDD(X3, X2, X2)
	VPSHUFD(U8(0xb1), X2, X3)
	VPADDD(X3, X2, X2)
	out := GP32()
	VMOVD(X2, out)
	Store(out, ReturnIndex(0))
	VZEROUPPER()
	RET()
}
