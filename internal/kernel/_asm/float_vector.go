package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// A width is one of the two sizes of vector that float kernels are written
// for. The generators are shared; what differs is here.
type width struct {
	suffix string // of function names: the level
	lanes  int    // float32 in a vector
	all    []VecPhysical
}

var (
	ymm = width{"AVX2", 8, []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}}
	zmm = width{"AVX512", 16, []VecPhysical{
		Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
		Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31}}
)

// bytes is the size of a vector.
func (w width) bytes() int { return 4 * w.lanes }

// wide says whether vectors are 512 bits, with masks in K registers.
func (w width) wide() bool { return w.lanes == 16 }

// new returns a fresh virtual vector register.
func (w width) new() VecVirtual {
	if w.wide() {
		return ZMM()
	}
	return YMM()
}

// zero clears v.
func (w width) zero(v Op) {
	if w.wide() {
		VPXORD(v, v, v)
		return
	}
	VXORPS(v, v, v)
}

// A tail says which lanes of a vector take part: all, or those of a mask.
type tail struct {
	w    width
	mask Op // nil for all lanes; a K register, or a vector register of AVX2
}

// load reads a vector from m; lanes that take no part become 0.
func (t tail) load(m Mem, v Op) {
	switch {
	case t.mask == nil:
		VMOVUPS(m, v)
	case t.w.wide():
		VMOVUPS_Z(m, t.mask, v)
	default:
		VMASKMOVPS(m, t.mask, v)
	}
}

// store writes the lanes that take part.
func (t tail) store(v Op, m Mem) {
	switch {
	case t.mask == nil:
		VMOVUPS(v, m)
	case t.w.wide():
		VMOVUPS(v, t.mask, m)
	default:
		VMASKMOVPS(v, t.mask, m)
	}
}

// keep clears the lanes of v that take no part.
func (t tail) keep(v Op) {
	switch {
	case t.mask == nil:
	case t.w.wide():
		VMOVAPS_Z(v, t.mask, v)
	default:
		VANDPS(t.mask, v, v)
	}
}

// laneMask is AVX2's table of masks: 16 words of ones, then 16 of zeros.
var laneMask Mem

// maskTable declares the table, once a file, for groups that use ymm tails.
func maskTable(group string) {
	laneMask = GLOBL(group+"_lanes", RODATA|NOPTR)
	for i := range 16 {
		DATA(8*i, U64(^uint64(0)*uint64(1-i/8)))
	}
}

// firstLanes makes a mask of the first n lanes, 0 <= n <= lanes. n is left as
// it is.
func (w width) firstLanes(n GPVirtual) tail {
	if w.wide() {
		mask := K()
		bits, ones := GP32(), GP32()
		MOVL(U32(0xffffffff), ones)
		MOVL(n.As32(), bits)
		BZHIL(bits, ones, ones)
		KMOVW(ones, mask)
		return tail{w, mask}
	}
	mask := YMM()
	at, table := GP64(), GP64()
	LEAQ(laneMask, table)
	MOVQ(n, at)
	NEGQ(at)
	VMOVUPS(Mem{Base: table, Index: at, Scale: 4, Disp: 64}, mask)
	return tail{w, mask}
}

// both emits a kernel at both widths.
func both(emit func(w width)) {
	for _, w := range []width{ymm, zmm} {
		emit(w)
	}
}

// label makes the name of a place in a function.
func label(parts ...any) string {
	s := "l"
	for _, p := range parts {
		s += fmt.Sprint("_", p)
	}
	return s
}

// function begins a kernel at one width. The lines after what it does are the
// loop in Go that it replaces.
func (w width) function(name, signature, does string, loop ...string) {
	TEXT(name+w.suffix, NOSPLIT, "func"+signature)
	lines := []string{name + w.suffix + " " + does, ""}
	for _, l := range loop {
		lines = append(lines, "\t"+l)
	}
	Doc(lines...)
}

// base loads the address of a slice that is a parameter.
func base(name string) GPVirtual { return Load(Param(name).Base(), GP64()).(GPVirtual) }

// length loads the length of a slice that is a parameter.
func length(name string) GPVirtual { return Load(Param(name).Len(), GP64()).(GPVirtual) }

// broadcast loads a parameter into all lanes.
func (w width) broadcast(name string) VecVirtual {
	v := w.new()
	VBROADCASTSS(address(Param(name)), v)
	return v
}

// address is where a parameter or a result lies. Load and Store would take
// instructions of SSE for floats: while the upper halves of registers are in
// use, one of those costs a hundred cycles on Intel's processors since Ice Lake.
func address(c gotypes.Component) Mem {
	at, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return at.Addr
}

// element addresses the vector at the present index of the loop.
type element func(base GPVirtual) Mem

// eachVector emits the loop over n elements, in vectors, with a last one that
// is cut off by a mask. n is used up.
func (w width) eachVector(name string, n GPVirtual, body func(t tail, at element)) {
	index := GP64()
	at := func(base GPVirtual) Mem { return Mem{Base: base, Index: index, Scale: 1} }
	XORQ(index, index)
	SUBQ(U8(w.lanes), n)
	JLT(LabelRef(label(name, "tail")))
	Label(label(name, "loop"))
	body(tail{w: w}, at)
	ADDQ(U8(w.bytes()), index)
	SUBQ(U8(w.lanes), n)
	JGE(LabelRef(label(name, "loop")))
	Label(label(name, "tail"))
	ADDQ(U8(w.lanes), n)
	JE(LabelRef(label(name, "done")))
	body(w.firstLanes(n), at)
	Label(label(name, "done"))
}

// value loads one vector of a slice into a fresh register.
func (t tail) value(m Mem) VecVirtual {
	v := t.w.new()
	t.load(m, v)
	return v
}

// fold reduces the lanes of v to lane 0 of the result: each step joins the
// upper half of the lanes to the lower.
func (w width) fold(v VecVirtual, op func(a, b, dst Op)) VecVirtual {
	x, y := XMM(), YMM()
	if w.wide() {
		VEXTRACTF64X4(U8(1), v, y)
		op(y, v.AsY(), y)
	} else {
		VMOVAPS(v, y)
	}
	VEXTRACTF128(U8(1), y, x)
	op(x, y.AsX(), x)
	half := XMM()
	VPERMILPS(U8(0x4e), x, half)
	op(half, x, x)
	VPERMILPS(U8(0xb1), x, half)
	op(half, x, x)
	return x
}

// result stores lane 0 of v as the function's only result, a float32, and
// returns.
func result(v VecVirtual) {
	VMOVSS(v.AsX(), address(ReturnIndex(0)))
	end()
}

// result64 is result for a float64.
func result64(v VecVirtual) {
	VMOVSD(v.AsX(), address(ReturnIndex(0)))
	end()
}

// end returns from a kernel.
func end() {
	VZEROUPPER()
	RET()
}
