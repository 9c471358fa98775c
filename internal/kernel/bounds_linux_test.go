package kernel

import (
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// atPageEnd returns a copy of x that ends where readable memory does.
func atPageEnd[T any](t *testing.T, x []T) []T {
	t.Helper()
	if len(x) == 0 {
		return nil
	}
	page, bytes := os.Getpagesize(), len(x)*int(unsafe.Sizeof(x[0]))
	size := (bytes + page - 1) / page * page
	memory, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Munmap(memory) })
	if err := syscall.Mprotect(memory[size:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	y := unsafe.Slice((*T)(unsafe.Pointer(&memory[size-bytes])), len(x))
	copy(y, x)
	return y
}

// TestReadsStayInside runs kernels on operands that end at memory nobody may
// read: one element too far crashes.
func TestReadsStayInside(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(31, 32))
		at := func(n int) []float32 { return atPageEnd(t, gaussian[float32](r, n)) }
		for _, s := range [][3]int{{1, 64, 64}, {1, 33, 8}, {5, 16, 7}, {20, 31, 9}, {64, 65, 33}, {100, 104, 40}} {
			m, n, k := s[0], s[1], s[2]
			for _, g := range gemms {
				g.f32(at(m*n), at(m*k), at(k*n), m, n, k, true)
			}
		}
		for _, s := range []AttentionShape{{1, 2, 1, 32, 33, 33}, {1, 1, 1, 20, 9, 9}, {2, 2, 2, 8, 17, 17}} {
			nq, nk := s.Batch*s.Queries*s.Heads*s.HeadDim, s.Batch*s.Keys*s.KVHeads*s.HeadDim
			ldq, ldk := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
			y, lse, q, k, v := at(nq), at(s.Batch*s.Heads*s.Queries), at(nq), at(nk), at(nk)
			Attention(y, lse, q, ldq, k, ldk, v, ldk, s, 0.3)
			AttentionGrad(at(nq), ldq, at(nk), ldk, at(nk), ldk, at(nq), y, lse, q, ldq, k, ldk, v, ldk, s, 0.3)
		}
		for n := 1; n < 40; n++ {
			a, b, c, d := at(n), at(n), at(n), at(n)
			Add(a, b, c)
			Combine(a, 2, a, 0.5, b)
			Scale(a, 0.5)
			SumSquares(a)
			FirstNonFinite(a)
			MinMax(a)
			Argmax(a)
			AdamW(a, b, make([]float32, n), d, AdamWStep{LR: 0.1, Beta1: 0.9, Beta2: 0.9, GradScale: 1, Eps: 1, Step: 1})
			for _, rows := range []int{1, 4} {
				RMSNorm(at(rows*n), at(rows), at(rows*n), c, rows, n, 1e-5)
				RMSNormGrad(at(rows*n), b, at(rows*n), at(rows*n), c, at(rows), at(rows*n), rows, n)
			}
			SiLUGate(a, at(2*n), 1, n)
			SiLUGateGrad(at(2*n), a, at(2*n), 1, n)
			ReLU2Gate(a, at(2*n), 1, n)
			ReLU2GateGrad(at(2*n), a, at(2*n), 1, n)
			Rope(at(2*n), a, b, 1, 2*n, 1, 2*n, 1, 0, false)
			CrossEntropy(at(1), at(1), a, []int32{0}, 1, n)
			CrossEntropyGrad(b, a, at(1), []int32{0}, 1, n, 1)
		}
	})
}

// TestIntegerReadsStayInside does the same with the kernels of integers.
func TestIntegerReadsStayInside(t *testing.T) {
	eachIntLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(33, 34))
		at := func(n int) []float32 { return atPageEnd(t, gaussian[float32](r, n)) }
		codes := func(n, lo, hi int) []int8 { return atPageEnd(t, random8(r, n, lo, hi)) }
		for _, s := range [][3]int{{1, 1, 1}, {1, 33, 70}, {5, 4, 32}, {13, 31, 9}, {25, 12, 47}, {40, 65, 33}} {
			rows, out, in := s[0], s[1], s[2]
			x, w, rowScale := codes(rows*in, -128, 127), codes(out*in, -1, 1), at(rows)
			var packed Ternary
			packed.Pack(w, out, in)
			MulTernary(at(rows*out), out, x, rowScale, &packed, 0.5, rows)
			MulGradInput(at(rows*in), at(rows*out), out, w, 0.5, rows, out, in, true)
			MulGradWeight(at(out*in), at(rows*out), out, rowScale, x, rows, out, in)
			DotCodes(atPageEnd(t, make([]int32, rows*(out+3))), out+3, x, in, rows, w, in, out, in)
			RMSNormQuantize(x, rowScale, at(rows), at(rows*in), at(in), rows, in, 1e-5, 127)
		}
		for n := 1; n < 140; n += 1 + n/40 {
			x, scale := at(n), at(1)
			AbsMean(x)
			AbsMax(x)
			QuantizeRows(codes(n, 0, 0), scale, x, 1, n, 127)
			Ternarize(codes(n, 0, 0), x, 0.7)
			DequantizeRows(x, codes(n, -128, 127), scale, 1, n)
			BlendRows(x, at(n), codes(n, -128, 127), scale, 1, n, 0.3)
			halves := atPageEnd(t, make([]uint16, n))
			EncodeFloat16(halves, x)
			DecodeFloat16(x, halves)
			for _, p := range allPackings {
				src, first := atPageEnd(t, make([]byte, p.Size(n))), r.IntN(n)
				p.Pack(src, codes(n, -1, 1))
				p.Unpack(codes(n-first, 0, 0), src, first)
			}
		}
	})
}
