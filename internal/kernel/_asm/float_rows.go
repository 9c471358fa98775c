package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

func init() {
	groups["float_rows"] = func() {
		maskTable("float_rows")
		for _, emit := range []func(w width){relu2Gate, relu2GateGrad, normalize, weightedDot, rmsNormGrad, rope} {
			both(emit)
		}
	}
}

func relu2Gate(w width) {
	w.function("relu2Gate", "(y, gate, up []float32)", "computes relu(gate)^2*up.",
		"for i := range y {", "\tg := max(gate[i], 0)", "\ty[i] = g * g * up[i]", "}")
	to, gate, up := base("y"), base("gate"), base("up")
	zero := w.new()
	w.zero(zero)
	w.eachVector("gate", length("y"), func(t tail, at element) {
		g, u := t.value(at(gate)), t.value(at(up))
		VMAXPS(g, zero, g) // NaN stays NaN
		VMULPS(g, g, g)
		VMULPS(u, g, g)
		t.store(g, at(to))
	})
	end()
}

func relu2GateGrad(w width) {
	w.function("relu2GateGrad", "(dgate, dup, dy, gate, up []float32)", "is the gradient of relu2Gate.",
		"for i := range dy {",
		"\tg := max(gate[i], 0)",
		"\tdgate[i] = 2 * g * up[i] * dy[i]",
		"\tdup[i] = g * g * dy[i]",
		"}")
	dgate, dup, dy, gate, up := base("dgate"), base("dup"), base("dy"), base("gate"), base("up")
	zero := w.new()
	w.zero(zero)
	w.eachVector("gate", length("dy"), func(t tail, at element) {
		g, d, u := t.value(at(gate)), t.value(at(dy)), t.value(at(up))
		VMAXPS(g, zero, g) // NaN stays NaN
		square := w.new()
		VMULPS(g, g, square)
		VMULPS(d, square, square)
		t.store(square, at(dup))
		VADDPS(g, g, g)
		VMULPS(u, g, g)
		VMULPS(d, g, g)
		t.store(g, at(dgate))
	})
	end()
}

func normalize(w width) {
	w.function("normalize", "(y, x, gain []float32, inv float32)", "scales a row.",
		"for i := range y {", "\ty[i] = x[i] * inv * gain[i]", "}")
	to, from, gain, inv := base("y"), base("x"), base("gain"), w.broadcast("inv")
	w.eachVector("scale", length("y"), func(t tail, at element) {
		x, g := t.value(at(from)), t.value(at(gain))
		VMULPS(inv, x, x)
		VMULPS(g, x, x)
		t.store(x, at(to))
	})
	end()
}

func weightedDot(w width) {
	w.function("weightedDot", "(a, b, weight []float32) float32", "adds up the lanes, then folds them.",
		"for i := range a {", "\tsum[i%lanes] = FMA(a[i]*weight[i], b[i], sum[i%lanes])", "}")
	a, b, weight := base("a"), base("b"), base("weight")
	sum := w.new()
	w.zero(sum)
	w.eachVector("dot", length("a"), func(t tail, at element) {
		x, y, g := t.value(at(a)), t.value(at(b)), t.value(at(weight))
		VMULPS(g, x, x)
		VFMADD231PS(x, y, sum)
	})
	result(w.fold(sum, func(a, b, dst Op) { VADDPS(a, b, dst) }))
}

func rmsNormGrad(w width) {
	w.function("rmsNormGrad", "(dx, dgain, dy, x, gain []float32, inv, pull float32)", "is one row of the gradient of RMSNorm.",
		"for i := range dx {",
		"\tdx[i] = dy[i]*gain[i]*inv - x[i]*pull",
		"\tdgain[i] = FMA(dy[i], x[i]*inv, dgain[i])",
		"}")
	dx, dgain, dy, from, gain := base("dx"), base("dgain"), base("dy"), base("x"), base("gain")
	inv, pull := w.broadcast("inv"), w.broadcast("pull")
	w.eachVector("grad", length("dx"), func(t tail, at element) {
		d, x, g, sum := t.value(at(dy)), t.value(at(from)), t.value(at(gain)), t.value(at(dgain))
		VMULPS(d, g, g)
		VMULPS(inv, g, g)
		VFNMADD231PS(x, pull, g)
		t.store(g, at(dx))
		VMULPS(inv, x, x)
		VFMADD231PS(x, d, sum)
		t.store(sum, at(dgain))
	})
	end()
}

func rope(w width) {
	w.function("rope", "(x, cos, sin []float32, sign float32)", "rotates the pairs of all heads in place; there is at least one.",
		"half := len(cos)",
		"for ; len(x) > 0; x = x[2*half:] {",
		"\ta, b := x[:half], x[half:2*half]",
		"\tfor i := range a {",
		"\t\ts := sin[i] * sign",
		"\t\ta[i], b[i] = a[i]*cos[i]-b[i]*s, b[i]*cos[i]+a[i]*s",
		"\t}",
		"}")
	a, stop, b, half := base("x"), length("x"), GP64(), length("cos")
	cos, sin, sign := base("cos"), base("sin"), w.broadcast("sign")
	LEAQ(Mem{Base: a, Index: stop, Scale: 4}, stop)
	Label("head")
	LEAQ(Mem{Base: a, Index: half, Scale: 4}, b)
	n := GP64()
	MOVQ(half, n)
	w.eachVector("pair", n, func(t tail, at element) {
		x, y, c, s := t.value(at(a)), t.value(at(b)), t.value(at(cos)), t.value(at(sin))
		VMULPS(sign, s, s)
		ys, xs := w.new(), w.new()
		VMULPS(s, y, ys)
		VMULPS(s, x, xs)
		VFMSUB213PS(ys, c, x)
		VFMADD213PS(xs, c, y)
		t.store(x, at(a))
		t.store(y, at(b))
	})
	LEAQ(Mem{Base: a, Index: half, Scale: 8}, a)
	CMPQ(a, stop)
	JNE(LabelRef("head"))
	end()
}
