package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() {
	groups["int_grad"] = func() {
		gradTile(zmm, "VNNI", 12)
		gradTile(zmm, "AVX512", 12)
		gradTile(ymm, "AVX2", 6)
		interleaveBytes()
		interleaveWords()
	}
}

// gradTile emits the product of 16-bit codes. Two steps of the sum lie next to
// one another in both operands. The right one could be bytes, widened on the
// way, but that takes a port from every thirteenth product.
func gradTile(w width, suffix string, rows int) {
	cols := 2 * w.lanes
	TEXT("gradTile"+suffix, NOSPLIT, "func(sums *int32, a *int16, rowA, pairA int, b *int16, pairs int, add bool)")
	Doc(fmt.Sprintf("gradTile%s multiplies %d rows and %d columns.", suffix, rows, cols),
		"",
		fmt.Sprintf("\tfor r := range %d {", rows),
		fmt.Sprintf("\t\tfor c := range %d {", cols),
		"\t\t\tsum := 0, or sums[r*256+c] if add",
		"\t\t\tfor p := range pairs {",
		"\t\t\t\tsum += a[r*rowA+p*pairA]*b[p*64+2*c] + a[r*rowA+p*pairA+1]*b[p*64+2*c+1]",
		"\t\t\t}",
		"\t\t\tsums[r*256+c] = sum",
		"\t\t}",
		"\t}")
	sums, b := Load(Param("sums"), GP64()), Load(Param("b"), GP64())
	a := Load(Param("a"), GP64()).(GPVirtual)
	rowA, pairA := Load(Param("rowA"), GP64()).(GPVirtual), Load(Param("pairA"), GP64())
	pairs := Load(Param("pairs"), GP64())
	SHLQ(U8(1), rowA)
	SHLQ(U8(1), pairA)
	ptr := newRowPointers(a, rowA, rows)
	all := w.all
	acc := func(row, vec int) VecPhysical { return all[row*2+vec] }
	x := [2]VecPhysical{all[2*rows], all[2*rows+1]}
	code, product := all[2*rows+2], all[2*rows+3]
	for i := range 2 * rows {
		w.zero(all[i])
	}
	Label("pair")
	for v := range x {
		w.loadInts(Mem{Base: b, Disp: v * w.bytes()}, x[v])
	}
	for r := range rows {
		VPBROADCASTD(ptr.at(r, 0), code)
		for v := range x {
			if suffix == "VNNI" {
				VPDPWSSD(x[v], code, acc(r, v))
				continue
			}
			VPMADDWD(x[v], code, product)
			VPADDD(product, acc(r, v), acc(r, v))
		}
	}
	ptr.advance(pairA)
	SUBQ(I8(-128), b)
	DECQ(pairs)
	JNE(LabelRef("pair"))
	each := func(do func(m Mem, acc VecPhysical)) {
		for r := range rows {
			for v := range x {
				do(Mem{Base: sums, Disp: r*sumStride + v*w.bytes()}, acc(r, v))
			}
		}
	}
	add := GP8()
	Load(Param("add"), add)
	TESTB(add, add)
	JEQ(LabelRef("store"))
	each(func(m Mem, acc VecPhysical) { VPADDD(m, acc, acc) })
	Label("store")
	each(func(m Mem, acc VecPhysical) { w.storeInts(acc, m) })
	VZEROUPPER()
	RET()
}

// interleaveBytes emits the packing of the right operand.
func interleaveBytes() {
	TEXT("interleaveBytesAVX2", NOSPLIT, "func(dst *int16, src *int8, ld, pairs int)")
	Doc("interleaveBytesAVX2 interleaves 32 columns of pairs of rows.",
		"",
		"\tfor p := range pairs {",
		"\t\tfor c := range 32 {",
		"\t\t\tdst[p*64+2*c], dst[p*64+2*c+1] = src[2*p*ld+c], src[(2*p+1)*ld+c]",
		"\t\t}",
		"\t}")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	ld, pairs := Load(Param("ld"), GP64()), Load(Param("pairs"), GP64())
	Label("pair")
	for half := range 2 {
		VPMOVSXBW(Mem{Base: src, Disp: 16 * half}, Y0)
		VPMOVSXBW(Mem{Base: src, Index: ld, Scale: 1, Disp: 16 * half}, Y1)
		VPUNPCKLWD(Y1, Y0, Y2)
		VPUNPCKHWD(Y1, Y0, Y3)
		VPERM2I128(U8(0x20), Y3, Y2, Y0)
		VPERM2I128(U8(0x31), Y3, Y2, Y1)
		VMOVDQU(Y0, Mem{Base: dst, Disp: 64 * half})
		VMOVDQU(Y1, Mem{Base: dst, Disp: 64*half + 32})
	}
	LEAQ(Mem{Base: src, Index: ld, Scale: 2}, src)
	SUBQ(I8(-128), dst)
	DECQ(pairs)
	JNE(LabelRef("pair"))
	VZEROUPPER()
	RET()
}

// interleaveWords emits the packing of the left operand of the gradient in the
// weights.
func interleaveWords() {
	TEXT("interleaveWordsAVX2", NOSPLIT, "func(dst, src *int16, ld, pairs int)")
	Doc("interleaveWordsAVX2 interleaves 12 columns of pairs of rows.",
		"",
		"\tfor p := range pairs {",
		"\t\tfor c := range 12 {",
		"\t\t\tdst[p*24+2*c], dst[p*24+2*c+1] = src[2*p*ld+c], src[(2*p+1)*ld+c]",
		"\t\t}",
		"\t}")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	ld, pairs := Load(Param("ld"), GP64()), Load(Param("pairs"), GP64())
	SHLQ(U8(1), ld)
	Label("pair")
	VMOVDQU(Mem{Base: src}, X0)
	VMOVDQU(Mem{Base: src, Index: ld, Scale: 1}, X1)
	VMOVQ(Mem{Base: src, Disp: 16}, X2)
	VMOVQ(Mem{Base: src, Index: ld, Scale: 1, Disp: 16}, X3)
	VPUNPCKLWD(X1, X0, X4)
	VPUNPCKHWD(X1, X0, X5)
	VPUNPCKLWD(X3, X2, X6)
	for i, x := range []Op{X4, X5, X6} {
		VMOVDQU(x, Mem{Base: dst, Disp: 16 * i})
	}
	LEAQ(Mem{Base: src, Index: ld, Scale: 2}, src)
	ADDQ(U8(48), dst)
	DECQ(pairs)
	JNE(LabelRef("pair"))
	VZEROUPPER()
	RET()
}
