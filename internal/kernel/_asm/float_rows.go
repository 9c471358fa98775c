package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func init() {
	groups["float_rows"] = func() {
		maskTable("float_rows")
		for _, emit := range []func(w width){relu2Gate, relu2GateGrad, normalize, squares4, weightedDots4, rmsNormGrad4, weightedDot, rmsNormGrad, rope} {
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

// Four rows at a time: the chains of their sums go side by side, and the gain
// and its gradient are read once for all.
const normRows = 4

// fourRows addresses vectors of four rows of some matrices, and of some slices
// that all rows share.
type fourRows struct {
	rows
	pointers []GPVirtual
	n        GPVirtual
}

// newFourRows loads the addresses of matrices and slices; the last is as long as
// a row.
func newFourRows(names ...string) fourRows {
	f := fourRows{n: length(names[len(names)-1])}
	f.ld, f.ld3 = GP64(), GP64()
	LEAQ(Mem{Base: f.n, Index: f.n, Scale: 2}, f.ld3)
	MOVQ(f.n, f.ld)
	SHLQ(U8(2), f.ld)
	SHLQ(U8(2), f.ld3)
	for _, name := range names {
		f.pointers = append(f.pointers, base(name))
	}
	return f
}

// row addresses the present vector of a row of matrix i, or of slice i if that
// row is 0.
func (f fourRows) row(i, r int) Mem {
	p := f.pointers[i]
	return []Mem{{Base: p}, {Base: p, Index: f.ld, Scale: 1}, {Base: p, Index: f.ld, Scale: 2}, {Base: p, Index: f.ld3, Scale: 1}}[r]
}

// each emits the loop over the vectors, the last cut off by a mask.
func (f fourRows) each(w width, body func(t tail)) {
	SUBQ(U8(w.lanes), f.n)
	JLT(LabelRef("tail"))
	Label("loop")
	body(tail{w: w})
	for _, p := range f.pointers {
		ADDQ(U8(w.bytes()), p)
	}
	SUBQ(U8(w.lanes), f.n)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(U8(w.lanes), f.n)
	JE(LabelRef("done"))
	body(w.firstLanes(f.n))
	Label("done")
}

// sums are the accumulators of four rows, and how they are folded and stored.
type sums [normRows]VecVirtual

func (w width) newSums() (s sums) {
	for r := range s {
		s[r] = w.new()
		w.zero(s[r])
	}
	return s
}

func (s sums) fold(w width, to string) {
	dst := Load(Param(to), GP64())
	for r, sum := range s {
		VMOVSS(w.fold(sum, func(a, b, dst Op) { VADDPS(a, b, dst) }).AsX(), Mem{Base: dst, Disp: 4 * r})
	}
	end()
}

func squares4(w width) {
	w.function("squares4", "(sums *float32, x, row []float32)", "is dot of each of four rows with itself; row is the first.",
		"for r := range 4 {", "\tsums[r] = dot(x[r*len(row):(r+1)*len(row)], x[r*len(row):(r+1)*len(row)])", "}")
	f, sum := newFourRows("x", "row"), w.newSums()
	f.each(w, func(t tail) {
		for r := range sum {
			x := t.value(f.row(0, r))
			VFMADD231PS(x, x, sum[r])
		}
	})
	sum.fold(w, "sums")
}

func weightedDots4(w width) {
	w.function("weightedDots4", "(sums *float32, a, b, weight []float32)", "is weightedDot of each of four rows.",
		"n := len(weight)",
		"for r := range 4 {", "\tsums[r] = weightedDot(a[r*n:(r+1)*n], b[r*n:(r+1)*n], weight)", "}")
	f, sum := newFourRows("a", "b", "weight"), w.newSums()
	f.each(w, func(t tail) {
		g := t.value(f.row(2, 0))
		for r := range sum {
			x, y := t.value(f.row(0, r)), t.value(f.row(1, r))
			VMULPS(g, x, x)
			VFMADD231PS(x, y, sum[r])
		}
	})
	sum.fold(w, "sums")
}

func rmsNormGrad4(w width) {
	w.function("rmsNormGrad4", "(inv, pull *float32, dx, dy, x, dgain, gain []float32)", "is rmsNormGrad of four rows after another.",
		"n := len(gain)",
		"for r := range 4 {", "\trmsNormGrad(dx[r*n:(r+1)*n], dgain, dy[r*n:(r+1)*n], x[r*n:(r+1)*n], gain, inv[r], pull[r])", "}")
	var inv, pull [normRows]VecVirtual
	for _, p := range []struct {
		name string
		of   *[normRows]VecVirtual
	}{{"inv", &inv}, {"pull", &pull}} {
		from := Load(Param(p.name), GP64())
		for r := range p.of {
			p.of[r] = w.new()
			VBROADCASTSS(Mem{Base: from, Disp: 4 * r}, p.of[r])
		}
	}
	f := newFourRows("dx", "dy", "x", "dgain", "gain")
	f.each(w, func(t tail) {
		g, sum := t.value(f.row(4, 0)), t.value(f.row(3, 0))
		for r := range inv {
			d, x, y := t.value(f.row(1, r)), t.value(f.row(2, r)), w.new()
			VMULPS(d, g, y)
			VMULPS(inv[r], y, y)
			VFNMADD231PS(x, pull[r], y)
			t.store(y, f.row(0, r))
			VMULPS(inv[r], x, x)
			VFMADD231PS(x, d, sum)
		}
		t.store(sum, f.row(3, 0))
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
