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
		rowTimesColumns()
	}
}

// gemmTile emits the micro-kernel: it goes down a column of tiles of rows by
// vecs vectors, the last of fewer rows. A tile stays in registers while k runs.
// There is one loop for each number of rows.
func gemmTile(w width, rows, vecs int) {
	cols := vecs * w.lanes
	TEXT(fmt.Sprintf("gemmTile%dx%d%s", rows, cols, w.suffix), NOSPLIT,
		"func(c *float32, ldc int, a *float32, rowA, colA int, b *float32, ldb int, m, n, k int, add bool)")
	Doc(fmt.Sprintf("gemmTile%dx%d%s multiplies a column of tiles: m >= 1, 1 <= n <= %d. It reads all %d columns of b.",
		rows, cols, w.suffix, cols, cols),
		"",
		"\tfor i := range m {",
		"\t\tfor j := range n {",
		"\t\t\tsum := 0, or c[i*ldc+j] if add",
		"\t\t\tfor p := range k {",
		"\t\t\t\tsum = FMA(a[i*rowA+p*colA], b[p*ldb+j], sum)",
		"\t\t\t}",
		"\t\t\tc[i*ldc+j] = sum",
		"\t\t}",
		"\t}")
	t := tile{w: w, vecs: vecs}
	t.c, t.ldc = Load(Param("c"), GP64()).(GPVirtual), stride("ldc")
	t.a, t.rows = Load(Param("a"), GP64()).(GPVirtual), newRows("rowA")
	if w.wide() {
		t.masksOfC()
	}
	left := Load(Param("m"), GP64())
	SUBQ(U8(rows), left)
	JLT(LabelRef("last"))
	Label("next")
	t.prefetchNext(rows)
	t.emit(rows)
	// From the end of the tile's first row of a to the start of the next's.
	k, colA := Load(Param("k"), GP64()), stride("colA")
	IMULQ(k, colA)
	SUBQ(colA, t.a)
	if rows == 8 {
		LEAQ(Mem{Base: t.a, Index: t.ld, Scale: 8}, t.a)
	} else {
		LEAQ(Mem{Base: t.a, Index: t.ld3, Scale: 2}, t.a)
	}
	ADDQ(t.ldc, t.c)
	SUBQ(U8(rows), left)
	JGE(LabelRef("next"))
	Label("last")
	ADDQ(U8(rows), left)
	JE(LabelRef("done"))
	for r := rows - 1; r > 1; r-- {
		CMPQ(left, U8(r))
		JEQ(LabelRef(label("rows", r)))
	}
	for r := 1; r < rows; r++ {
		Label(label("rows", r))
		t.emit(r)
		if r < rows-1 {
			JMP(LabelRef("done"))
		}
	}
	Label("done")
	end()
}

// tile holds the registers of gemmTile that live from tile to tile. In the
// vector registers come first vecs of b, then two of a, then, from the top
// down, the accumulators.
type tile struct {
	w      width
	vecs   int
	c, ldc GPVirtual
	a      GPVirtual
	rows
}

// rows addresses up to 8 rows of a matrix from one pointer.
type rows struct{ ld, ld3, ld5, ld7 GPVirtual }

func newRows(ld string) rows {
	r := rows{stride(ld), GP64(), GP64(), GP64()}
	LEAQ(Mem{Base: r.ld, Index: r.ld, Scale: 2}, r.ld3)
	LEAQ(Mem{Base: r.ld, Index: r.ld, Scale: 4}, r.ld5)
	LEAQ(Mem{Base: r.ld3, Index: r.ld, Scale: 4}, r.ld7)
	return r
}

// at addresses row i of the matrix at base, disp bytes from its start.
func (r rows) at(base GPVirtual, i, disp int) Mem {
	return []Mem{
		{Base: base, Disp: disp},
		{Base: base, Disp: disp, Index: r.ld, Scale: 1},
		{Base: base, Disp: disp, Index: r.ld, Scale: 2},
		{Base: base, Disp: disp, Index: r.ld3, Scale: 1},
		{Base: base, Disp: disp, Index: r.ld, Scale: 4},
		{Base: base, Disp: disp, Index: r.ld5, Scale: 1},
		{Base: base, Disp: disp, Index: r.ld3, Scale: 2},
		{Base: base, Disp: disp, Index: r.ld7, Scale: 1},
	}[i]
}

// stride loads the distance of two elements, in bytes.
func stride(name string) GPVirtual {
	s := Load(Param(name), GP64()).(GPVirtual)
	SHLQ(U8(2), s)
	return s
}

func (t tile) acc(row, vec int) VecPhysical {
	return t.w.all[len(t.w.all)-1-row*t.vecs-vec]
}

// emit computes one tile. It leaves a at the end of the first row and c at the
// last row.
func (t tile) emit(rows int) {
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
	first := GP64()
	MOVQ(t.c, first)
	t.moveC(rows, "load", func(l tail, r, v int, m Mem) { l.load(m, t.acc(r, v)) })
	MOVQ(first, t.c)

	Label(label("start", rows))
	b, ldb, colA := Load(Param("b"), GP64()).(GPVirtual), stride("ldb"), stride("colA")
	k := Load(Param("k"), GP64())
	TESTQ(k, k)
	JE(LabelRef(label("end", rows)))
	Label(label("k", rows))
	for v := range t.vecs {
		VMOVUPS(Mem{Base: b, Disp: v * t.w.bytes()}, t.w.all[v])
	}
	for r := range rows {
		x := t.w.all[t.vecs+r%2]
		VBROADCASTSS(t.at(t.a, r, 0), x)
		for v := range t.vecs {
			VFMADD231PS(t.w.all[v], x, t.acc(r, v))
		}
	}
	ADDQ(colA, t.a)
	ADDQ(ldb, b)
	DECQ(k)
	JNE(LabelRef(label("k", rows)))
	Label(label("end", rows))
	t.moveC(rows, "store", func(l tail, r, v int, m Mem) { l.store(t.acc(r, v), m) })
}

// prefetchNext asks for the tile of c below: while this one is computed it
// comes from memory. Beyond the last tile it asks in vain, which does no harm.
func (t tile) prefetchNext(rows int) {
	below := GP64()
	IMUL3Q(U8(rows), t.ldc, below)
	ADDQ(t.c, below)
	for range rows {
		for line := 0; line < t.vecs*t.w.bytes(); line += 64 {
			PREFETCHT0(Mem{Base: below, Disp: line})
		}
		ADDQ(t.ldc, below)
	}
}

// moveC moves the tile between c and the accumulators: in whole vectors, or
// under masks if the tile has not all its columns.
func (t tile) moveC(rows int, what string, move func(l tail, r, v int, m Mem)) {
	full, done := label(what, "full", rows), label(what, "done", rows)
	n := Load(Param("n"), GP64())
	CMPQ(n, U8(t.vecs*t.w.lanes))
	JEQ(LabelRef(full))
	each := func(masks []tail) {
		for r := range rows {
			for v := range t.vecs {
				move(masks[v], r, v, Mem{Base: t.c, Disp: v * t.w.bytes()})
			}
			if r < rows-1 {
				ADDQ(t.ldc, t.c)
			}
		}
	}
	if t.w.wide() {
		each([]tail{{t.w, K1}, {t.w, K2}})
	} else {
		each(t.masksOfC())
	}
	JMP(LabelRef(done))
	Label(full)
	each([]tail{{w: t.w}, {w: t.w}})
	Label(done)
}

// masksOfC makes the masks of a tile's vectors from n: in K registers, where
// they stay, or in those that b has while k runs.
func (t tile) masksOfC() []tail {
	n := Load(Param("n"), GP64()).(GPVirtual)
	if t.w.wide() {
		ones := GP64()
		MOVQ(I32(-1), ones)
		BZHIQ(n, ones, ones)
		KMOVW(ones.As32(), K1)
		SHRQ(U8(16), ones)
		KMOVW(ones.As32(), K2)
		return nil
	}
	table, masks := GP64(), make([]tail, t.vecs)
	LEAQ(laneMask, table)
	NEGQ(n)
	for v := range masks {
		// From 16-n on the table has n words of ones before its zeros.
		VMOVUPS(Mem{Base: table, Index: n, Scale: 4, Disp: 64 + 32*v}, t.w.all[v])
		masks[v] = tail{t.w, t.w.all[v]}
	}
	return masks
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
	dst, to := Load(Param("dst"), GP64()).(GPVirtual), newRows("ldd")
	src, from := Load(Param("src"), GP64()).(GPVirtual), newRows("lds")
	blocks := Load(Param("blocks"), GP64())
	Label("block")
	for half := range 2 {
		for c, column := range fourColumns(src, from, half) {
			VMOVUPS(column, to.at(dst, 4*half+c, 0))
		}
	}
	ADDQ(U8(32), src)
	LEAQ(Mem{Base: dst, Index: to.ld, Scale: 8}, dst)
	DECQ(blocks)
	JNE(LabelRef("block"))
	end()
}

// fourColumns loads columns 4*half to 4*half+3 of 8 rows, each column into one
// register. It uses Y0 to Y7.
func fourColumns(src GPVirtual, from rows, half int) []VecPhysical {
	y := ymm.all
	for r := range 4 { // y[r]: the four columns of rows r and r+4
		VMOVUPS(from.at(src, r, 16*half), y[r].AsX())
		VINSERTF128(U8(1), from.at(src, r+4, 16*half), y[r], y[r])
	}
	VUNPCKLPS(y[1], y[0], y[4])
	VUNPCKHPS(y[1], y[0], y[5])
	VUNPCKLPS(y[3], y[2], y[6])
	VUNPCKHPS(y[3], y[2], y[7])
	for c, from := range [][2]int{{4, 6}, {4, 6}, {5, 7}, {5, 7}} {
		VSHUFPS(U8([]uint8{0x44, 0xee}[c%2]), y[from[1]], y[from[0]], y[c])
	}
	return y[:4]
}

// rowTimesColumns emits the product of one row with 32 columns that lie as
// rows in memory, as in decoding: they are transposed in registers, since each
// is used only once.
func rowTimesColumns() {
	TEXT("rowTimesColumnsAVX2", NOSPLIT, "func(c, a, b *float32, ldb, blocks int, add bool)")
	Doc("rowTimesColumnsAVX2 multiplies a row of 8*blocks elements with 32 columns.",
		"",
		"\tfor j := range 32 {",
		"\t\tsum := 0, or c[j] if add",
		"\t\tfor p := range 8 * blocks {",
		"\t\t\tsum = FMA(a[p], b[j*ldb+p], sum)",
		"\t\t}",
		"\t\tc[j] = sum",
		"\t}")
	c, a := Load(Param("c"), GP64()).(GPVirtual), Load(Param("a"), GP64()).(GPVirtual)
	from := newRows("ldb")
	sums, factors := ymm.all[8:12], ymm.all[12:16]
	var b [4]GPVirtual // each 8 columns
	for g := range b {
		b[g] = GP64()
		if g == 0 {
			Load(Param("b"), b[0])
		} else {
			LEAQ(Mem{Base: b[g-1], Index: from.ld, Scale: 8}, b[g])
		}
		ymm.zero(sums[g])
	}
	add := GP8()
	Load(Param("add"), add)
	TESTB(add, add)
	JE(LabelRef("start"))
	for g, sum := range sums {
		VMOVUPS(Mem{Base: c, Disp: 32 * g}, sum)
	}
	Label("start")
	blocks := Load(Param("blocks"), GP64())
	Label("block")
	for half := range 2 {
		for p, factor := range factors {
			VBROADCASTSS(Mem{Base: a, Disp: 16*half + 4*p}, factor)
		}
		for g, sum := range sums {
			for p, column := range fourColumns(b[g], from, half) {
				VFMADD231PS(column, factors[p], sum)
			}
		}
	}
	for _, pointer := range append(b[:], a) {
		ADDQ(U8(32), pointer)
	}
	DECQ(blocks)
	JNE(LabelRef("block"))
	for g, sum := range sums {
		VMOVUPS(sum, Mem{Base: c, Disp: 32 * g})
	}
	end()
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
