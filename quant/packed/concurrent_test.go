package packed

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"trefoil/quant"
)

// Many goroutines may read one matrix and multiply by it.
func TestMatricesMayBeShared(t *testing.T) {
	const rows, out, in = 3, 40, 72
	rng := rand.New(rand.NewPCG(17, 18))
	w, x := gaussian(rng, out*in), gaussian(rng, rows*in)
	for f, c := range map[Format]quant.Config{Trits: {}, Bits4: {Bits: 4, Granularity: quant.PerGroup, Group: 8}} {
		m, err := Quantize(f, quantizer(t, c), w, out, in)
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewLinear(m)
		if err != nil {
			t.Fatal(err)
		}
		conv, err := NewConv2D(Conv2D{KernelHeight: 3, KernelWidth: 3, Channels: 8, Stride: 1, Padding: 1}, m)
		if err != nil {
			t.Fatal(err)
		}
		apply := func() (y, images, values []float32) {
			y, images, values = make([]float32, rows*out), make([]float32, 3*3*3*out), make([]float32, out*in)
			if err := l.Apply(y, x, rows, Input{Bits: 8}); err != nil {
				t.Error(err)
			}
			if err := conv.Apply(images, x, 3, 3, 3, Input{Bits: 8}); err != nil {
				t.Error(err)
			}
			if err := m.Dequantize(values); err != nil {
				t.Error(err)
			}
			return y, images, values
		}
		wantY, wantImages, wantValues := apply()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 5 {
					if y, images, values := apply(); !slices.Equal(y, wantY) || !slices.Equal(images, wantImages) || !slices.Equal(values, wantValues) {
						t.Errorf("%v: another result among others", f)
					}
				}
			})
		}
		all.Wait()
	}
}
