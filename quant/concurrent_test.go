package quant

import (
	"slices"
	"sync"
	"testing"
)

// Many goroutines may use one quantizer: each gets what one alone would.
func TestQuantizersMayBeShared(t *testing.T) {
	fixed, err := mustNew(t, Config{Bits: 4}).WithScales([]float32{0.5}, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := normal(2*taskSize+77, 21)
	for _, q := range []*Scalar{
		mustNew(t, Config{}), mustNew(t, Config{Scale: Optimal}), mustNew(t, Config{Bits: 4, Scale: MSE}), fixed,
		mustNew(t, Config{Bits: 8, Scheme: Affine, Scale: Percentile, Granularity: PerGroup, Group: 1}),
	} {
		want := mustQuantizeBy(t, q, x)
		values := want.Values()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				got := new(Tensor)
				for range 3 {
					if err := q.QuantizeInto(got, x); err != nil {
						t.Error(err)
						return
					}
				}
				y := make([]float32, len(x))
				if err := got.Dequantize(y); err != nil || !slices.Equal(got.Codes, want.Codes) || !slices.Equal(got.Scales, want.Scales) || !slices.Equal(y, values) {
					t.Errorf("%+v: another result among others (%v)", q.Config(), err)
				}
			})
		}
		all.Wait()
	}
}
