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
		for _, emit := range []func(w width, e exponential){exp, expSum, sumExp, siluGate, siluGateGrad} {
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

func exp(w width, e exponential) {
	w.function("exp", "(y, x []float32)", "computes exponentials.",
		"for i := range y {", "\ty[i] = exp(x[i])", "}")
	to, from := base("y"), base("x")
	w.eachVector("exp", length("y"), func(t tail, at element) {
		x := t.value(at(from))
		e.of(w, x)
		t.store(x, at(to))
	})
	end()
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
