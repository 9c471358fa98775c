package export

import (
	"context"
	"encoding/json"
	"io"

	"trefoil/arch"
	"trefoil/internal/atomicfile"
	"trefoil/internal/safetensors"
	"trefoil/quant/packed"
)

// Metadata keys of the format safetensors.
const (
	modelKey     = "trefoil.model"     // JSON of the [arch.Config]
	tokenizerKey = "trefoil.tokenizer" // tokenizer.json
)

// writePlain writes one safetensors file by Trefoil's names: a ternary layer
// as its codes, int8 [out, in], and its scale, NAME.scale, float32 [1]; all
// else as floats. A weight is code * scale.
func (r *Run) writePlain(ctx context.Context, path string, o Options) (*Output, error) {
	model, err := json.Marshal(r.Model)
	if err != nil {
		return nil, err
	}
	metadata := map[string]string{"format": "pt", modelKey: string(model), tokenizerKey: string(r.Tokenizer)}
	var tensors []safetensors.Tensor
	for _, p := range r.Model.Parameters() {
		switch {
		case p.Kind == arch.Linear && r.ternary():
			tensors = append(tensors, r.codes(ctx, p, o)...)
		case o.Float == packed.Float16:
			tensors = append(tensors, r.floats(ctx, p.Name, p, safetensors.F16))
		default:
			tensors = append(tensors, r.floats(ctx, p.Name, p, safetensors.F32))
		}
	}
	err = atomicfile.Write(path, func(w io.Writer) error { return safetensors.Write(w, metadata, tensors) })
	if err != nil {
		return nil, err
	}
	out := &Output{}
	out.Files, err = files(path)
	return out, err
}

func (r *Run) codes(ctx context.Context, p arch.Parameter, o Options) []safetensors.Tensor {
	lazy := func(d safetensors.DType, get func(packed.Tensor) any) safetensors.Lazy {
		return safetensors.Lazy{DType: d, Load: func() (any, error) {
			t, err := r.frozen(ctx, p, o)
			return get(t), err
		}}
	}
	return []safetensors.Tensor{
		{Name: p.Name, Shape: p.Shape, Data: lazy(safetensors.I8, func(t packed.Tensor) any { return t.Codes })},
		{Name: plainScale(p.Name), Shape: []int{1}, Data: lazy(safetensors.F32, func(t packed.Tensor) any { return []float32{t.Scale} })},
	}
}

func plainScale(name string) string { return name + ".scale" }
