package quant

import (
	"math"

	"trefoil/internal/kernel"
)

// source is the input of a quantizer: float32, or 16-bit numbers that are
// widened piece by piece.
type source struct {
	f     []float32
	half  []uint16
	brain bool // the halves are bfloat16
}

func (s *source) len() int { return len(s.f) + len(s.half) }

// span returns elements lo to lo+n, in buf if they must be widened.
func (s *source) span(buf []float32, lo, n int) []float32 {
	if s.half == nil {
		return s.f[lo : lo+n]
	}
	buf = buf[:n]
	if !s.brain {
		kernel.DecodeFloat16Span(buf, s.half[lo:lo+n])
		return buf
	}
	for i, b := range s.half[lo : lo+n] {
		buf[i] = math.Float32frombits(uint32(b) << 16)
	}
	return buf
}

// A view is one group of a source, in the order of its elements.
type view struct {
	src                      source
	start, runs, run, stride int
}

func groupOf(src source, l Layout, g int) view {
	return view{src: src, start: l.Start(g), runs: l.Runs, run: l.Run, stride: l.Stride}
}

// viewOf is a group whose elements lie in one slice.
func viewOf(x []float32) view { return view{src: source{f: x}, runs: 1, run: len(x)} }

func (v *view) size() int { return v.runs * v.run }

func (v *view) blocks() int { return (v.size() + block - 1) / block }

// block returns the i-th block of elements, in buf unless they lie in the
// source one after the other.
func (v *view) block(buf []float32, i int) []float32 {
	return v.read(buf, i*block, min(block, v.size()-i*block))
}

// read returns n elements from the k-th on, in buf unless they lie in the
// source one after the other.
func (v *view) read(buf []float32, k, n int) []float32 {
	if v.runs == 1 {
		return v.src.span(buf, v.start+k, n)
	}
	buf = buf[:n]
	for done := 0; done < n; {
		r, o := (k+done)/v.run, (k+done)%v.run
		m := min(v.run-o, n-done)
		lo := v.start + r*v.stride + o
		if v.src.half == nil {
			copy(buf[done:done+m], v.src.f[lo:])
		} else {
			v.src.span(buf[done:], lo, m)
		}
		done += m
	}
	return buf
}

// write is the opposite of read, for codes.
func (v *view) write(dst, codes []int8, k int) {
	for done := 0; done < len(codes); {
		r, o := (k+done)/v.run, (k+done)%v.run
		done += copy(dst[v.start+r*v.stride+o:][:v.run-o], codes[done:])
	}
}
