package nn

import (
	"fmt"

	"gorgonia.org/tensor"

	"trefoil/quant"
)

// QuantizeTensor makes dst the quantized form of t, of t's shape. t holds
// float32 in row-major order without gaps, as every new tensor does: a
// transposed or sliced one is an error, and its Materialize or Clone the
// remedy. The elements are read where they are.
func QuantizeTensor(dst *quant.Tensor, t *tensor.Dense, q quant.Quantizer) error {
	x, err := elements("QuantizeTensor", t)
	if err != nil {
		return err
	}
	return q.QuantizeInto(dst, x, t.Shape()...)
}

// DequantizeTensor writes the values of q into dst, a float32 tensor of q's
// shape in row-major order without gaps.
func DequantizeTensor(dst *tensor.Dense, q *quant.Tensor) error {
	const name = "DequantizeTensor"
	x, err := elements(name, dst)
	if err != nil {
		return err
	}
	if !dst.Shape().Eq(tensor.Shape(q.Shape)) {
		return fmt.Errorf("%s: destination of shape %v, want %v", name, dst.Shape(), q.Shape)
	}
	return q.Dequantize(x)
}

// elements returns the memory of a dense float32 tensor.
func elements(name string, t *tensor.Dense) ([]float32, error) {
	if t == nil {
		return nil, fmt.Errorf("%s: the tensor is nil", name)
	}
	if t.Dtype() != tensor.Float32 {
		return nil, fmt.Errorf("%s: a tensor of %v, want float32", name, t.Dtype())
	}
	if t.RequiresIterator() || t.DataOrder().IsColMajor() || t.DataOrder().IsTransposed() {
		return nil, fmt.Errorf("%s: the tensor of shape %v is transposed, sliced or column-major: give a row-major copy", name, t.Shape())
	}
	if t.IsScalar() {
		return nil, fmt.Errorf("%s: the tensor is a scalar, want at least one dimension", name)
	}
	return t.Float32s(), nil
}
