package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() {
	groups["float_elementwise"] = func() {
		maskTable("float_elementwise")
		for _, emit := range []func(w width){add, combine, scale, dotProduct, sumSquares, maximum, finite, adamW} {
			both(emit)
		}
	}
}

func add(w width) {
	w.function("add", "(dst, a, b []float32)", "adds two slices.",
		"for i := range dst {", "\tdst[i] = a[i] + b[i]", "}")
	dst, a, b := base("dst"), base("a"), base("b")
	w.eachVector("add", length("dst"), func(t tail, at element) {
		x, y := t.value(at(a)), t.value(at(b))
		VADDPS(y, x, x)
		t.store(x, at(dst))
	})
	end()
}

func combine(w width) {
	w.function("combine", "(dst, x, y []float32, a, b float32)", "adds a multiple of y to one of x.",
		"for i := range dst {", "\tdst[i] = FMA(b, y[i], a*x[i])", "}")
	dst, first, second, a, b := base("dst"), base("x"), base("y"), w.broadcast("a"), w.broadcast("b")
	w.eachVector("combine", length("dst"), func(t tail, at element) {
		x, y := t.value(at(first)), t.value(at(second))
		VMULPS(a, x, x)
		VFMADD231PS(y, b, x)
		t.store(x, at(dst))
	})
	end()
}

func scale(w width) {
	w.function("scale", "(dst []float32, s float32)", "multiplies in place.",
		"for i := range dst {", "\tdst[i] *= s", "}")
	dst, s := base("dst"), w.broadcast("s")
	w.eachVector("scale", length("dst"), func(t tail, at element) {
		x := t.value(at(dst))
		VMULPS(s, x, x)
		t.store(x, at(dst))
	})
	end()
}

func dotProduct(w width) {
	w.function("dot", "(a, b []float32) float32", "adds up the lanes, then folds them.",
		"for i := range a {", "\tsum[i%lanes] = FMA(a[i], b[i], sum[i%lanes])", "}")
	a, b := base("a"), base("b")
	sum := w.new()
	w.zero(sum)
	w.eachVector("dot", length("a"), func(t tail, at element) {
		x, y := t.value(at(a)), t.value(at(b))
		VFMADD231PS(x, y, sum)
	})
	result(w.fold(sum, func(a, b, dst Op) { VADDPS(a, b, dst) }))
}

func sumSquares(w width) {
	w.function("sumSquares", "(x []float32) float64", "adds up the lanes in float64, then folds them.",
		"for i := range x {", "\tsum[i%lanes] = FMA(float64(x[i]), float64(x[i]), sum[i%lanes])", "}")
	from := base("x")
	sum := [2]VecVirtual{w.new(), w.new()}
	w.zero(sum[0])
	w.zero(sum[1])
	w.eachVector("sum", length("x"), func(t tail, at element) {
		x := t.value(at(from))
		lo, hi := w.new(), w.new()
		if w.wide() {
			half := YMM()
			VEXTRACTF64X4(U8(1), x, half)
			VCVTPS2PD(x.AsY(), lo)
			VCVTPS2PD(half, hi)
		} else {
			half := XMM()
			VEXTRACTF128(U8(1), x, half)
			VCVTPS2PD(x.AsX(), lo)
			VCVTPS2PD(half, hi)
		}
		VFMADD231PD(lo, lo, sum[0])
		VFMADD231PD(hi, hi, sum[1])
	})
	VADDPD(sum[1], sum[0], sum[0])
	y, x, half := YMM(), XMM(), XMM()
	if w.wide() {
		VEXTRACTF64X4(U8(1), sum[0], y)
		VADDPD(y, sum[0].AsY(), y)
	} else {
		VMOVAPD(sum[0], y)
	}
	VEXTRACTF128(U8(1), y, x)
	VADDPD(x, y.AsX(), x)
	VPERMILPD(U8(1), x, half)
	VADDPD(half, x, x)
	result64(x)
}

func maximum(w width) {
	w.function("maximum", "(x []float32) float32", "returns the largest element but for NaN, or -Inf.",
		"for _, v := range x {", "\tif v > top {", "\t\ttop = v", "\t}", "}")
	from, least, top := base("x"), w.least(), w.new()
	VMOVAPS(least, top)
	w.eachVector("max", length("x"), func(t tail, at element) { t.max(at(from), least, top) })
	result(w.fold(top, func(a, b, dst Op) { VMAXPS(a, b, dst) }))
}

// least returns a vector of -Inf.
func (w width) least() VecVirtual {
	bits, v := GP32(), w.new()
	MOVL(U32(0xff800000), bits)
	VMOVD(bits, v.AsX())
	VBROADCASTSS(v.AsX(), v)
	return v
}

// max raises top to the vector at m, where that is not NaN: MAXPS returns its
// second source, the first operand here, when one of them is. Lanes that take
// no part count as least, not as 0.
func (t tail) max(m Mem, least, top VecVirtual) {
	x := t.w.new()
	switch {
	case t.mask == nil:
		t.load(m, x)
	case t.w.wide():
		VMOVAPS(least, x)
		VMOVUPS(m, t.mask, x)
	default:
		t.load(m, x)
		VBLENDVPS(t.mask, x, least, x)
	}
	VMAXPS(top, x, top)
}

func finite(w width) {
	w.function("finite", "(x []float32) bool", "says whether there is no NaN and no infinity.",
		"for _, v := range x {", "\tok = ok && v-v == 0", "}")
	from := base("x")
	// x-x is 0 or NaN, and the sum of all is NaN if one is.
	sum := w.new()
	w.zero(sum)
	w.eachVector("finite", length("x"), func(t tail, at element) {
		x := t.value(at(from))
		VSUBPS(x, x, x)
		VADDPS(x, sum, sum)
	})
	x := w.fold(sum, func(a, b, dst Op) { VADDPS(a, b, dst) })
	ok := GP8()
	VUCOMISS(x, x)
	SETPC(ok)
	Store(ok, ReturnIndex(0))
	end()
}

func adamW(w width) {
	w.function("adamW", "(w, m, v, g []float32, gradScale, oneMinusBeta1, oneMinusBeta2, rate, correction, eps, keep float32)",
		"takes the step of AdamW.",
		"for i := range w {",
		"\td := g[i] * gradScale",
		"\tm[i] = FMA(oneMinusBeta1, d-m[i], m[i])",
		"\tv[i] = FMA(oneMinusBeta2, FMA(d, d, -v[i]), v[i])",
		"\tw[i] = keep*w[i] - rate*m[i]/FMA(sqrt(v[i]), correction, eps)",
		"}")
	weights, first, second, gradient := base("w"), base("m"), base("v"), base("g")
	gradScale, beta1, beta2 := w.broadcast("gradScale"), w.broadcast("oneMinusBeta1"), w.broadcast("oneMinusBeta2")
	rate, correction, eps, keep := w.broadcast("rate"), w.broadcast("correction"), w.broadcast("eps"), w.broadcast("keep")
	w.eachVector("step", length("w"), func(t tail, at element) {
		d, x, m, v := t.value(at(gradient)), t.value(at(weights)), t.value(at(first)), t.value(at(second))
		VMULPS(gradScale, d, d)
		change := w.new()
		VSUBPS(m, d, change)
		VFMADD231PS(change, beta1, m)
		t.store(m, at(first))
		VFMSUB213PS(v, d, d)
		VFMADD231PS(d, beta2, v)
		t.store(v, at(second))
		root := w.new()
		VSQRTPS(v, root)
		VFMADD213PS(eps, correction, root)
		VMULPS(rate, m, m)
		VDIVPS(root, m, m)
		VFMSUB213PS(m, keep, x)
		t.store(x, at(weights))
	})
	end()
}
