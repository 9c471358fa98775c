package kernel

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkMemory times kernels that do little but move memory, on slices too
// large for the caches and on slices that fit, beside a plain copy.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{1 << 22, 1 << 14} {
		r := rand.New(rand.NewPCG(1, 2))
		x, y, z, g := gaussian[float32](r, n), gaussian[float32](r, n), make([]float32, n), gaussian[float32](r, n)
		run := func(name string, bytes int, f func()) {
			size := map[bool]string{true: "large/", false: "small/"}[n > 1<<20]
			b.Run(size+name, func(b *testing.B) {
				b.SetBytes(int64(4 * bytes * n))
				for b.Loop() {
					f()
				}
			})
		}
		run("copy", 2, func() { copy(x, y) })
		run("Add", 3, func() { Add(x, y, g) })
		run("Combine", 3, func() { Combine(x, 1, x, 1e-9, y) })
		run("Scale", 2, func() { Scale(x, 1) })
		run("SumSquares", 1, func() { SumSquares(x) })
		run("FirstNonFinite", 1, func() { FirstNonFinite(x) })
		run("AdamW", 7, func() {
			AdamW(x, y, z, g, AdamWStep{LR: 1e-9, Beta1: 0.9, Beta2: 0.99, Eps: 1, GradScale: 1, Step: 1})
		})
	}
}

// BenchmarkRows times the kernels that work by rows, at a size of training:
// 1024 tokens, 256 wide.
func BenchmarkRows(b *testing.B) {
	const rows, dim = 1024, 256
	r := rand.New(rand.NewPCG(3, 4))
	x, y, dx := gaussian[float32](r, rows*dim), make([]float32, rows*dim), make([]float32, rows*dim)
	gu, dgu := gaussian[float32](r, 2*rows*dim), make([]float32, 2*rows*dim)
	gain, inv, dgain, loss := gaussian[float32](r, dim), make([]float32, rows), make([]float32, dim), make([]float32, rows)
	cos, sin := make([]float32, rows*16), make([]float32, rows*16)
	targets := make([]int32, rows)
	for l := Portable; l <= min(Best(), AVX512); l++ {
		run := func(name string, reads int, f func()) {
			b.Run(name+"/"+l.String(), func(b *testing.B) {
				defer SetLevel(SetLevel(l))
				b.SetBytes(int64(4 * reads * rows * dim))
				for b.Loop() {
					f()
				}
			})
		}
		run("RMSNorm", 2, func() { RMSNorm(y, inv, x, gain, rows, dim, 1e-5) })
		run("RMSNormGrad", 3, func() { RMSNormGrad(dx, dgain, y, x, gain, inv, nil, rows, dim) })
		run("Rope", 2, func() { Rope(x, cos, sin, rows, dim, 8, 32, 1024, 0, false) })
		run("Exp", 2, func() { expSum(y, dx, 0, 1, 1) })
		run("SiLUGate", 3, func() { SiLUGate(y, gu, rows, dim) })
		run("SiLUGateGrad", 5, func() { SiLUGateGrad(dgu, y, gu, rows, dim) })
		run("ReLU2Gate", 3, func() { ReLU2Gate(y, gu, rows, dim) })
		run("ReLU2GateGrad", 5, func() { ReLU2GateGrad(dgu, y, gu, rows, dim) })
		run("CrossEntropy", 1, func() { CrossEntropy(loss, inv, x, targets, rows, dim) })
		run("CrossEntropyGrad", 2, func() { CrossEntropyGrad(dx, x, inv, targets, rows, dim, 1) })
	}
}
