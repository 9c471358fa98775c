package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A tile of dot products: up to dotRows rows of x with dotOuts rows of w,
// dotStep codes at a time.
const (
	dotRows = 2
	dotOuts = 4
	dotStep = 32
)

func init() {
	groups["int_dot"] = func() {
		dotTile("AVX2", ymm, &wordDot{w: ymm})
		dotTile("AVX512", zmm, &wordDot{w: zmm})
		dotTile("VNNI", ymm, byteDot{})
	}
}

// A dotMethod multiplies one step of codes. Registers from 8 on are its own;
// those before hold the sums of 2 rows with 4 outputs.
type dotMethod interface {
	begin(rows int)
	// step adds the products of the codes at x and w to the sums.
	step(x, w rowPointers, rows int)
	// end leaves the sums in 8 lanes of 32 bits.
	end(rows int)
}

func dotTile(suffix string, w width, m dotMethod) {
	TEXT("dotTile"+suffix, NOSPLIT, "func(sums *int32, lds int, x *int8, ldx, rows int, w *int8, ldw, n int)")
	Doc("dotTile"+suffix+" multiplies 1 or 2 rows of x with 4 rows of w; n is a positive multiple of 32.",
		"",
		"\tfor r := range rows {",
		"\t\tfor o := range 4 {",
		"\t\t\tsum := 0",
		"\t\t\tfor i := range n {",
		"\t\t\t\tsum += x[r*ldx+i] * w[o*ldw+i]",
		"\t\t\t}",
		"\t\t\tsums[r*lds+o] = sum",
		"\t\t}",
		"\t}")
	n := Load(Param("rows"), GP64())
	CMPQ(n, U8(dotRows))
	JEQ(LabelRef("rows2"))
	for rows := 1; rows <= dotRows; rows++ {
		Label(fmt.Sprintf("rows%d", rows))
		dotRowsOf(w, m, rows)
	}
}

func dotRowsOf(w width, m dotMethod, rows int) {
	n := Load(Param("n"), GP64())
	x := newRowPointers(Load(Param("x"), GP64()).(GPVirtual), Load(Param("ldx"), GP64()).(GPVirtual), rows)
	weights := newRowPointers(Load(Param("w"), GP64()).(GPVirtual), Load(Param("ldw"), GP64()).(GPVirtual), dotOuts)
	for i := range rows * dotOuts {
		w.zero(w.all[i])
	}
	m.begin(rows)
	loop := fmt.Sprintf("loop%d", rows)
	Label(loop)
	m.step(x, weights, rows)
	x.advance(U8(dotStep))
	weights.advance(U8(dotStep))
	SUBQ(U8(dotStep), n)
	JNE(LabelRef(loop))
	m.end(rows)
	sums, lds := Load(Param("sums"), GP64()).(GPVirtual), Load(Param("lds"), GP64()).(GPVirtual)
	y := ymm.all
	for r := range rows {
		s := y[r*dotOuts : (r+1)*dotOuts]
		VPHADDD(s[1], s[0], s[0])
		VPHADDD(s[3], s[2], s[2])
		VPHADDD(s[2], s[0], s[0])
		VEXTRACTI128(U8(1), s[0], s[1].AsX())
		VPADDD(s[1].AsX(), s[0].AsX(), s[0].AsX())
		VMOVDQU(s[0].AsX(), Mem{Base: sums})
		LEAQ(Mem{Base: sums, Index: lds, Scale: 4}, sums)
	}
	VZEROUPPER()
	RET()
}

// wordDot widens codes to 16 bits: two products add up in 32 bits.
type wordDot struct{ w width }

func (d *wordDot) begin(int) {}

func (d *wordDot) step(x, weights rowPointers, rows int) {
	all := d.w.all
	half := d.w.bytes() / 2
	for at := 0; at < dotStep; at += half {
		for r := range rows {
			VPMOVSXBW(x.at(r, at), all[8+r])
		}
		for o := range dotOuts {
			VPMOVSXBW(weights.at(o, at), all[10])
			for r := range rows {
				VPMADDWD(all[8+r], all[10], all[11+r])
				VPADDD(all[11+r], all[r*dotOuts+o], all[r*dotOuts+o])
			}
		}
	}
}

func (d *wordDot) end(rows int) {
	if !d.w.wide() {
		return
	}
	for i := range rows * dotOuts {
		VEXTRACTI64X4(U8(1), zmm.all[i], Y8)
		VPADDD(Y8, ymm.all[i], ymm.all[i])
	}
}

// byteDot multiplies with VPDPBUSD, which wants one side unsigned: 128 more
// than the codes of w, for which end subtracts 128 times the codes of x.
type byteDot struct{}

func (byteDot) begin(rows int) {
	splat(0x80808080, Y8)
	for r := range rows {
		VPXOR(ymm.all[11+r], ymm.all[11+r], ymm.all[11+r])
	}
}

func (byteDot) step(x, weights rowPointers, rows int) {
	y := ymm.all
	for r := range rows {
		VMOVDQU(x.at(r, 0), y[9+r])
		VPDPBUSD(y[9+r], Y8, y[11+r])
	}
	for o := range dotOuts {
		VPXOR(weights.at(o, 0), Y8, Y13)
		for r := range rows {
			VPDPBUSD(y[9+r], Y13, y[r*dotOuts+o])
		}
	}
}

func (byteDot) end(rows int) {
	for i := range rows * dotOuts {
		VPSUBD(ymm.all[11+i/dotOuts], ymm.all[i], ymm.all[i])
	}
}
