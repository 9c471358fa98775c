package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() {
	groups["int_quantize"] = func() {
		for _, w := range []width{ymm, zmm} {
			absMax(w)
			absMaxScaled(w)
			addAbsLanes(w)
			quantize8(w)
			quantize16(w)
			quantizeColumns16(w)
			dequantize8(w)
			blend8(w)
			scaleTile(w)
			addScaledSums(w)
			foldTile(w)
		}
		prefetch()
		encodeHalf()
		decodeHalf()
	}
}

// groupLanes elements are one turn of an elementwise loop at every width.
const groupLanes = 32

// An elementwise is a loop over n elements, a positive multiple of 32, with
// one pointer for each slice.
type elementwise struct {
	w    width
	n    GPVirtual
	ptr  []GPVirtual
	size []int
}

// newElementwise loads the pointers of the named slices, whose elements have
// the given sizes in bytes, and n.
func newElementwise(w width, slices []string, sizes ...int) elementwise {
	e := elementwise{w: w, n: Load(Param("n"), GP64()).(GPVirtual), size: sizes}
	for _, name := range slices {
		e.ptr = append(e.ptr, Load(Param(name), GP64()).(GPVirtual))
	}
	return e
}

// at addresses vector v of slice i in this turn.
func (e elementwise) at(i, v int) Mem {
	return Mem{Base: e.ptr[i], Disp: v * e.w.lanes * e.size[i]}
}

// vectors returns the number of vectors of a turn.
func (e elementwise) vectors() int { return groupLanes / e.w.lanes }

// each emits the loop.
func (e elementwise) each(body func(v int)) {
	Label("loop")
	for v := range e.vectors() {
		body(v)
	}
	for i, p := range e.ptr {
		SUBQ(I8(-groupLanes*e.size[i]), p)
	}
	SUBQ(U8(groupLanes), e.n)
	JNE(LabelRef("loop"))
}

func (e elementwise) end() {
	VZEROUPPER()
	RET()
}

// broadcastTo loads a float32 parameter into all lanes.
func (w width) broadcastTo(param string, v VecPhysical) VecPhysical {
	VBROADCASTSS(address(Param(param)), v)
	return v
}

// absMask fills a register with all bits but the sign.
func absMask(v VecPhysical) VecPhysical {
	splat(0x7fffffff, v)
	return v
}

func absMax(w width) {
	TEXT("absMax"+w.suffix, NOSPLIT, "func(x *float32, n int) (amax float32)")
	Doc("absMax"+w.suffix+" returns the largest |x[i]|. It compares bits, so that a NaN is above all.",
		"",
		"\tfor i := range n {",
		"\t\tamax = max(amax, abs(x[i]))",
		"\t}")
	e := newElementwise(w, []string{"x"}, 4)
	mask := absMask(w.all[8])
	for v := range e.vectors() {
		w.zero(w.all[v])
	}
	e.each(func(v int) {
		w.and(e.at(0, v), mask, w.all[4+v])
		VPMAXUD(w.all[4+v], w.all[v], w.all[v])
	})
	for v := 1; v < e.vectors(); v++ {
		VPMAXUD(w.all[v], w.all[0], w.all[0])
	}
	if w.wide() {
		VEXTRACTI64X4(U8(1), Z0, Y1)
		VPMAXUD(Y1, Y0, Y0)
	}
	VEXTRACTI128(U8(1), Y0, X1)
	VPMAXUD(X1, X0, X0)
	for _, order := range []uint8{0x4e, 0xb1} {
		VPSHUFD(U8(order), X0, X1)
		VPMAXUD(X1, X0, X0)
	}
	VZEROUPPER()
	VMOVSS(X0, address(ReturnIndex(0)))
	RET()
}

func absMaxScaled(w width) {
	TEXT("absMaxScaled"+w.suffix, NOSPLIT, "func(amax, x *float32, scale float32, n int)")
	Doc("absMaxScaled"+w.suffix+" keeps the largest of each column; a NaN stays.",
		"",
		"\tfor i := range n {",
		"\t\tamax[i] = max(amax[i], abs(x[i]*scale))",
		"\t}")
	e := newElementwise(w, []string{"amax", "x"}, 4, 4)
	mask, scale := absMask(w.all[8]), w.broadcastTo("scale", w.all[9])
	e.each(func(v int) {
		x := w.all[v]
		VMULPS(e.at(1, v), scale, x)
		w.and(x, mask, x)
		VPMAXUD(e.at(0, v), x, x)
		w.storeInts(x, e.at(0, v))
	})
	e.end()
}

func addAbsLanes(w width) {
	TEXT("addAbsLanes"+w.suffix, NOSPLIT, "func(lanes, x *float32, n int)")
	Doc("addAbsLanes"+w.suffix+" adds magnitudes to 32 lanes.",
		"",
		"\tfor i := range n {",
		"\t\tlanes[i%32] += abs(x[i])",
		"\t}")
	e := newElementwise(w, []string{"x"}, 4)
	lanes := Load(Param("lanes"), GP64())
	mask := absMask(w.all[8])
	for v := range e.vectors() {
		VMOVUPS(Mem{Base: lanes, Disp: v * w.bytes()}, w.all[v])
	}
	e.each(func(v int) {
		w.and(e.at(0, v), mask, w.all[4+v])
		VADDPS(w.all[4+v], w.all[v], w.all[v])
	})
	for v := range e.vectors() {
		VMOVUPS(w.all[v], Mem{Base: lanes, Disp: v * w.bytes()})
	}
	e.end()
}

// clampRound makes codes of x: within [lo, hi], half to even, NaN to 0.
func (w width) clampRound(x, lo, hi, spare VecPhysical) {
	const ordered = 7
	if w.wide() {
		VCMPPS(U8(ordered), x, x, K1)
		VMAXPS_Z(lo, x, K1, x)
	} else {
		VCMPPS(U8(ordered), x, x, spare)
		VMAXPS(lo, x, x)
		VANDPS(spare, x, x)
	}
	VMINPS(hi, x, x)
	VCVTPS2DQ(x, x)
}

func quantize8(w width) {
	TEXT("quantize8"+w.suffix, NOSPLIT, "func(codes *int8, x *float32, inv, lo, hi float32, n int)")
	Doc("quantize8"+w.suffix+" makes 8-bit codes; NaN gives 0.",
		"",
		"\tfor i := range n {",
		"\t\tcodes[i] = round(min(max(x[i]*inv, lo), hi))",
		"\t}")
	e := newElementwise(w, []string{"codes", "x"}, 1, 4)
	inv, lo, hi := w.broadcastTo("inv", w.all[8]), w.broadcastTo("lo", w.all[9]), w.broadcastTo("hi", w.all[10])
	order := w.all[11]
	if !w.wide() {
		splatOrder(order)
	}
	e.each(func(v int) {
		x := w.all[v]
		VMULPS(e.at(1, v), inv, x)
		w.clampRound(x, lo, hi, w.all[4+v])
		switch {
		case w.wide():
			VPMOVSDB(x, e.at(0, v))
		case v == 3:
			VPACKSSDW(w.all[1], w.all[0], w.all[0])
			VPACKSSDW(w.all[3], w.all[2], w.all[2])
			VPACKSSWB(w.all[2], w.all[0], w.all[0])
			VPERMD(w.all[0], order, w.all[0])
			w.storeInts(w.all[0], e.at(0, 0))
		}
	})
	e.end()
}

// splatOrder loads the order of 32-bit words that undoes what packing twice
// within 128-bit lanes does: 0, 4, 1, 5, 2, 6, 3, 7.
func splatOrder(v VecPhysical) {
	bits := GP64()
	MOVQ(U64(0x0703060205010400), bits)
	VMOVQ(bits, v.AsX())
	VPMOVZXBD(v.AsX(), v)
}

// storeWords packs the codes of vectors v-1 and v, or of v alone if wide, and
// stores them.
func (e elementwise) storeWords(v int) {
	x := e.w.all[v]
	switch {
	case e.w.wide():
		VPMOVSDW(x, e.at(0, v))
	case v%2 == 1:
		VPACKSSDW(x, e.w.all[v-1], x)
		VPERMQ(U8(0xd8), x, x)
		e.w.storeInts(x, e.at(0, v-1))
	}
}

// limits16 loads the limits of 16-bit codes, -32767 and 32767.
func limits16(lo, hi VecPhysical) {
	splat(0xc6fffe00, lo)
	splat(0x46fffe00, hi)
}

func quantize16(w width) {
	TEXT("quantize16"+w.suffix, NOSPLIT, "func(codes *int16, x *float32, inv float32, n int)")
	Doc("quantize16"+w.suffix+" makes 16-bit codes; NaN gives 0.",
		"",
		"\tfor i := range n {",
		"\t\tcodes[i] = round(min(max(x[i]*inv, -32767), 32767))",
		"\t}")
	e := newElementwise(w, []string{"codes", "x"}, 2, 4)
	inv, lo, hi := w.broadcastTo("inv", w.all[8]), w.all[9], w.all[10]
	limits16(lo, hi)
	e.each(func(v int) {
		VMULPS(e.at(1, v), inv, w.all[v])
		w.clampRound(w.all[v], lo, hi, w.all[4+v])
		e.storeWords(v)
	})
	e.end()
}

func quantizeColumns16(w width) {
	TEXT("quantizeColumns16"+w.suffix, NOSPLIT, "func(codes *int16, x, inv *float32, scale float32, n int)")
	Doc("quantizeColumns16"+w.suffix+" makes 16-bit codes; NaN gives 0.",
		"",
		"\tfor i := range n {",
		"\t\tcodes[i] = round(min(max((x[i]*scale)*inv[i], -32767), 32767))",
		"\t}")
	e := newElementwise(w, []string{"codes", "x", "inv"}, 2, 4, 4)
	scale, lo, hi := w.broadcastTo("scale", w.all[8]), w.all[9], w.all[10]
	limits16(lo, hi)
	e.each(func(v int) {
		VMULPS(e.at(1, v), scale, w.all[v])
		VMULPS(e.at(2, v), w.all[v], w.all[v])
		w.clampRound(w.all[v], lo, hi, w.all[4+v])
		e.storeWords(v)
	})
	e.end()
}

func dequantize8(w width) {
	TEXT("dequantize8"+w.suffix, NOSPLIT, "func(x *float32, codes *int8, scale float32, n int)")
	Doc("dequantize8"+w.suffix+" makes floats of codes.",
		"",
		"\tfor i := range n {",
		"\t\tx[i] = float32(codes[i]) * scale",
		"\t}")
	e := newElementwise(w, []string{"x", "codes"}, 4, 1)
	scale := w.broadcastTo("scale", w.all[8])
	e.each(func(v int) {
		x := w.all[v]
		VPMOVSXBD(e.at(1, v), x)
		VCVTDQ2PS(x, x)
		VMULPS(scale, x, x)
		VMOVUPS(x, e.at(0, v))
	})
	e.end()
}

func blend8(w width) {
	TEXT("blend8"+w.suffix, NOSPLIT, "func(y, x *float32, codes *int8, scale, lambda float32, n int)")
	Doc("blend8"+w.suffix+" moves floats towards those of codes; no product is fused with a sum.",
		"",
		"\tfor i := range n {",
		"\t\ty[i] = x[i] + lambda*(float32(codes[i])*scale-x[i])",
		"\t}")
	e := newElementwise(w, []string{"y", "x", "codes"}, 4, 4, 1)
	scale, lambda := w.broadcastTo("scale", w.all[8]), w.broadcastTo("lambda", w.all[9])
	e.each(func(v int) {
		x, q := w.all[v], w.all[4+v]
		VMOVUPS(e.at(1, v), x)
		VPMOVSXBD(e.at(2, v), q)
		VCVTDQ2PS(q, q)
		VMULPS(scale, q, q)
		VSUBPS(x, q, q)
		VMULPS(lambda, q, q)
		VADDPS(q, x, x)
		VMOVUPS(x, e.at(0, v))
	})
	e.end()
}

// A sumsTile is a loop over the rows of a tile of sums and, inside, over n of
// their columns, a positive multiple of 32.
type sumsTile struct {
	w       width
	y, sums GPVirtual // of the present row
	at      GPVirtual // bytes from the beginning of the row
}

// newSumsTile loads the parameters y and sums.
func newSumsTile(w width) sumsTile {
	return sumsTile{w, Load(Param("y"), GP64()).(GPVirtual), Load(Param("sums"), GP64()).(GPVirtual), GP64()}
}

// float and sum address vector v of this turn.
func (t sumsTile) float(v int) Mem { return t.vector(t.y, v) }
func (t sumsTile) sum(v int) Mem   { return t.vector(t.sums, v) }

func (t sumsTile) vector(base GPVirtual, v int) Mem {
	return Mem{Base: base, Index: t.at, Scale: 1, Disp: v * t.w.bytes()}
}

// each emits the loops. perRow gets the bytes from the first of an array with
// a number a row.
func (t sumsTile) each(perRow func(row GPVirtual), body func(v int)) {
	ldy, rows := Load(Param("ldy"), GP64()), Load(Param("rows"), GP64())
	n := Load(Param("n"), GP64())
	SHLQ(U8(2), ldy)
	SHLQ(U8(2), n)
	row := GP64()
	XORQ(row, row)
	Label("row")
	perRow(row)
	XORQ(t.at, t.at)
	Label("loop")
	for v := range groupLanes / t.w.lanes {
		body(v)
	}
	SUBQ(I8(-4*groupLanes), t.at)
	CMPQ(t.at, n)
	JNE(LabelRef("loop"))
	ADDQ(ldy, t.y)
	ADDQ(U32(sumStride), t.sums)
	ADDQ(U8(4), row)
	DECQ(rows)
	JNE(LabelRef("row"))
	end()
}

func scaleTile(w width) {
	TEXT("scaleTile"+w.suffix, NOSPLIT, "func(y *float32, ldy int, sums, offsets *int32, scales *float32, rows, n int)")
	Doc("scaleTile"+w.suffix+" makes floats of a tile of integer sums.",
		"",
		"\tfor r := range rows {",
		"\t\tfor i := range n {",
		"\t\t\ty[r*ldy+i] = float32(sums[r*256+i]-offsets[r]) * scales[r]",
		"\t\t}",
		"\t}")
	t := newSumsTile(w)
	offsets, scales := Load(Param("offsets"), GP64()), Load(Param("scales"), GP64())
	scale, offset := w.all[8], w.all[9]
	t.each(func(row GPVirtual) {
		VBROADCASTSS(Mem{Base: scales, Index: row, Scale: 1}, scale)
		VPBROADCASTD(Mem{Base: offsets, Index: row, Scale: 1}, offset)
	}, func(v int) {
		x := w.all[v]
		w.loadInts(t.sum(v), x)
		VPSUBD(offset, x, x)
		VCVTDQ2PS(x, x)
		VMULPS(scale, x, x)
		VMOVUPS(x, t.float(v))
	})
}

func addScaledSums(w width) {
	TEXT("addScaledSums"+w.suffix, NOSPLIT, "func(y *float32, sums *int32, scale float32, n int)")
	Doc("addScaledSums"+w.suffix+" adds integer sums, scaled.",
		"",
		"\tfor i := range n {",
		"\t\ty[i] += float32(float32(sums[i]) * scale)",
		"\t}")
	e := newElementwise(w, []string{"y", "sums"}, 4, 4)
	scale := w.broadcastTo("scale", w.all[8])
	e.each(func(v int) {
		x := w.all[v]
		VCVTDQ2PS(e.at(1, v), x)
		VMULPS(scale, x, x)
		VADDPS(e.at(0, v), x, x)
		VMOVUPS(x, e.at(0, v))
	})
	e.end()
}

func foldTile(w width) {
	TEXT("foldTile"+w.suffix, NOSPLIT, "func(y *float32, ldy int, sums *int32, scales *float32, rows, n int)")
	Doc("foldTile"+w.suffix+" adds a tile of integer sums, then scales.",
		"",
		"\tfor r := range rows {",
		"\t\tfor i := range n {",
		"\t\t\ty[r*ldy+i] = (y[r*ldy+i] + float32(sums[r*256+i])) * scales[r]",
		"\t\t}",
		"\t}")
	t := newSumsTile(w)
	scales, scale := Load(Param("scales"), GP64()), w.all[8]
	t.each(func(row GPVirtual) {
		VBROADCASTSS(Mem{Base: scales, Index: row, Scale: 1}, scale)
	}, func(v int) {
		x := w.all[v]
		VCVTDQ2PS(t.sum(v), x)
		VADDPS(t.float(v), x, x)
		VMULPS(scale, x, x)
		VMOVUPS(x, t.float(v))
	})
}

func encodeHalf() {
	TEXT("encodeHalfAVX2", NOSPLIT, "func(dst *uint16, src *float32, n int)")
	Doc("encodeHalfAVX2 rounds to binary16, half to even.",
		"",
		"\tfor i := range n {",
		"\t\tdst[i] = float16Bits(src[i])",
		"\t}")
	e := newElementwise(ymm, []string{"dst", "src"}, 2, 4)
	e.each(func(v int) {
		VMOVUPS(e.at(1, v), ymm.all[v])
		VCVTPS2PH(U8(0), ymm.all[v], e.at(0, v))
	})
	e.end()
}

func decodeHalf() {
	TEXT("decodeHalfAVX2", NOSPLIT, "func(dst *float32, src *uint16, n int)")
	Doc("decodeHalfAVX2 widens binary16 numbers.",
		"",
		"\tfor i := range n {",
		"\t\tdst[i] = float16Value(src[i])",
		"\t}")
	e := newElementwise(ymm, []string{"dst", "src"}, 4, 2)
	e.each(func(v int) {
		VCVTPH2PS(e.at(1, v), ymm.all[v])
		VMOVUPS(ymm.all[v], e.at(0, v))
	})
	e.end()
}

// prefetch emits hints, which cannot fail.
func prefetch() {
	TEXT("prefetchAVX2", NOSPLIT, "func(x *float32, ld, rows, n int)")
	Doc("prefetchAVX2 asks for the memory of n columns of rows that are ld apart, both positive.",
		"",
		"\tfor r := range rows {",
		"\t\tfor i := 0; i < n; i += 16 {",
		"\t\t\tbring the cache line of x[r*ld+i] into the first-level cache",
		"\t\t}",
		"\t}")
	x, ld := Load(Param("x"), GP64()), Load(Param("ld"), GP64())
	rows, n := Load(Param("rows"), GP64()), Load(Param("n"), GP64())
	SHLQ(U8(2), ld)
	SHLQ(U8(2), n)
	i := GP64()
	Label("row")
	XORQ(i, i)
	Label("line")
	PREFETCHT0(Mem{Base: x, Index: i, Scale: 1})
	ADDQ(U8(64), i)
	CMPQ(i, n)
	JLT(LabelRef("line"))
	ADDQ(ld, x)
	DECQ(rows)
	JNE(LabelRef("row"))
	RET()
}
