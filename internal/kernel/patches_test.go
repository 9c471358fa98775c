package kernel

import (
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
