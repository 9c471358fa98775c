package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestPatchesOfAnImage(t *testing.T) {
	// 1 2 3
	// 4 5 6, a window of 2 x 2 at each step of 2 of the image within zeros
	s := ConvShape{Batch: 1, Height: 2, Width: 3, Channels: 1, KernelHeight: 2, KernelWidth: 2, Stride: 2, Padding: 1}
	dst := make([]int8, s.Rows()*s.Cols())
	for i := range dst {
		dst[i] = 99
	}
	Patches(dst, []int8{1, 2, 3, 4, 5, 6}, s)
	if want := []int8{0, 0, 0, 1, 0, 0, 2, 3, 0, 4, 0, 0, 5, 6, 0, 0}; !slices.Equal(dst, want) {
		t.Errorf("windows %v, want %v", dst, want)
	}
}

// The product <Patches(x), d> is <x, PatchesGrad(d)>: one is the transpose of
// the other.
func TestPatchesGradIsTranspose(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 200 {
		s := ConvShape{
			Batch: 1 + r.IntN(3), Height: 1 + r.IntN(8), Width: 1 + r.IntN(8), Channels: 1 + r.IntN(4),
			KernelHeight: 1 + r.IntN(4), KernelWidth: 1 + r.IntN(4), Stride: 1 + r.IntN(3),
		}
		s.Padding = r.IntN(max(s.KernelHeight, s.KernelWidth))
		if s.Validate() != nil {
			continue
		}
		x, d := gaussian[float64](r, s.Batch*s.Height*s.Width*s.Channels), gaussian[float64](r, s.Rows()*s.Cols())
		p, dx := make([]float64, len(d)), make([]float64, len(x))
		Patches(p, x, s)
		PatchesGrad(dx, d, s)
		if a, b := dot(p, d), dot(x, dx); math.Abs(a-b) > 1e-9 {
			t.Fatalf("%+v: %v and %v", s, a, b)
		}
	}
}

func TestConv(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for range 100 {
		checkConv(t, r, ConvShape{
			Batch: 1 + r.IntN(3), Height: 1 + r.IntN(8), Width: 1 + r.IntN(8), Channels: 1 + r.IntN(4),
			KernelHeight: 1 + r.IntN(4), KernelWidth: 1 + r.IntN(4), Stride: 1 + r.IntN(3), Padding: r.IntN(4),
		})
	}
	// Large enough to be divided among threads.
	checkConv(t, r, ConvShape{Batch: 3, Height: 21, Width: 20, Channels: 8, KernelHeight: 3, KernelWidth: 3, Stride: 1, Padding: 1})
	checkConv(t, r, ConvShape{Batch: 2, Height: 64, Width: 62, Channels: 16, KernelHeight: 2, KernelWidth: 2, Stride: 2})
}

func FuzzConv(f *testing.F) {
	f.Add(uint64(1), uint8(1), uint8(5), uint8(6), uint8(2), uint8(3), uint8(2), uint8(2), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, batch, height, width, channels, kernelHeight, kernelWidth, stride, padding uint8) {
		checkConv(t, rand.New(rand.NewPCG(seed, 0)), ConvShape{
			Batch: 1 + int(batch%3), Height: 1 + int(height%20), Width: 1 + int(width%20), Channels: 1 + int(channels%5),
			KernelHeight: 1 + int(kernelHeight%6), KernelWidth: 1 + int(kernelWidth%6), Stride: 1 + int(stride%4), Padding: int(padding % 6),
		})
	})
}

// checkConv runs all that works on windows with several numbers of threads, if
// the shape is one.
func checkConv(t *testing.T, r *rand.Rand, s ConvShape) {
	t.Helper()
	if s.Validate() != nil {
		return
	}
	for _, threads := range []int{1, 3} {
		defer SetThreads(SetThreads(threads))
		checkPatches(t, r, s)
		if s.Padding == 0 {
			checkMaxPool(t, r, s)
		}
		checkBiasReLU(t, r, s.Rows(), s.Cols())
	}
}

// eachValue calls body for the values of all windows that lie in an image, with
// their indices among those of Patches and in the images.
func (s ConvShape) eachValue(body func(i, at int)) {
	for i := range s.Rows() * s.Cols() {
		row, c, inside := i/s.Cols(), i%s.Channels, i%s.Cols()/s.Channels
		image, oy, ox := row/s.OutWidth()/s.OutHeight(), row/s.OutWidth()%s.OutHeight(), row%s.OutWidth()
		y, x := oy*s.Stride-s.Padding+inside/s.KernelWidth, ox*s.Stride-s.Padding+inside%s.KernelWidth
		if y >= 0 && y < s.Height && x >= 0 && x < s.Width {
			body(i, ((image*s.Height+y)*s.Width+x)*s.Channels+c)
		}
	}
}

func checkPatches(t *testing.T, r *rand.Rand, s ConvShape) {
	t.Helper()
	n, size := s.Batch*s.Height*s.Width*s.Channels, s.Rows()*s.Cols()
	x, codes, d := gaussian[float32](r, n), random8(r, n, -128, 127), gaussian[float32](r, size)
	want, wantCodes, wantGrad := make([]float32, size), make([]int8, size), make([]float32, n)
	s.eachValue(func(i, at int) {
		want[i], wantCodes[i] = x[at], codes[at]
		wantGrad[at] += d[i]
	})
	got, gotCodes, grad := newFenced[float32](size, guard), newFenced(size, int8(99)), newFenced[float32](n, guard)
	Patches(got.s, x, s)
	Patches(gotCodes.s, codes, s)
	PatchesGrad(grad.s, d, s)
	what := fmt.Sprintf("%+v", s)
	same(t, what, got.s, want)
	same(t, what+" codes", gotCodes.s, wantCodes)
	same(t, what+" gradient", grad.s, wantGrad)
	got.check(t, what)
	gotCodes.check(t, what+" codes")
	grad.check(t, what+" gradient")
}

func checkMaxPool(t *testing.T, r *rand.Rand, s ConvShape) {
	t.Helper()
	n, outputs := s.Batch*s.Height*s.Width*s.Channels, s.Rows()*s.Channels
	x, dy := odd(r, n, r.IntN(3)), gaussian[float32](r, outputs)
	want, wantFrom, wantGrad := make([]float32, outputs), make([]int32, outputs), make([]float32, n)
	s.eachValue(func(i, at int) {
		out := i/s.Cols()*s.Channels + i%s.Channels
		if first := i%s.Cols() < s.Channels; first || x[at] > want[out] || x[at] != x[at] {
			want[out], wantFrom[out] = x[at], int32(at)
		}
	})
	for i, at := range wantFrom {
		wantGrad[at] += dy[i]
	}
	y, from, grad := newFenced[float32](outputs, guard), newFenced(outputs, int32(-7)), newFenced[float32](n, guard)
	MaxPool(y.s, from.s, x, s)
	MaxPoolGrad(grad.s, dy, wantFrom)
	what := fmt.Sprintf("MaxPool %+v", s)
	same(t, what, y.s, want)
	same(t, what+" from", from.s, wantFrom)
	same(t, what+" gradient", grad.s, wantGrad)
	y.check(t, what)
	from.check(t, what+" from")
	grad.check(t, what+" gradient")
}

func checkBiasReLU(t *testing.T, r *rand.Rand, rows, cols int) {
	t.Helper()
	n := rows * cols
	x, bias, dy := odd(r, n, r.IntN(3)), gaussian[float32](r, cols), gaussian[float32](r, n)
	want, wantDX, wantDBias := make([]float32, n), make([]float32, n), make([]float32, cols)
	for i, v := range x {
		if want[i] = max(v+bias[i%cols], 0); want[i] > 0 {
			wantDX[i] = dy[i]
		}
		wantDBias[i%cols] += wantDX[i]
	}
	y, dx, dbias := newFenced[float32](n, guard), newFenced[float32](n, guard), newFenced[float32](cols, guard)
	BiasReLU(y.s, x, bias, rows, cols)
	BiasReLUGrad(dx.s, dbias.s, dy, want, rows, cols)
	what := fmt.Sprintf("BiasReLU %d x %d", rows, cols)
	same(t, what, y.s, want)
	same(t, what+" dx", dx.s, wantDX)
	same(t, what+" dbias", dbias.s, wantDBias)
	for _, f := range []fenced[float32]{y, dx, dbias} {
		f.check(t, what)
	}
}

func TestMaxPoolAndBias(t *testing.T) {
	nan := math.NaN()
	s := ConvShape{Batch: 1, Height: 3, Width: 4, Channels: 1, KernelHeight: 2, KernelWidth: 2, Stride: 2}
	x := []float64{1, 5, nan, 2, 5, 3, 9, 4, 7, 7, 7, 7} // the last line has no window
	y, from := make([]float64, 2), make([]int32, 2)
	MaxPool(y, from, x, s)
	if y[0] != 5 || from[0] != 1 || y[1] == y[1] {
		t.Errorf("largest %v from %v, want 5 from 1, and NaN", y, from)
	}
	dx := make([]float64, 12)
	MaxPoolGrad(dx, []float64{2, 3}, []int32{1, 2})
	if dx[1] != 2 || dx[2] != 3 || dx[0] != 0 {
		t.Errorf("gradient %v", dx)
	}

	x, bias := []float64{1, -2, -1, 3, nan, 0}, []float64{0.5, 1}
	z := make([]float64, 6)
	BiasReLU(z, x, bias, 3, 2)
	if !slices.Equal(z[:4], []float64{1.5, 0, 0, 4}) || z[4] == z[4] || z[5] != 1 {
		t.Errorf("with bias and ReLU %v", z)
	}
	dbias := make([]float64, 2)
	BiasReLUGrad(dx[:6], dbias, []float64{1, 10, 100, 1000, 0, 5}, []float64{1.5, 0, 0, 4, 0, 1}, 3, 2)
	if !slices.Equal(dx[:6], []float64{1, 0, 0, 1000, 0, 5}) || !slices.Equal(dbias, []float64{1, 1005}) {
		t.Errorf("gradients %v and %v", dx[:6], dbias)
	}
}

func TestConvShapeValidate(t *testing.T) {
	good := ConvShape{Batch: 1, Height: 4, Width: 4, Channels: 1, KernelHeight: 3, KernelWidth: 3, Stride: 1, Padding: 1}
	if err := good.Validate(); err != nil || good.OutHeight() != 4 || good.OutWidth() != 4 {
		t.Errorf("3 x 3 with padding 1 keeps the size: %v", err)
	}
	for want, change := range map[string]func(*ConvShape){
		"[1, 4, 4, 0]": func(s *ConvShape) { s.Channels = 0 },
		"0 apart":      func(s *ConvShape) { s.Stride = 0 },
		"padding -1":   func(s *ConvShape) { s.Padding = -1 },
		"padding 3":    func(s *ConvShape) { s.Padding = 3 },
		"does not fit": func(s *ConvShape) { s.KernelWidth = 7 },
	} {
		s := good
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
}
