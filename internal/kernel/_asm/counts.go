package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() {
	groups["counts"] = func() { both(minMaxKeys) }
}

func minMaxKeys(w width) {
	TEXT("minMaxKeys"+w.suffix, NOSPLIT, "func(x *float32, n int) (lo, hi int32)")
	Doc("minMaxKeys"+w.suffix+" returns the least and the largest key.",
		"",
		"\tfor i := range n {",
		"\t\tlo, hi = min(lo, orderKey(x[i])), max(hi, orderKey(x[i]))",
		"\t}")
	e := newElementwise(w, []string{"x"}, 4)
	least, largest, keys, signs := w.all[0:4], w.all[4:8], w.all[8:12], w.all[12:16]
	for v := range e.vectors() {
		splat(0x7fffffff, least[v])
		splat(0x80000000, largest[v])
	}
	e.each(func(v int) {
		w.loadInts(e.at(0, v), keys[v])
		VPSRAD(U8(31), keys[v], signs[v])
		VPSRLD(U8(1), signs[v], signs[v])
		w.xor(signs[v], keys[v], keys[v])
		VPMINSD(keys[v], least[v], least[v])
		VPMAXSD(keys[v], largest[v], largest[v])
	})
	for i, v := range [][]VecPhysical{least, largest} {
		v = v[:e.vectors()]
		result := GP32()
		w.foldInts(v, []func(ops ...Op){VPMINSD, VPMAXSD}[i])
		VMOVD(v[0].AsX(), result)
		Store(result, ReturnIndex(i))
	}
	e.end()
}

// xor works on whole vectors of either width.
func (w width) xor(a, b, dst Op) {
	if w.wide() {
		VPXORD(a, b, dst)
		return
	}
	VPXOR(a, b, dst)
}

// foldInts leaves the fold of all lanes of all vectors in the first lane of the
// first. It uses the others.
func (w width) foldInts(v []VecPhysical, op func(ops ...Op)) {
	for _, other := range v[1:] {
		op(other, v[0], v[0])
	}
	if w.wide() {
		VEXTRACTI64X4(U8(1), v[0], v[1].AsY())
		op(v[1].AsY(), v[0].AsY(), v[0].AsY())
	}
	VEXTRACTI128(U8(1), v[0].AsY(), v[1].AsX())
	op(v[1].AsX(), v[0].AsX(), v[0].AsX())
	for _, order := range []uint8{0x4e, 0xb1} {
		VPSHUFD(U8(order), v[0].AsX(), v[1].AsX())
		op(v[1].AsX(), v[0].AsX(), v[0].AsX())
	}
}
