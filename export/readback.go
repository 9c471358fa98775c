package export

import (
	"fmt"

	"trefoil/arch"
	"trefoil/internal/gguf"
	"trefoil/internal/names"
	"trefoil/internal/safetensors"
	"trefoil/quant/packed"
)

// fileName is a parameter's name in a format, with Trefoil's if that differs.
func fileName(p arch.Parameter, f Format) string {
	switch f {
	case GGUF:
		return fmt.Sprintf("%s (%s)", names.GGUF.Of(p.Name), p.Name)
	case HuggingFace, PackedHuggingFace:
		return fmt.Sprintf("%s (%s)", names.HuggingFace.Of(p.Name), p.Name)
	}
	return p.Name
}

// scaled returns code * scale.
func scaled(codes []int8, scale float32) []float32 {
	w := make([]float32, len(codes))
	for i, c := range codes {
		w[i] = float32(c) * scale
	}
	return w
}

func readPacked(f *packed.File, p arch.Parameter) ([]float32, error) {
	t, err := f.Load(p.Name)
	if err != nil {
		return nil, err
	}
	return t.Floats(), nil
}

// ReadGGUF returns a parameter of a model of c's sizes from a GGUF file: times
// its scale if that is a tensor of its own, and its rows in Trefoil's order.
func ReadGGUF(f *gguf.Reader, c arch.Config, p arch.Parameter) ([]float32, error) {
	name := names.GGUF.Of(p.Name)
	w, err := f.Float32(name, p.Shape...)
	if err != nil {
		return nil, err
	}
	architecture, err := f.String("general.architecture")
	if err != nil {
		return nil, err
	}
	if turned(architecture, p) {
		w = halves(w, p.Shape[1], c.HeadDim())
	}
	separate := names.Sibling(name, "scale")
	if _, ok := f.Tensor(separate); !ok || p.Kind != arch.Linear {
		return w, nil
	}
	scale, err := f.Float32(separate, 1)
	if err != nil {
		return nil, err
	}
	for i := range w {
		w[i] *= scale[0]
	}
	return w, nil
}

// readPlain reads the format safetensors.
func readPlain(f *safetensors.Reader, p arch.Parameter) ([]float32, error) {
	if !f.Has(plainScale(p.Name)) {
		return f.Float32(p.Name, p.Shape...)
	}
	codes, err := f.Bytes(p.Name)
	if err != nil {
		return nil, err
	}
	scale, err := f.Float32(plainScale(p.Name), 1)
	if err != nil {
		return nil, err
	}
	w := make([]float32, len(codes))
	for i, c := range codes {
		w[i] = float32(int8(c)) * scale[0]
	}
	return w, nil
}

// readHuggingFace reads a parameter as transformers would compute with it:
// packed codes times their scale, or weights that learned, rounded.
func (r *Run) readHuggingFace(f *safetensors.Reader, p arch.Parameter) ([]float32, error) {
	name := names.HuggingFace.Of(p.Name)
	scaleName := names.Sibling(name, "weight_scale")
	if p.Kind != arch.Linear || !f.Has(scaleName) {
		w, err := f.Float32(name, p.Shape...)
		if err != nil || p.Kind != arch.Linear || !r.ternary() {
			return w, err
		}
		t, err := r.freeze(p, w, Options{})
		return t.Floats(), err
	}
	b, err := f.Bytes(name)
	if err != nil {
		return nil, err
	}
	if len(b)*rowsPerByte != p.Size() {
		return nil, fmt.Errorf("tensor %s: %d bytes, want %d for shape %v", name, len(b), p.Size()/rowsPerByte, p.Shape)
	}
	scale, err := f.Float32(scaleName, 1)
	if err != nil {
		return nil, err
	}
	return scaled(unpackRows(b, p.Shape[0], p.Shape[1]), scale[0]), nil
}
