package export

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"trefoil/arch"
	"trefoil/internal/gguf"
	"trefoil/internal/names"
	"trefoil/internal/safetensors"
	"trefoil/quant/packed"
)

// A Verification compares what a file gives back with the run.
type Verification struct {
	Tensors int // compared
	Exact   int // equal to the last bit
	// Worst is the tensor that is farthest off, by Difference: the largest
	// distance of an element, as a share of the tensor's largest magnitude.
	Worst      string
	Difference float64
}

// maxRounding is the most by which an element may be off: rounding to half
// precision, and values too small for its full precision.
const maxRounding = 1.0 / (1 << 11)

// Verify reads an exported file or folder again, with Trefoil's own readers,
// and compares every tensor with the run's. It fails if a tensor is missing or
// off by more than the file's number types explain.
func (r *Run) Verify(path string, f Format, o Options) (*Verification, error) {
	read, closer, err := r.reader(path, f)
	if err != nil {
		return nil, err
	}
	v := &Verification{}
	for _, p := range r.Model.Parameters() {
		if err == nil {
			err = r.compare(v, p, read, o)
		}
	}
	if err = errors.Join(err, closer()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if v.Difference > maxRounding {
		return v, fmt.Errorf("%s: tensor %s is off by %.2g of its largest element: the file does not hold the run", path, v.Worst, v.Difference)
	}
	return v, nil
}

// A tensorReader returns the values that a file gives to a parameter, as it
// would compute with them.
type tensorReader func(p arch.Parameter) ([]float32, error)

// reader opens what was written in a format.
func (r *Run) reader(path string, f Format) (tensorReader, func() error, error) {
	switch f {
	case Trefoil:
		file, err := packed.Open(path)
		if err != nil {
			return nil, nil, err
		}
		return func(p arch.Parameter) ([]float32, error) { return readPacked(file, p) }, file.Close, nil
	case GGUF:
		file, err := gguf.Open(path)
		if err != nil {
			return nil, nil, err
		}
		return func(p arch.Parameter) ([]float32, error) { return ReadGGUF(file.Reader, p) }, file.Close, nil
	case HuggingFace, PackedHuggingFace:
		path = filepath.Join(path, weightsFile)
	}
	file, err := safetensors.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if f == SafeTensors {
		return func(p arch.Parameter) ([]float32, error) { return readPlain(file.Reader, p) }, file.Close, nil
	}
	return func(p arch.Parameter) ([]float32, error) { return r.readHuggingFace(file.Reader, p) }, file.Close, nil
}

// compare adds one tensor to v.
func (r *Run) compare(v *Verification, p arch.Parameter, read tensorReader, o Options) error {
	got, err := read(p)
	if err != nil {
		return err
	}
	t, err := r.frozen(p, o)
	if err != nil {
		return err
	}
	want := t.Values
	if t.Type == packed.Ternary {
		want = scaled(t.Codes, t.Scale)
	}
	if len(got) != len(want) {
		return fmt.Errorf("tensor %s has %d elements, want %d", p.Name, len(got), len(want))
	}
	v.Tensors++
	if slices.Equal(got, want) {
		v.Exact++
		return nil
	}
	if d := difference(got, want); !(d <= v.Difference) {
		v.Worst, v.Difference = p.Name, d
	}
	return nil
}

// difference is the largest distance between elements, as a share of the
// largest magnitude; NaN if an element is.
func difference(got, want []float32) float64 {
	largest, off := 0.0, 0.0
	for i, w := range want {
		d := math.Abs(float64(got[i]) - float64(w))
		if math.IsNaN(d) {
			return math.Inf(1)
		}
		largest, off = max(largest, math.Abs(float64(w))), max(off, d)
	}
	return off / max(largest, math.SmallestNonzeroFloat32)
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
	if t.Type == packed.Ternary {
		return scaled(t.Codes, t.Scale), nil
	}
	return t.Values, nil
}

// ReadGGUF returns a parameter from a GGUF file with the tensors of [Run.Write],
// times its scale if that is a tensor of its own.
func ReadGGUF(f *gguf.Reader, p arch.Parameter) ([]float32, error) {
	name := names.GGUF.Of(p.Name)
	w, err := f.Float32(name, p.Shape...)
	if err != nil {
		return nil, err
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
		t := r.freeze(p, w, Options{})
		return scaled(t.Codes, t.Scale), nil
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
