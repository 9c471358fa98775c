package export

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"sync"

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
	metadata, err := r.plainMetadata()
	if err != nil {
		return nil, err
	}
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
	r.begin(r.reads(SafeTensors), "writing %s", filepath.Base(path))
	err = atomicfile.Write(path, func(w io.Writer) error { return safetensors.Write(w, metadata, tensors) })
	if err != nil {
		return nil, err
	}
	out := &Output{}
	out.Files, err = files(path)
	return out, err
}

func (r *Run) plainMetadata() (map[string]string, error) {
	model, err := json.Marshal(r.Model)
	return map[string]string{"format": "pt", modelKey: string(model), tokenizerKey: string(r.Tokenizer)}, err
}

func (r *Run) codes(ctx context.Context, p arch.Parameter, o Options) []safetensors.Tensor {
	codes := func() (any, error) {
		t, err := r.frozen(ctx, p, o)
		return t.Codes, err
	}
	return []safetensors.Tensor{
		{Name: p.Name, Shape: p.Shape, Data: safetensors.Lazy{DType: safetensors.I8, Load: codes}},
		r.scale(ctx, plainScale(p.Name), p, o),
	}
}

// scale is the scale of a ternary layer, which is made once.
func (r *Run) scale(ctx context.Context, name string, p arch.Parameter, o Options) safetensors.Tensor {
	load := sync.OnceValues(func() (any, error) {
		t, err := r.frozen(ctx, p, o)
		return []float32{t.Scale}, err
	})
	return safetensors.Tensor{Name: name, Shape: []int{1}, Data: safetensors.Lazy{DType: safetensors.F32, Load: load}}
}

func plainScale(name string) string { return name + ".scale" }
