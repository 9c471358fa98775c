package quant_test

import (
	"fmt"
	"log"

	"trefoil/quant"
)

// The quantizer of the package's comment: 4 bits, a scale for 64 weights.
func Example() {
	w := make([]float32, 256*1024)
	for i := range w {
		w[i] = float32(i%15-7) / 8
	}
	q, err := quant.New(quant.Config{Bits: 4, Granularity: quant.PerGroup, Group: 64})
	if err != nil {
		log.Fatal(err)
	}
	var t quant.Tensor
	if err := q.QuantizeInto(&t, w, 256, 1024); err != nil {
		log.Fatal(err)
	}
	y := make([]float32, len(w))
	if err := t.Dequantize(y); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(t.Codes), "codes,", len(t.Scales), "scales")
	fmt.Println(w[:4], t.Codes[:4], t.Scales[0], y[:4])
	// Output:
	// 262144 codes, 4096 scales
	// [-0.875 -0.75 -0.625 -0.5] [-7 -6 -5 -4] 0.125 [-0.875 -0.75 -0.625 -0.5]
}

// The zero value is the weight quantizer of BitNet b1.58.
func ExampleNew() {
	q, err := quant.New(quant.Config{})
	if err != nil {
		log.Fatal(err)
	}
	codes, err := q.Quantize([]float32{0.4, -1.5, 0.25, 0.49, -0.5, 0, -0.24, 0.62})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(codes.Codes, codes.Scales)
	_, err = quant.New(quant.Config{Bits: 1.6})
	fmt.Println(err)
	// Output:
	// [1 -1 0 1 -1 0 0 1] [0.5]
	// quantizer: bits: 1.6 is not supported: use 1, 1.58 or 2 to 8
}

// Scales that calibration found serve every tensor.
func ExampleScalar_WithScales() {
	c := quant.Config{Bits: 8, Scheme: quant.Affine}
	scale, zero, err := c.Cover(0, 2.55) // what activations reach behind a ReLU
	if err != nil {
		log.Fatal(err)
	}
	q, err := quant.New(c)
	if err != nil {
		log.Fatal(err)
	}
	if q, err = q.WithScales([]float32{scale}, []int8{zero}); err != nil {
		log.Fatal(err)
	}
	t, err := q.Quantize([]float32{0, 0.5, 1, 3})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.Codes, t.Values())
	// Output:
	// [-128 -78 -28 127] [0 0.5 1 2.55]
}

// The first pattern that matches a layer decides.
func ExampleMixed_Build() {
	plan := quant.Mixed{
		{Layers: "*.ffn.down", Quantizer: quant.Config{Bits: 4, Granularity: quant.PerChannel}},
		{Layers: "blocks.*"},
	}
	quantizers, err := plan.Build([]string{"blocks.0.attention.q", "blocks.0.ffn.down", "head"})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"blocks.0.attention.q", "blocks.0.ffn.down"} {
		fmt.Println(name, quantizers[name].Config().Bits)
	}
	fmt.Println("head", quantizers["head"])
	// Output:
	// blocks.0.attention.q 1.58
	// blocks.0.ffn.down 4
	// head <nil>
}
