// Package packed holds quantized weights in as few bits as they need, computes
// with them, and reads and writes .trefoil files: a ternary language model, its
// tokenizer and its calibrated activation scales in one file, ready to run.
//
// # Matrices, and what is computed with them
//
// A [Matrix] has codes of 1, 1.6 (ternary), 2, 3, 4 or 8 bits and scales by
// tensor, channel or group. It is made by [Quantize] from floats, by
// [NewMatrix] from codes, or by [FromTensor], and gives its values back whole,
// by row, or in pieces. A [Linear] or [Conv2D] multiplies it with int8
// activations; [ReLU], [ReLU2] and [SiLU] are functions of such activations.
//
//	q, err := quant.New(quant.Config{}) // b1.58
//	m, err := packed.Quantize(packed.Trits, q, weights, out, in)
//	layer, err := packed.NewLinear(m)
//	err = layer.Apply(y, x, tokens, packed.Input{Bits: 8})
//
// A product is float32(sum of integer codes) * (scale of x * scale of w), in
// this order, so that it has the same bits on every processor: see
// [Linear.Multiply].
//
// # Layout of a .trefoil file, versions 1 and 2
//
// All numbers are little-endian. CRC means CRC-32C (Castagnoli).
//
//	offset  bytes  header, 128 bytes
//	     0      8  the ASCII characters "trefoil" and a newline
//	     8      4  version of the format: 2 if scales have a type, otherwise 1
//	    12      4  zero
//	    16      8  size of the file
//	    24     24  section config     offset (8 bytes), length (8), CRC (4), zero (4)
//	    48     24  section tokenizer  the same
//	    72     24  section index      the same
//	    96     28  zero
//	   124      4  CRC of bytes 0 to 123
//
// The sections follow in this order, then the tensors in the order of the
// index. Each section and each tensor begins at the next multiple of 64; the
// bytes between are zero, and nothing follows the last tensor.
//
//   - config is the JSON of [Config]: the model's sizes, how it was
//     quantized, where it comes from.
//   - tokenizer is a tokenizer.json, byte for byte.
//   - index is the JSON of a list of [Info]: a tensor's name, type, shape,
//     scale, activation scales, offset, length and CRC. Numbers are written
//     with the fewest digits that give the same float32 when read as one.
//
// # Tensors
//
// Elements are row-major; a linear layer's are [out, in]. The types are
//
//	float32  4 bytes an element
//	float16  2 bytes an element
//	ternary  codes -1, 0 and 1, five to a byte:
//	         byte = (c0+1)*81 + (c1+1)*27 + (c2+1)*9 + (c3+1)*3 + (c4+1),
//	         running over the ends of rows; the last byte is filled up with
//	         code 0. The weight is code * scale.
//	bits1, trits, bits2, bits3, bits4, bits8
//	         a [Matrix] of that [Format], with as many scales as the index
//	         says: the scales, then the codes. Equally many consecutive
//	         elements share a scale. The weight is code * scale. Scales are
//	         float32, or in version 2 what the index names as scale_type:
//	         float16 (2 bytes each) or power-of-two (1 byte: the 8 exponent
//	         bits of the float32, so that 127 is 1).
//
// # Activations
//
// A linear layer reads its input x as integers of activation.bits bits, here
// 8. With a scale for each token (dynamic), s = max|x|/127. With the static
// scales of the index, s = absmax/127 or s = percentile/127, where absmax is
// the largest |x| that calibration saw at this input and percentile a
// quantile of |x|. 32 bits mean that the input stays in float32.
//
// # Trust
//
// Open checks the header, the sections, the index and the padding before it
// uses them; [File.Load] checks a tensor, [File.Verify] all of them. A damaged
// byte, wherever it lies, is reported with the section or tensor that it
// belongs to.
package packed

import (
	"errors"
	"fmt"
	"math"

	"trefoil/arch"
	"trefoil/internal/kernel"
	"trefoil/quant"
)

// Config is the section config.
type Config struct {
	Model        arch.Config  `json:"model"`
	Quantization Quantization `json:"quantization"`
	Provenance   Provenance   `json:"provenance"`
}

// Quantization says where scales come from.
type Quantization struct {
	WeightScale       string  `json:"weight_scale,omitempty"`       // rule for a tensor's scale: absmean or median
	Percentile        float64 `json:"percentile,omitempty"`         // quantile behind Activation.Percentile, in per cent
	CalibrationTokens int     `json:"calibration_tokens,omitempty"` // tokens that calibration ran over
}

// Provenance says where a model comes from.
type Provenance struct {
	Run  string  `json:"run,omitempty"`      // name of the training run
	Step int     `json:"step,omitempty"`     // optimizer steps behind the weights
	Loss float64 `json:"val_loss,omitempty"` // held-out loss in training, nats a token
}

// A Type is how a tensor's elements are stored.
type Type string

const (
	Ternary Type = "ternary"
	Float32 Type = "float32"
	Float16 Type = "float16"
)

// matrixTypes are the types of tensors that are a [Matrix].
var matrixTypes = map[Type]Format{
	"bits1": Bits1, "trits": Trits, "bits2": Bits2, "bits3": Bits3, "bits4": Bits4, "bits8": Bits8,
}

// Codes returns the type of a tensor that is a [Matrix] of that format.
func Codes(f Format) Type {
	for t, own := range matrixTypes {
		if own == f {
			return t
		}
	}
	return ""
}

// Activation is how a linear layer reads its input. The static scales are
// stored as bounds of |x|: the scale of the codes is the bound divided by the
// largest code. Both are 0 if the model was not calibrated.
type Activation struct {
	Bits       int     `json:"bits"` // 2 to 8, or 32 for float32
	AbsMax     float32 `json:"absmax,omitempty"`
	Percentile float32 `json:"percentile,omitempty"`
}

func (a *Activation) check() error {
	if a.Bits != 32 && (a.Bits < 2 || a.Bits > 8) {
		return fmt.Errorf("activations of %d bits are not supported: use 2 to 8, or 32", a.Bits)
	}
	none := a.AbsMax == 0 && a.Percentile == 0
	if !none && !(finite(a.AbsMax) && finite(a.Percentile) && min(a.AbsMax, a.Percentile) > 0) {
		return fmt.Errorf("static activation scales %v and %v: both must be positive and finite", a.AbsMax, a.Percentile)
	}
	if a.Bits == 32 {
		return nil
	}
	top := float32(quant.MaxCode(a.Bits))
	return errors.Join(Input{a.Bits, a.AbsMax / top}.Validate(), Input{a.Bits, a.Percentile / top}.Validate())
}

// A Tensor is a tensor in memory: Codes and Scale if Type is Ternary, Matrix if
// it is one of [Codes], Values otherwise. Values of a Float16 tensor that was
// read have been rounded to half precision.
type Tensor struct {
	Name       string
	Type       Type
	Shape      []int
	Scale      float32     // gamma of a ternary tensor
	Activation *Activation // of a linear layer's input; nil for other tensors
	Codes      []int8
	Values     []float32
	Matrix     *Matrix
}

// Quantized reports whether the tensor is of codes.
func (t *Tensor) Quantized() bool { return t.Type == Ternary || t.Matrix != nil }

// Floats returns the elements as float32, whatever the type: Values itself, or
// code * scale.
func (t *Tensor) Floats() []float32 {
	switch {
	case t.Matrix != nil:
		w := make([]float32, t.Matrix.rows*t.Matrix.cols)
		t.Matrix.dequantize(w, 0)
		return w
	case t.Type == Ternary:
		w := make([]float32, len(t.Codes))
		for i, c := range t.Codes {
			w[i] = float32(c) * t.Scale
		}
		return w
	}
	return t.Values
}

// size is how many bytes the elements take in a file.
func (t *Tensor) size() int {
	if t.Matrix != nil {
		return t.Matrix.Size()
	}
	n, _ := elements(t.Shape)
	return t.Type.Bytes(n)
}

// A Model is the content of a file.
type Model struct {
	Config    Config
	Tokenizer []byte // tokenizer.json
	Tensors   []Tensor
}

// Find returns the tensor of that name, nil if there is none.
func (m *Model) Find(name string) *Tensor {
	for i := range m.Tensors {
		if m.Tensors[i].Name == name {
			return &m.Tensors[i]
		}
	}
	return nil
}

// Bytes returns how many bytes n elements take, without the scales of [Codes].
func (t Type) Bytes(n int) int {
	switch t {
	case Ternary:
		return Trits.Bytes(n)
	case Float16:
		return 2 * n
	}
	if f, ok := matrixTypes[t]; ok {
		return f.Bytes(n)
	}
	return 4 * n
}

const (
	tritsPerByte = 5
	maxElements  = 1 << 48 // so that lengths in bytes fit in 64 bits
)

// elements returns the product of a shape of one or two positive dimensions.
func elements(shape []int) (int, error) {
	if len(shape) < 1 || len(shape) > 2 {
		return 0, fmt.Errorf("shape %v: only one or two dimensions are supported", shape)
	}
	n := 1
	for _, d := range shape {
		if d < 1 || d > math.MaxInt32 {
			return 0, fmt.Errorf("shape %v: a dimension is not between 1 and %d", shape, math.MaxInt32)
		}
		n *= d
	}
	if n > maxElements {
		return 0, fmt.Errorf("shape %v: more than %d elements", shape, maxElements)
	}
	return n, nil
}

// check reports a tensor that cannot be stored as it is.
func (t *Tensor) check() error {
	n, err := elements(t.Shape)
	if err != nil {
		return err
	}
	have := len(t.Values)
	switch t.Type {
	case Ternary:
		have = len(t.Codes)
		if !finite(t.Scale) {
			return fmt.Errorf("its scale is %v: the weights it came from are not finite", t.Scale)
		}
	case Float16:
		if i := overflow(t.Values); i >= 0 {
			return fmt.Errorf("element %d is %g, beyond half precision: store the tensor as float32", i, t.Values[i])
		}
		fallthrough
	case Float32:
		if i := kernel.FirstNonFinite(t.Values); i >= 0 {
			return fmt.Errorf("element %d is %g", i, t.Values[i])
		}
	default:
		f, ok := matrixTypes[t.Type]
		switch m := t.Matrix; {
		case !ok:
			return fmt.Errorf("type %q is not known", t.Type)
		case m == nil || len(t.Shape) != 2 || m.format != f || m.rows != t.Shape[0] || m.cols != t.Shape[1]:
			return fmt.Errorf("type %s of shape %v: the matrix is of another kind", t.Type, t.Shape)
		}
		have = n
	}
	if have != n {
		return fmt.Errorf("shape %v has %d elements, the data %d", t.Shape, n, have)
	}
	if t.Activation != nil {
		return t.Activation.check()
	}
	return nil
}

func finite(x float32) bool { return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0) }

// halfLimit is where rounding to half precision begins to give infinity.
const halfLimit = 65520

// overflow returns the first finite value that half precision cannot hold,
// -1 if there is none.
func overflow(values []float32) int {
	for i, v := range values {
		if finite(v) && (v >= halfLimit || v <= -halfLimit) {
			return i
		}
	}
	return -1
}
