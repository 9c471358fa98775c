package gguf

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// golden.gguf holds blocks as llama.cpp's and bitnet.cpp's own C code made and
// read them: see testdata/golden.py.
func golden(t testing.TB) *File {
	t.Helper()
	f, err := Open("testdata/golden.gguf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func floats(t testing.TB, f *File, name string) []float32 {
	t.Helper()
	x, err := f.Float32(name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func raw(t testing.TB, f *File, name string) []byte {
	t.Helper()
	b, err := f.Bytes(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sameBits returns the first index at which a and b differ, -1 if none. Any
// NaN equals any other: hardware and software widen them differently.
func sameBits(a, b []float32) int {
	for i := range max(len(a), len(b)) {
		if i >= min(len(a), len(b)) {
			return i
		}
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]) {
			return i
		}
	}
	return -1
}

// written returns the bytes of a tensor alone, without padding.
func written(t testing.TB, typ Type, shape []int, fill func(*TensorWriter) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := writeTensor(&b, Tensor{"x", typ, shape, fill}); err != nil {
		t.Fatal(err)
	}
	size, err := typ.Bytes(shape)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[:size]
}

// decoded returns what the package reads from blocks of 256 or 512 elements.
func decoded(t testing.TB, typ Type, blocks []byte) []float32 {
	t.Helper()
	size := int64(len(blocks))
	if typ == I2_S {
		size -= i2sTrailer
	}
	l := layouts[typ]
	n := int(size) / l.bytes * l.length
	r := &Reader{r: bytes.NewReader(blocks), byName: map[string]int{"x": 0}, tensors: []Info{{"x", typ, []int{n}, 0, int64(len(blocks))}}}
	x, err := r.Float32("x")
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestGoldenBlocks(t *testing.T) {
	f := golden(t)
	for _, typ := range encodable {
		if typ == F32 {
			continue // what "input" is stored in
		}
		t.Run(typ.String(), func(t *testing.T) {
			source := "input"
			if typ == I2_S {
				source = "ternary"
			}
			info, _ := f.Tensor(source)
			name, x := typ.String(), floats(t, f, source)
			got := written(t, typ, info.Shape, func(w *TensorWriter) error { return w.Float32(x) })
			if want := raw(t, f, name+".blocks"); !bytes.Equal(got, want) {
				t.Errorf("the blocks differ from the reference's: byte %d", firstDifference(got, want))
			}
			for _, part := range []string{".blocks", ".noise"} {
				want := floats(t, f, name+part+".decoded")
				blocks := raw(t, f, name+part)
				if typ == I2_S {
					withoutThree(blocks[:len(blocks)-i2sTrailer])
				}
				if i := sameBits(decoded(t, typ, blocks), want); i >= 0 {
					t.Errorf("%s: element %d is decoded otherwise", part, i)
				}
			}
		})
	}
}

// withoutThree makes each digit 3 of I2_S a 1: bitnet.cpp dequantizes both to 0,
// but does not multiply with a 3 as with a 0, and we refuse it.
func withoutThree(blocks []byte) {
	for i, b := range blocks {
		blocks[i] = b - b&(b>>1)&0b01010101<<1
	}
}

// A code that means nothing is named by its element, in the block's first byte
// here and behind 64 Ki elements that are sound.
func TestI2SRefusesCode3(t *testing.T) {
	for _, element := range []int{0, 3, 32 + 5, 96 + 31, pieceElements + 64} {
		n := pieceElements + i2sLength
		b := written(t, I2_S, []int{n}, func(w *TensorWriter) error { return w.Ternary(make([]int8, n), 1) })
		b[element/i2sLength*i2sBytes+element%32] |= 3 << (6 - 2*(element%i2sLength/32))
		r := &Reader{r: bytes.NewReader(b), byName: map[string]int{"x": 0}, tensors: []Info{{"x", I2_S, []int{n}, 0, int64(len(b))}}}
		if _, err := r.Float32("x"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("tensor x, at byte 0: element %d has the code 3", element)) {
			t.Errorf("element %d: %v", element, err)
		}
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// Ternary weights come back as codes times the scale in half precision, and
// their blocks are those that the quantizer makes of such weights: its d is
// the largest magnitude, so 0 where all codes are 0.
func TestTernaryIsExact(t *testing.T) {
	shape := []int{3, 512}
	codes := make([]int8, 3*512)
	for i := range codes {
		if i < 256 || i >= 512 { // the second block is zero, the third has a lone code
			codes[i] = int8(i*i%7%3) - 1
		}
	}
	clear(codes[512:768])
	codes[700] = -1
	for _, scale := range []float32{1, 0.021345678, 1e-7, 6.1e-5, 65504} {
		for _, typ := range []Type{TQ1_0, TQ2_0, Q2_0, I2_S, F32, F16, BF16} {
			t.Run(fmt.Sprint(typ, scale), func(t *testing.T) {
				stored := scale
				if typ != I2_S && typ != F32 && typ != BF16 {
					stored = single(half(scale))
				}
				want := make([]float32, len(codes))
				for i, c := range codes {
					want[i] = float32(c) * stored
				}
				b := written(t, typ, shape, func(w *TensorWriter) error { return w.Ternary(codes, scale) })
				got := decoded(t, typ, b)
				if typ == BF16 {
					if got[700] != -math.Float32frombits((math.Float32bits(scale)+0x8000)>>16<<16) {
						t.Errorf("the weight is %g", got[700])
					}
					return
				}
				if i := sameBits(got, want); i >= 0 {
					t.Errorf("element %d is %g, want %g", i, got[i], want[i])
				}
				if typ == I2_S && scale < i2sZero {
					return // its quantizer takes such weights for zeros
				}
				quantized := written(t, typ, shape, func(w *TensorWriter) error { return w.Float32(want) })
				if !bytes.Equal(b, quantized) {
					t.Errorf("the blocks differ from the quantizer's at byte %d", firstDifference(b, quantized))
				}
			})
		}
	}
}

// Rows may be handed over in any number of calls.
func TestPiecesGiveTheSameBytes(t *testing.T) {
	const rows, length = 300, 512 // more than a piece of 64 Ki elements
	codes := make([]int8, rows*length)
	for i := range codes {
		codes[i] = int8(i*31%11%3) - 1
	}
	for _, typ := range []Type{TQ1_0, I2_S, F16} {
		whole := written(t, typ, []int{rows, length}, func(w *TensorWriter) error { return w.Ternary(codes, 0.5) })
		pieces := written(t, typ, []int{rows, length}, func(w *TensorWriter) error {
			for piece := range slices.Chunk(codes, 7*length) {
				if err := w.Ternary(piece, 0.5); err != nil {
					return err
				}
			}
			return nil
		})
		if !bytes.Equal(whole, pieces) {
			t.Errorf("%v: the bytes differ at %d", typ, firstDifference(whole, pieces))
		}
	}
}

func BenchmarkTernary(b *testing.B) {
	codes := make([]int8, 1<<20)
	for i := range codes {
		codes[i] = int8(i*31%11%3) - 1
	}
	for _, typ := range []Type{TQ1_0, TQ2_0, Q2_0, I2_S} {
		var blocks []byte
		b.Run(typ.String()+"/encode", func(b *testing.B) {
			b.SetBytes(int64(len(codes)))
			for b.Loop() {
				blocks = written(b, typ, []int{1024, 1024}, func(w *TensorWriter) error { return w.Ternary(codes, 0.5) })
			}
		})
		b.Run(typ.String()+"/decode", func(b *testing.B) {
			b.SetBytes(int64(len(codes)))
			for b.Loop() {
				decoded(b, typ, blocks)
			}
		})
	}
}
