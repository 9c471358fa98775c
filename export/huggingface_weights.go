package export

import (
	"context"
	"io"

	"trefoil/arch"
	"trefoil/internal/kernel"
	"trefoil/internal/names"
	"trefoil/internal/safetensors"
	"trefoil/quant/packed"
)

// rowsPerByte is how many codes of a column a byte holds.
const rowsPerByte = 4

func (r *Run) writeHuggingFaceWeights(ctx context.Context, w io.Writer, f Format, o Options) error {
	var tensors []safetensors.Tensor
	for _, p := range r.Model.Parameters() {
		name := names.HuggingFace.Of(p.Name)
		if p.Kind == arch.Linear && f == PackedHuggingFace {
			tensors = append(tensors, r.packedLinear(ctx, name, p, o)...)
			continue
		}
		dtype := safetensors.F32
		if p.Kind != arch.Linear && o.Float == packed.Float16 {
			dtype = safetensors.F16
		}
		tensors = append(tensors, r.floats(ctx, name, p, dtype))
	}
	r.begin(r.reads(f), "writing %s", weightsFile)
	return safetensors.Write(w, map[string]string{"format": "pt"}, tensors)
}

// reads is how many weights are read to write a safetensors file: all of them
// for the checksums and once more for the elements, and those of ternary codes
// a third time for their scales.
func (r *Run) reads(f Format) int {
	n := 2 * r.Model.ParameterCount()
	if f == HuggingFace || !r.ternary() {
		return n
	}
	for _, p := range linear(r.Model.Parameters()) {
		n += p.Size()
	}
	return n
}

// floats is a parameter as it learned, in F32 or F16.
func (r *Run) floats(ctx context.Context, name string, p arch.Parameter, dtype safetensors.DType) safetensors.Tensor {
	return safetensors.Tensor{Name: name, Shape: p.Shape, Data: safetensors.Lazy{DType: dtype, Load: func() (any, error) {
		w, err := r.weight(ctx, p)
		if err != nil || dtype == safetensors.F32 {
			return w, err
		}
		half := make(safetensors.Float16, len(w))
		kernel.EncodeFloat16(half, w)
		return half, nil
	}}}
}

// packedLinear is a ternary layer as transformers packs it: weight [out/4, in]
// and weight_scale [1]. AutoBitLinear multiplies the product by weight_scale,
// which therefore is gamma. (BitLinear, the other linear_class, divides by it.)
func (r *Run) packedLinear(ctx context.Context, name string, p arch.Parameter, o Options) []safetensors.Tensor {
	out, in := p.Shape[0], p.Shape[1]
	codes := func() (any, error) {
		t, err := r.frozen(ctx, p, o)
		if err != nil {
			return nil, err
		}
		return packRows(t.Codes, out, in), nil
	}
	return []safetensors.Tensor{
		{Name: name, Shape: []int{out / rowsPerByte, in}, Data: safetensors.Lazy{DType: safetensors.U8, Load: codes}},
		r.scale(ctx, names.Sibling(name, "weight_scale"), p, o),
	}
}

// packRows packs codes [out, in] into bytes [out/4, in]: the byte of row r
// holds code + 1 of the rows r, r + out/4, r + out/2 and r + 3 out/4, the first
// in the lowest bits.
func packRows(codes []int8, out, in int) []byte {
	quarter := out / rowsPerByte * in
	b := make([]byte, quarter)
	for i, c := range codes {
		b[i%quarter] |= byte(c+1) << (2 * (i / quarter))
	}
	return b
}

// unpackRows is the inverse of packRows.
func unpackRows(b []byte, out, in int) []int8 {
	quarter := out / rowsPerByte * in
	codes := make([]int8, out*in)
	for i := range codes {
		codes[i] = int8(b[i%quarter]>>(2*(i/quarter))&3) - 1
	}
	return codes
}
