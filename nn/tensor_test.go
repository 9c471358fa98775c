package nn

import (
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"trefoil/quant"
)

func TestTensorThereAndBack(t *testing.T) {
	q, err := quant.New(quant.Config{})
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, -1, 0.25, 2, -0.5, -1.25}))
	var codes quant.Tensor
	if err := QuantizeTensor(&codes, x, q); err != nil {
		t.Fatal(err)
	}
	// mean|x| is exactly 1
	if want := []int8{1, -1, 0, 1, 0, -1}; !slices.Equal(codes.Codes, want) || !slices.Equal(codes.Shape, []int{2, 3}) {
		t.Fatalf("codes %v of shape %v, want %v of [2 3]", codes.Codes, codes.Shape, want)
	}
	y := tensor.New(tensor.WithShape(2, 3), tensor.Of(tensor.Float32))
	if err := DequantizeTensor(y, &codes); err != nil {
		t.Fatal(err)
	}
	if want := []float32{1, -1, 0, 1, 0, -1}; !slices.Equal(y.Float32s(), want) {
		t.Fatalf("values %v, want %v", y.Float32s(), want)
	}
	if err := DequantizeTensor(tensor.New(tensor.WithShape(3, 2), tensor.Of(tensor.Float32)), &codes); err == nil {
		t.Error("a destination of another shape was accepted")
	}
}

func TestTensorsThatCannotBeRead(t *testing.T) {
	q, err := quant.New(quant.Config{})
	if err != nil {
		t.Fatal(err)
	}
	matrix := func() *tensor.Dense {
		return tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))
	}
	transposed := matrix()
	if err := transposed.T(); err != nil {
		t.Fatal(err)
	}
	column, err := matrix().Slice(nil, tensor.S(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		x    *tensor.Dense
		want string
	}{
		"nil":          {nil, "nil"},
		"float64":      {tensor.New(tensor.WithShape(2), tensor.Of(tensor.Float64)), "want float32"},
		"transposed":   {transposed, "row-major copy"},
		"sliced":       {column.(*tensor.Dense), "row-major copy"},
		"column-major": {tensor.NewDense(tensor.Float32, tensor.Shape{2, 3}, tensor.AsFortran(nil)), "row-major copy"},
	} {
		if err := QuantizeTensor(new(quant.Tensor), c.x, q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}
