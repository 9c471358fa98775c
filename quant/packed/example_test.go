package packed_test

import (
	"fmt"
	"log"

	"trefoil/quant"
	"trefoil/quant/packed"
)

// Ternary weights, five to a byte, times inputs of 8 bits.
func Example() {
	const tokens, in, out = 1, 4, 2
	weights, x := []float32{1, -1, 0, 1, 0, 0, 1, 1}, []float32{0.5, -1, 1, 0}
	q, err := quant.New(quant.Config{}) // b1.58
	if err != nil {
		log.Fatal(err)
	}
	m, err := packed.Quantize(packed.Trits, q, weights, out, in)
	if err != nil {
		log.Fatal(err)
	}
	layer, err := packed.NewLinear(m)
	if err != nil {
		log.Fatal(err)
	}
	y := make([]float32, tokens*out)
	if err := layer.Apply(y, x, tokens, packed.Input{Bits: 8}); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d bytes with the scale; y = %.3f\n", m.Size(), y)
	// Output:
	// 6 bytes with the scale; y = [0.940 0.625]
}

// A matrix is read in pieces of any length, with a fixed buffer.
func ExampleMatrix_Values() {
	m, err := packed.NewMatrix(packed.Bits4, 2, 3, []int8{-8, 7, 0, 1, 2, 3}, packed.Scales{Values: []float32{0.5}})
	if err != nil {
		log.Fatal(err)
	}
	for first, values := range m.Values(make([]float32, 4)) {
		fmt.Println(first, values)
	}
	// Output:
	// 0 [-4 3.5 0 0.5]
	// 4 [1 1.5]
}
