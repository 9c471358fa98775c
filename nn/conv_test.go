package nn

import (
	"fmt"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

func TestImageGradients(t *testing.T) {
	for _, c := range []struct {
		name   string
		shapes [][]int
		build  func(in []*G.Node) (*G.Node, error)
	}{
		{"Conv2D", [][]int{{2, 5, 4, 3}, {4, 3, 2, 3}}, func(in []*G.Node) (*G.Node, error) { return Conv2D(in[0], in[1], Window{}) }},
		{"Conv2D padded", [][]int{{2, 4, 4, 2}, {3, 3, 3, 2}}, func(in []*G.Node) (*G.Node, error) { return Conv2D(in[0], in[1], Window{Padding: 1}) }},
		{"Conv2D strided", [][]int{{1, 7, 6, 2}, {2, 3, 3, 2}}, func(in []*G.Node) (*G.Node, error) {
			return Conv2D(in[0], in[1], Window{Stride: 2, Padding: 2})
		}},
		{"Patches", [][]int{{2, 4, 5, 2}}, func(in []*G.Node) (*G.Node, error) { return Patches(in[0], 2, 3, Window{Stride: 3, Padding: 1}) }},
		{"MaxPool2D", [][]int{{2, 5, 4, 3}}, func(in []*G.Node) (*G.Node, error) { return MaxPool2D(in[0], 2) }},
		{"BiasReLU", [][]int{{2, 3, 2, 3}, {3}}, func(in []*G.Node) (*G.Node, error) { return BiasReLU(in[0], in[1]) }},
		{"BiasReLU of a matrix", [][]int{{5, 3}, {3}}, func(in []*G.Node) (*G.Node, error) { return BiasReLU(in[0], in[1]) }},
		{"Flatten", [][]int{{2, 3, 2, 3}}, func(in []*G.Node) (*G.Node, error) { return Flatten(in[0]) }},
		{"a network", [][]int{{2, 6, 6, 2}, {4, 3, 3, 2}, {4}, {3, 36}}, func(in []*G.Node) (*G.Node, error) {
			x, err := Conv2D(in[0], in[1], Window{Padding: 1})
			if err != nil {
				return nil, err
			}
			if x, err = BiasReLU(x, in[2]); err != nil {
				return nil, err
			}
			if x, err = MaxPool2D(x, 2); err != nil {
				return nil, err
			}
			if x, err = Flatten(x); err != nil {
				return nil, err
			}
			return Linear(x, in[3])
		}},
	} {
		t.Run(c.name, func(t *testing.T) { newBench(t, c.shapes, c.build).checkNumerically() })
	}
}

// convolve is the definition of a convolution: x [batch, h, w, c],
// w [out, kh, kw, c], written out.
func convolve(x, w []float64, s kernel.ConvShape, out int) []float64 {
	at := func(b, y, x0, c int) float64 {
		if y < 0 || y >= s.Height || x0 < 0 || x0 >= s.Width {
			return 0
		}
		return x[((b*s.Height+y)*s.Width+x0)*s.Channels+c]
	}
	var y []float64
	for b := range s.Batch {
		for oy := range s.OutHeight() {
			for ox := range s.OutWidth() {
				for o := range out {
					sum := 0.0
					for ky := range s.KernelHeight {
						for kx := range s.KernelWidth {
							for c := range s.Channels {
								sum += at(b, oy*s.Stride-s.Padding+ky, ox*s.Stride-s.Padding+kx, c) *
									w[((o*s.KernelHeight+ky)*s.KernelWidth+kx)*s.Channels+c]
							}
						}
					}
					y = append(y, sum)
				}
			}
		}
	}
	return y
}

func TestConv2DByDefinition(t *testing.T) {
	for _, s := range []kernel.ConvShape{
		{Batch: 2, Height: 6, Width: 5, Channels: 3, KernelHeight: 3, KernelWidth: 3, Stride: 1, Padding: 1},
		{Batch: 1, Height: 7, Width: 9, Channels: 2, KernelHeight: 2, KernelWidth: 4, Stride: 3, Padding: 0},
		{Batch: 3, Height: 1, Width: 4, Channels: 1, KernelHeight: 5, KernelWidth: 5, Stride: 2, Padding: 4},
	} {
		window := Window{Stride: s.Stride, Padding: s.Padding}
		shapes := [][]int{{s.Batch, s.Height, s.Width, s.Channels}, {4, s.KernelHeight, s.KernelWidth, s.Channels}}
		for _, quantized := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v/%v", s, quantized), func(t *testing.T) {
				b := newBench(t, shapes, func(in []*G.Node) (_ *G.Node, err error) {
					x, w := in[0], in[1]
					if quantized {
						if x, err = FakeQuantActivation(x, &ActivationQuantizer{Bits: 8, Lambda: 1}); err != nil {
							return nil, err
						}
						if w, err = FakeQuantWeight(w, &WeightQuantizer{Lambda: 1}); err != nil {
							return nil, err
						}
					}
					return Conv2D(x, w, window)
				})
				b.run()
				x, w := b.data[0], b.data[1]
				if quantized {
					x, w = imagesByAbsMax(x, s.Batch), ternaryValues(w)
				}
				if want := []int{s.Batch, s.OutHeight(), s.OutWidth(), 4}; !slices.Equal([]int(b.out.Shape()), want) {
					t.Fatalf("shape %v, want %v", b.out.Shape(), want)
				}
				close64(t, "y", b.out.Value().Data().([]float64), convolve(x, w, s, 4))
			})
		}
	}
}

// imagesByAbsMax quantizes each image to 8 bits with a scale of its own.
func imagesByAbsMax(x []float64, batch int) []float64 {
	var q []float64
	for image := range slices.Chunk(x, len(x)/batch) {
		codes, scale := absmax(image, 127)
		for _, c := range codes {
			q = append(q, c*scale)
		}
	}
	return q
}

func ternaryValues(w []float64) []float64 {
	codes, gamma := ternary(w)
	for i := range codes {
		codes[i] *= gamma
	}
	return codes
}

// A quantized convolution passes its gradients straight through: they are
// those of a convolution of the quantized values.
func TestQuantizedConv2DGradient(t *testing.T) {
	shapes := [][]int{{2, 5, 5, 3}, {4, 3, 3, 3}}
	window := Window{Stride: 2, Padding: 1}
	for _, bits := range []int{32, 16} {
		quantized := newBench(t, shapes, func(in []*G.Node) (*G.Node, error) {
			x, err := FakeQuantActivation(in[0], &ActivationQuantizer{Bits: 8, Lambda: 1, GradientBits: bits})
			if err != nil {
				return nil, err
			}
			w, err := FakeQuantWeight(in[1], &WeightQuantizer{Lambda: 1})
			if err != nil {
				return nil, err
			}
			return Conv2D(x, w, window)
		})
		quantized.run()
		reference := newBench(t, shapes, func(in []*G.Node) (*G.Node, error) { return Conv2D(in[0], in[1], window) })
		copy(reference.data[0], imagesByAbsMax(quantized.data[0], 2))
		copy(reference.data[1], ternaryValues(quantized.data[1]))
		reference.run()
		for i := range shapes {
			got, want := quantized.gradient(i), reference.gradient(i)
			if bits == 32 {
				close64(t, fmt.Sprint("gradient of input ", i), got, want)
				continue
			}
			for j := range got {
				got[j] -= want[j]
			}
			if e := norm(got) / norm(want); e == 0 || e > 2e-4 {
				t.Errorf("input %d at 16 bits: relative error %v, want in (0, 2e-4]", i, e)
			}
		}
	}
}
