package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() {
	groups["float_gemm"] = func() {
		maskTable("float_gemm")
		gemmTile(ymm, 6, 2)
		gemmTile(ymm, 6, 1)
		gemmTile(zmm, 8, 2)
		gemmTile(zmm, 8, 1)
		transpose8()
		copyRows()
	}
}

// gemmTile emits the micro-kernel for tiles of up to rows by vecs vectors. The
// tile stays in registers while k runs. There is one loop for each number of
// rows.
func gemmTile(w width, rows, vecs int) {
	cols := vecs * w.lanes
	TEXT(fmt.Sprintf("gemmTile%dx%d%s", rows, cols, w.suffix), NOSPLIT,
		"func(c *float32, ldc int, a *float32, rowA, colA int, b *float32, ldb int, rows, cols, k int, add bool)")
	Doc(fmt.Sprintf("gemmTile%dx%d%s multiplies one tile: 1 <= rows <= %d, 1 <= cols <= %d. It reads all %d columns of b.",
		rows, cols, w.suffix, rows, cols, cols),
		"",
		"\tfor i := range rows {",
		"\t\tfor j := range cols {",
		"\t\t\tsum := 0, or c[i*ldc+j] if add",
		"\t\t\tfor p := range k {",
		"\t\t\t\tsum = FMA(a[i*rowA+p*colA], b[p*ldb+j], sum)",
		"\t\t\t}",
		"\t\t\tc[i*ldc+j] = sum",
		"\t\t}",
		"\t}")
	t := tile{w: w, vecs: vecs}
	t.c, t.ldc = Load(Param("c"), GP64()).(GPVirtual), Load(Param("ldc"), GP64()).(GPVirtual)
	t.a, t.rowA = Load(Param("a"), GP64()).(GPVirtual), Load(Param("rowA"), GP64()).(GPVirtual)
	t.colA = Load(Param("colA"), GP64()).(GPVirtual)
	t.b, t.ldb = Load(Param("b"), GP64()).(GPVirtual), Load(Param("ldb"), GP64()).(GPVirtual)
	for _, stride := range []GPVirtual{t.ldc, t.rowA, t.colA, t.ldb} {
		SHLQ(U8(2), stride)
	}
	t.row3, t.row5, t.row7 = GP64(), GP64(), GP64()
	LEAQ(Mem{Base: t.rowA, Index: t.rowA, Scale: 2}, t.row3)
	LEAQ(Mem{Base: t.rowA, Index: t.rowA, Scale: 4}, t.row5)
	LEAQ(Mem{Base: t.row3, Index: t.rowA, Scale: 4}, t.row7)
	n := Load(Param("rows"), GP64()).(GPVirtual)
	for r := rows; r > 1; r-- {
		CMPQ(n, U8(r))
		JEQ(LabelRef(label("rows", r)))
	}
	for r := 1; r <= rows; r++ {
		Label(label("rows", r))
		t.emit(r)
	}
}

// tile holds the registers of gemmTile. In the vector registers come first
// vecs of b, then one of a, then the accumulators from the top down.
type tile struct {
	w                width
	vecs             int
	c, ldc           GPVirtual
	a, rowA, colA    GPVirtual
	row3, row5, row7 GPVirtual
	b, ldb           GPVirtual
}

func (t tile) acc(row, vec int) VecPhysical {
	return t.w.all[len(t.w.all)-1-row*t.vecs-vec]
}

// rowOfA addresses the element of row r in the present column of a.
func (t tile) rowOfA(r int) Mem {
	return []Mem{
		{Base: t.a},
		{Base: t.a, Index: t.rowA, Scale: 1},
		{Base: t.a, Index: t.rowA, Scale: 2},
		{Base: t.a, Index: t.row3, Scale: 1},
		{Base: t.a, Index: t.rowA, Scale: 4},
		{Base: t.a, Index: t.row5, Scale: 1},
		{Base: t.a, Index: t.row3, Scale: 2},
		{Base: t.a, Index: t.row7, Scale: 1},
	}[r]
}

func (t tile) emit(rows int) {
	k := GP64()
	add := GP8()
	Load(Param("add"), add)
	TESTB(add, add)
	JNE(LabelRef(label("add", rows)))
	for r := range rows {
		for v := range t.vecs {
			t.w.zero(t.acc(r, v))
		}
	}
	JMP(LabelRef(label("start", rows)))
	Label(label("add", rows))
	t.moveC(rows, "load", func(l tail, r, v int, m Mem) { l.load(m, t.acc(r, v)) })

	Label(label("start", rows))
	Load(Param("k"), k)
	TESTQ(k, k)
	JE(LabelRef(label("end", rows)))
	Label(label("k", rows))
	for v := range t.vecs {
		VMOVUPS(Mem{Base: t.b, Disp: v * t.w.bytes()}, t.w.all[v])
	}
	for r := range rows {
		x := t.w.all[t.vecs+r%2]
		VBROADCASTSS(t.rowOfA(r), x)
		for v := range t.vecs {
			VFMADD231PS(t.w.all[v], x, t.acc(r, v))
		}
	}
	ADDQ(t.colA, t.a)
	ADDQ(t.ldb, t.b)
	DECQ(k)
	JNE(LabelRef(label("k", rows)))
	Label(label("end", rows))
	t.moveC(rows, "store", func(l tail, r, v int, m Mem) { l.store(t.acc(r, v), m) })
	VZEROUPPER()
	RET()
}

// moveC moves the tile between c and the accumulators: in whole vectors, or
// under masks if the tile has not all its columns.
func (t tile) moveC(rows int, what string, move func(l tail, r, v int, m Mem)) {
	full, done := label(what, "full", rows), label(what, "done", rows)
	cols, row := GP64(), GP64()
	Load(Param("cols"), cols)
	MOVQ(t.c, row)
	CMPQ(cols, U8(t.vecs*t.w.lanes))
	JEQ(LabelRef(full))
	masks := make([]tail, t.vecs)
	for v := range masks {
		masks[v] = t.clampedMask(cols, v)
	}
	each := func(masks []tail) {
		for r := range rows {
			for v := range t.vecs {
				move(masks[v], r, v, Mem{Base: row, Disp: v * t.w.bytes()})
			}
			if r < rows-1 {
				ADDQ(t.ldc, row)
			}
		}
	}
	each(masks)
	JMP(LabelRef(done))
	Label(full)
	for v := range masks {
		masks[v] = tail{w: t.w}
	}
	each(masks)
	Label(done)
}

// clampedMask makes the mask of vector v of the tile, in the registers that b
// has while k runs.
func (t tile) clampedMask(cols GPVirtual, v int) tail {
	n, zero, lanes := GP64(), GP64(), GP64()
	XORQ(zero, zero)
	MOVQ(U32(t.w.lanes), lanes)
	MOVQ(cols, n)
	SUBQ(U8(v*t.w.lanes), n)
	CMOVQLT(zero, n)
	CMPQ(n, lanes)
	CMOVQGT(lanes, n)
	if t.w.wide() {
		return t.w.firstLanes(n, []Op{K1, K2}[v])
	}
	return t.w.firstLanes(n, t.w.all[v])
}

// transpose8 emits the packing of 8 rows into columns: 8x8 blocks in ymm
// registers, which is as fast as zmm's 16x16 since half of the shuffling is
// done by the loads.
func transpose8() {
	TEXT("transpose8AVX2", NOSPLIT, "func(dst *float32, ldd int, src *float32, lds, blocks int)")
	Doc("transpose8AVX2 transposes 8 rows of 8*blocks columns.",
		"",
		"\tfor j := range 8 * blocks {",
		"\t\tfor i := range 8 {",
		"\t\t\tdst[j*ldd+i] = src[i*lds+j]",
		"\t\t}",
		"\t}")
	dst, ldd := Load(Param("dst"), GP64()).(GPVirtual), Load(Param("ldd"), GP64()).(GPVirtual)
	src, lds := Load(Param("src"), GP64()).(GPVirtual), Load(Param("lds"), GP64()).(GPVirtual)
	blocks := Load(Param("blocks"), GP64())
	SHLQ(U8(2), ldd)
	SHLQ(U8(2), lds)
	src4, lds3, ldd3, dst4 := GP64(), GP64(), GP64(), GP64()
	LEAQ(Mem{Base: lds, Index: lds, Scale: 2}, lds3)
	LEAQ(Mem{Base: ldd, Index: ldd, Scale: 2}, ldd3)
	quarter := func(base, ld, ld3 GPVirtual, r int) Mem {
		return []Mem{{Base: base}, {Base: base, Index: ld, Scale: 1}, {Base: base, Index: ld, Scale: 2}, {Base: base, Index: ld3, Scale: 1}}[r]
	}
	Label("block")
	LEAQ(Mem{Base: src, Index: lds, Scale: 4}, src4)
	LEAQ(Mem{Base: dst, Index: ldd, Scale: 4}, dst4)
	y := ymm.all
	for half := range 2 { // columns 4*half..4*half+3
		for r := range 4 { // y[r]: the four columns of rows r and r+4
			lo, hi := quarter(src, lds, lds3, r), quarter(src4, lds, lds3, r)
			lo.Disp, hi.Disp = 16*half, 16*half
			VMOVUPS(lo, y[r].AsX())
			VINSERTF128(U8(1), hi, y[r], y[r])
		}
		VUNPCKLPS(y[1], y[0], y[4])
		VUNPCKHPS(y[1], y[0], y[5])
		VUNPCKLPS(y[3], y[2], y[6])
		VUNPCKHPS(y[3], y[2], y[7])
		base := []GPVirtual{dst, dst4}[half]
		for c, from := range [][2]int{{4, 6}, {4, 6}, {5, 7}, {5, 7}} {
			VSHUFPS(U8([]uint8{0x44, 0xee}[c%2]), y[from[1]], y[from[0]], y[8+c])
			VMOVUPS(y[8+c], quarter(base, ldd, ldd3, c))
		}
	}
	ADDQ(U8(32), src)
	LEAQ(Mem{Base: dst, Index: ldd, Scale: 8}, dst)
	DECQ(blocks)
	JNE(LabelRef("block"))
	VZEROUPPER()
	RET()
}

// copyRows emits the packing of a panel that is contiguous already.
func copyRows() {
	TEXT("copyRowsAVX2", NOSPLIT, "func(dst *float32, ldd int, src *float32, lds, rows, vectors int)")
	Doc("copyRowsAVX2 copies rows of 8*vectors elements; rows and vectors are at least 1.",
		"",
		"\tfor i := range rows {",
		"\t\tcopy(dst[i*ldd:], src[i*lds:i*lds+8*vectors])",
		"\t}")
	dst, ldd := Load(Param("dst"), GP64()).(GPVirtual), Load(Param("ldd"), GP64()).(GPVirtual)
	src, lds := Load(Param("src"), GP64()).(GPVirtual), Load(Param("lds"), GP64()).(GPVirtual)
	rows, bytes := Load(Param("rows"), GP64()), Load(Param("vectors"), GP64())
	SHLQ(U8(2), ldd)
	SHLQ(U8(2), lds)
	SHLQ(U8(5), bytes)
	at := GP64()
	Label("row")
	XORQ(at, at)
	Label("vector")
	VMOVUPS(Mem{Base: src, Index: at, Scale: 1}, Y0)
	VMOVUPS(Y0, Mem{Base: dst, Index: at, Scale: 1})
	ADDQ(U8(32), at)
	CMPQ(at, bytes)
	JNE(LabelRef("vector"))
	ADDQ(lds, src)
	ADDQ(ldd, dst)
	DECQ(rows)
	JNE(LabelRef("row"))
	VZEROUPPER()
	RET()
}
