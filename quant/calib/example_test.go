package calib_test

import (
	"context"
	"fmt"
	"log"

	"trefoil/quant"
	"trefoil/quant/calib"
)

// An observer watches activations, and gives a quantizer with fixed scales.
func Example() {
	var o calib.Observer
	for batch := range 10 {
		x := make([]float32, 100)
		for i := range x {
			x[i] = float32(i+batch) / 100
		}
		o.Observe(x)
	}
	c := quant.Config{Bits: 8, Scale: quant.MinMax}
	scale, _, err := o.Static(c)
	if err != nil {
		log.Fatal(err)
	}
	q, err := quant.New(c)
	if err != nil {
		log.Fatal(err)
	}
	if q, err = q.WithScales([]float32{scale}, nil); err != nil {
		log.Fatal(err)
	}
	t, err := q.Quantize([]float32{0.25, 1.08, 9})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.4f %v\n", scale, t.Codes)
	// Output:
	// 0.0085 [29 127 127]
}

// Of two inputs that are always equal, one weight can be rounded up for the
// other that is rounded down.
func ExampleAdaRound() {
	layer := calib.Layer{Weight: []float32{1, 0.45, 0.35}, Inputs: []float32{1, 1, 1, 0, 2, 2, 1, 3, 3}, Out: 1, In: 3}
	c := quant.Config{Bits: 2}
	q, err := quant.New(c)
	if err != nil {
		log.Fatal(err)
	}
	nearest, err := q.Quantize(layer.Weight, 1, 3)
	if err != nil {
		log.Fatal(err)
	}
	learned, err := calib.AdaRound(context.Background(), layer, c, 1000)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(nearest.Codes, learned.Codes)
	// Output:
	// [1 0 0] [1 1 0]
}
