package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() {
	groups["float_exp"] = func() {
		maskTable("float_exp")
		e := exponential{table: map[float32]Mem{}}
		for _, emit := range []func(w width, e exponential){expSum, sumExp, siluGate, siluGateGrad, softmaxRows, softmaxGradRows} {
			both(func(w width) { emit(w, e) })
		}
	}
}

// exponential emits exp(x) after Cephes' expf: x = n*ln(2) + r, a polynomial
// for exp(r) on |r| <= ln(2)/2, times 2^n. Its relative error is below 2^-22.
type exponential struct {
	table map[float32]Mem // constants, each as often as a vector has lanes
}

// constant returns a vector of c's in memory.
func (e exponential) constant(c float32) Mem {
	if m, ok := e.table[c]; ok {
		return m
	}
	bits := math.Float32bits(c)
	m := GLOBL(label("float_exp", len(e.table)), RODATA|NOPTR)
	for i := range 8 {
		DATA(8*i, U64(uint64(bits)<<32|uint64(bits)))
	}
	e.table[c] = m
	return m
}

// of replaces x by exp(x).
func (e exponential) of(w width, x VecVirtual) {
	low, log2e := float32(-87.33654), float32(math.Log2E)
	if w.wide() {
		low = -104
	}
	bound, n, p := w.new(), w.new(), w.new()
	// MINPS and MAXPS return their second source, the first operand here,
	// when one of them is NaN.
	VMOVUPS(e.constant(89), bound)
	VMINPS(x, bound, p)
	VMOVUPS(e.constant(low), bound)
	VMAXPS(p, bound, p)
	inside := w.new()
	if !w.wide() {
		VCMPPS(U8(5), bound, x, inside) // not below the bound
	}
	VMULPS(e.constant(log2e), p, n)
	if w.wide() {
		VRNDSCALEPS(U8(8), n, n)
	} else {
		VROUNDPS(U8(8), n, n)
	}
	VMOVAPS(p, x)
	VFNMADD231PS(e.constant(0.693359375), n, x)
	VFNMADD231PS(e.constant(-2.12194440e-4), n, x)
	VMOVUPS(e.constant(1.9875691500e-4), p)
	for _, c := range []float32{1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1} {
		VFMADD213PS(e.constant(c), x, p)
	}
	if w.wide() {
		VSCALEFPS(n, p, x)
		return
	}
	VADDPS(e.constant(127), n, n)
	VCVTPS2DQ(n, n)
	VPSLLD(U8(23), n, n)
	VMULPS(n, p, x)
	VANDPS(inside, x, x)
}

// sigmoid returns 1/(1+exp(-x)).
func (e exponential) sigmoid(w width, x VecVirtual) VecVirtual {
	s, one := w.new(), w.new()
	w.zero(s)
	VSUBPS(x, s, s)
	e.of(w, s)
	VMOVUPS(e.constant(1), one)
	VADDPS(one, s, s)
	VDIVPS(s, one, s)
	return s
}

func expSum(w width, e exponential) {
	w.function("expSum", "(y, x []float32, shift, scale, gain float32) float32",
		"computes exponentials and their sum, in lanes that are folded at the end.",
		"for i := range y {",
		"\te := exp((x[i] - shift) * scale)",
		"\tsum[i%lanes] += e",
		"\ty[i] = e * gain",
		"}")
	to, from := base("y"), base("x")
	shift, scale, gain := w.broadcast("shift"), w.broadcast("scale"), w.broadcast("gain")
	sum := w.new()
	w.zero(sum)
	w.eachVector("exp", length("y"), func(t tail, at element) {
		x := t.value(at(from))
		VSUBPS(shift, x, x)
		VMULPS(scale, x, x)
		e.of(w, x)
		t.keep(x)
		VADDPS(x, sum, sum)
		VMULPS(gain, x, x)
		t.store(x, at(to))
	})
	result(w.fold(sum, func(a, b, dst Op) { VADDPS(a, b, dst) }))
}

func sumExp(w width, e exponential) {
	w.function("sumExp", "(x []float32, shift float32) float32",
		"adds up exponentials, in lanes that are folded at the end.",
		"for i := range x {", "\tsum[i%lanes] += exp(x[i] - shift)", "}")
	from, shift := base("x"), w.broadcast("shift")
	sum := w.new()
	w.zero(sum)
	w.eachVector("exp", length("x"), func(t tail, at element) {
		x := t.value(at(from))
		VSUBPS(shift, x, x)
		e.of(w, x)
		t.keep(x)
		VADDPS(x, sum, sum)
	})
	result(w.fold(sum, func(a, b, dst Op) { VADDPS(a, b, dst) }))
}

func siluGate(w width, e exponential) {
	w.function("siluGate", "(y, gate, up []float32)", "computes silu(gate)*up.",
		"for i := range y {", "\ty[i] = gate[i] * sigmoid(gate[i]) * up[i]", "}")
	to, gate, up := base("y"), base("gate"), base("up")
	w.eachVector("gate", length("y"), func(t tail, at element) {
		g := t.value(at(gate))
		s := e.sigmoid(w, g)
		VMULPS(g, s, s)
		u := t.value(at(up))
		VMULPS(u, s, s)
		t.store(s, at(to))
	})
	end()
}

func siluGateGrad(w width, e exponential) {
	w.function("siluGateGrad", "(dgate, dup, dy, gate, up []float32)", "is the gradient of siluGate.",
		"for i := range dy {",
		"\tg, s := gate[i], sigmoid(gate[i])",
		"\tdgate[i] = dy[i] * up[i] * s * FMA(g, 1-s, 1)",
		"\tdup[i] = dy[i] * g * s",
		"}")
	dgate, dup, dy, gate, up := base("dgate"), base("dup"), base("dy"), base("gate"), base("up")
	w.eachVector("gate", length("dy"), func(t tail, at element) {
		g := t.value(at(gate))
		s := e.sigmoid(w, g)
		d, u := t.value(at(dy)), t.value(at(up))
		VMULPS(s, d, d)
		VMULPS(d, u, u)
		one := w.new()
		VMOVUPS(e.constant(1), one)
		VSUBPS(s, one, s)
		VFMADD213PS(one, g, s)
		VMULPS(s, u, u)
		t.store(u, at(dgate))
		VMULPS(g, d, d)
		t.store(d, at(dup))
	})
	end()
}

// eachRow emits the loop over rows of a tile of scores, the first of them of
// the length first, each longer than the row before it by more: by one under
// the mask, by none before it. body gets the length of the row, to use up.
// bases are moved from row to row by ld.
func eachRow(ld GPVirtual, bases []GPVirtual, body func(n GPVirtual)) {
	SHLQ(U8(2), ld)
	rows, visible := Load(Param("rows"), GP64()), Load(Param("first"), GP64())
	more := Load(Param("more"), GP64())
	Label("row")
	n := GP64()
	MOVQ(visible, n)
	body(n)
	for _, b := range bases {
		ADDQ(ld, b)
	}
	ADDQ(more, visible)
	DECQ(rows)
	JNE(LabelRef("row"))
	end()
}

// clearAfter writes a vector of zeros after those that hold n elements.
func (w width) clearAfter(row, n GPVirtual) {
	at, zero := GP64(), w.new()
	w.zero(zero)
	LEAQ(Mem{Base: n, Disp: w.lanes - 1}, at)
	ANDQ(I8(-w.lanes), at)
	VMOVUPS(zero, Mem{Base: row, Index: at, Scale: 4})
}

func softmaxRows(w width, e exponential) {
	w.function("softmaxRows", "(p *float32, ld, rows, first, more int, scale float32, top, sum *float32)",
		"computes the weights of a tile of scores, not normalized. After a row's last element it clears the rest of a vector and one more.",
		"for r := range rows {",
		"\trow := p[r*ld : r*ld+first+r*more]",
		"\ttop[r] = maximum(row)",
		"\tsum[r] = expSum(row, row, top[r], scale, 1)",
		"}")
	row, ld := Load(Param("p"), GP64()).(GPVirtual), Load(Param("ld"), GP64()).(GPVirtual)
	tops, sums := Load(Param("top"), GP64()).(GPVirtual), Load(Param("sum"), GP64()).(GPVirtual)
	scale, least := w.broadcast("scale"), w.least()
	eachRow(ld, []GPVirtual{row}, func(n GPVirtual) {
		again := GP64()
		MOVQ(n, again)
		w.clearAfter(row, n)
		top := w.new()
		VMOVAPS(least, top)
		w.eachVector("max", n, func(t tail, at element) { t.max(at(row), least, top) })
		shift, sum := w.new(), w.new()
		VBROADCASTSS(w.fold(top, func(a, b, dst Op) { VMAXPS(a, b, dst) }), shift)
		VMOVSS(shift.AsX(), Mem{Base: tops})
		w.zero(sum)
		w.eachVector("exp", again, func(t tail, at element) {
			x := t.value(at(row))
			VSUBPS(shift, x, x)
			VMULPS(scale, x, x)
			e.of(w, x)
			t.keep(x)
			VADDPS(x, sum, sum)
			VMOVUPS(x, at(row))
		})
		VMOVSS(w.fold(sum, func(a, b, dst Op) { VADDPS(a, b, dst) }).AsX(), Mem{Base: sums})
		ADDQ(U8(4), tops)
		ADDQ(U8(4), sums)
	})
}

func softmaxGradRows(w width, e exponential) {
	w.function("softmaxGradRows", "(p, ds *float32, ld, rows, first, more int, scale float32, lse, delta *float32)",
		"turns a tile of scores into weights, and the gradients of weights in ds into those of scores. After a row's last element it clears like softmaxRows.",
		"for r := range rows {",
		"\tfor i := r * ld; i < r*ld+first+r*more; i++ {",
		"\t\tp[i] = exp(FMA(p[i], scale, -lse[r]))",
		"\t\tds[i] = (ds[i] - delta[r]) * p[i] * scale",
		"\t}",
		"}")
	p, ds, ld := Load(Param("p"), GP64()).(GPVirtual), Load(Param("ds"), GP64()).(GPVirtual), Load(Param("ld"), GP64()).(GPVirtual)
	lses, deltas := Load(Param("lse"), GP64()).(GPVirtual), Load(Param("delta"), GP64()).(GPVirtual)
	scale := w.broadcast("scale")
	eachRow(ld, []GPVirtual{p, ds}, func(n GPVirtual) {
		w.clearAfter(p, n)
		w.clearAfter(ds, n)
		lse, delta := w.new(), w.new()
		VBROADCASTSS(Mem{Base: lses}, lse)
		VBROADCASTSS(Mem{Base: deltas}, delta)
		w.eachVector("grad", n, func(t tail, at element) {
			x, d := t.value(at(p)), t.value(at(ds))
			VFMSUB213PS(lse, scale, x)
			e.of(w, x)
			t.keep(x)
			VMOVUPS(x, at(p))
			VSUBPS(delta, d, d)
			VMULPS(x, d, d)
			VMULPS(scale, d, d)
			VMOVUPS(d, at(ds))
		})
		ADDQ(U8(4), lses)
		ADDQ(U8(4), deltas)
	})
}
