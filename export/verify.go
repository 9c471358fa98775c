package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"trefoil/arch"
	"trefoil/internal/gguf"
	"trefoil/internal/kernel"
	"trefoil/internal/safetensors"
	"trefoil/quant/packed"
)

// A Verification compares what a file gives back with the run.
type Verification struct {
	Tensors int // compared
	Exact   int // equal to the last bit
	// Worst is the tensor that rounding put farthest off, by Difference: the
	// largest distance of an element, as a share of the tensor's largest
	// magnitude.
	Worst      string
	Difference float64
}

// maxRounding is the most by which an element may be off: rounding to half
// precision, and values too small for its full precision.
const maxRounding = 1.0 / (1 << 11)

// Verify reads an exported file or folder again, with Trefoil's own readers,
// and compares every tensor with the run's, and the configuration, the
// tokenizer and what else is beside the weights. It fails if anything is not, to
// the last bit, what the format keeps of the run.
func (r *Run) Verify(ctx context.Context, path string, f Format, o Options) (*Verification, error) {
	read, closer, err := r.reader(path, f, o)
	if err != nil {
		return nil, err
	}
	v := &Verification{}
	r.begin(r.Model.ParameterCount(), "verifying %s", filepath.Base(path))
	for _, p := range r.Model.Parameters() {
		if err == nil {
			err = r.compare(ctx, v, p, read, f, o)
		}
	}
	if err = errors.Join(err, closer()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// A tensorReader returns the values that a file gives to a parameter, as it
// would compute with them.
type tensorReader func(p arch.Parameter) ([]float32, error)

// reader opens what was written in a format.
func (r *Run) reader(path string, f Format, o Options) (tensorReader, func() error, error) {
	switch f {
	case Trefoil:
		file, err := packed.Open(path)
		if err != nil {
			return nil, nil, err
		}
		if err := r.compareHeader(file); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
		}
		return func(p arch.Parameter) ([]float32, error) { return readPacked(file, p) }, file.Close, nil
	case GGUF:
		file, err := gguf.Open(path)
		if err != nil {
			return nil, nil, err
		}
		if err := r.compareKeys(file.Reader, o); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
		}
		return func(p arch.Parameter) ([]float32, error) { return ReadGGUF(file.Reader, r.Model, p) }, file.Close, nil
	case HuggingFace, PackedHuggingFace:
		if err := r.compareParts(path, f); err != nil {
			return nil, nil, err
		}
		path = filepath.Join(path, weightsFile)
	}
	file, err := safetensors.Open(path)
	if err != nil {
		return nil, nil, err
	}
	if f == SafeTensors {
		if err := r.compareMetadata(file.Reader); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
		}
		return func(p arch.Parameter) ([]float32, error) { return readPlain(file.Reader, p) }, file.Close, nil
	}
	return func(p arch.Parameter) ([]float32, error) { return r.readHuggingFace(file.Reader, p) }, file.Close, nil
}

// compareHeader compares what a .trefoil file holds beside its tensors with the
// run's.
func (r *Run) compareHeader(f *packed.File) error {
	want := r.emptyModel().Config
	switch got := f.Config(); {
	case got.Model != want.Model:
		return fmt.Errorf("section config: the model is %+v, the run's is %+v", got.Model, want.Model)
	case got.Quantization.WeightScale != want.Quantization.WeightScale:
		return fmt.Errorf("section config: the weights are scaled by %q, the run's by %q", got.Quantization.WeightScale, want.Quantization.WeightScale)
	case got.Provenance != want.Provenance:
		return fmt.Errorf("section config: the file is of %+v, the run is %+v", got.Provenance, want.Provenance)
	case !bytes.Equal(f.Tokenizer(), r.Tokenizer):
		return errors.New("section tokenizer: the tokenizer is not the run's")
	}
	return nil
}

// compareMetadata compares the metadata of the format safetensors with the
// run's.
func (r *Run) compareMetadata(f *safetensors.Reader) error {
	want, err := r.plainMetadata()
	if err != nil {
		return err
	}
	for key, value := range want {
		if f.Metadata(key) != value {
			return fmt.Errorf("metadata %s: the value is not the run's", key)
		}
	}
	return nil
}

// compareKeys compares the metadata of a GGUF file with the run's.
func (r *Run) compareKeys(f *gguf.Reader, o Options) error {
	keys, _, err := r.ggufKeys(r.ggufType(o))
	if err != nil {
		return err
	}
	for _, k := range keys {
		got, err := f.Value(k.Key)
		if err != nil {
			return err
		}
		if fmt.Sprint(got) != fmt.Sprint(k.Value) {
			return fmt.Errorf("key %s: the value is not the run's", k.Key)
		}
	}
	return nil
}

// compareParts compares the files beside the weights with the run's.
func (r *Run) compareParts(dir string, f Format) error {
	parts, err := r.huggingFaceParts(f)
	if err != nil {
		return err
	}
	for _, p := range parts {
		path := filepath.Join(dir, p.name)
		got, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var want bytes.Buffer
		if err := p.write(&want); err != nil {
			return err
		}
		if !bytes.Equal(got, want.Bytes()) {
			return fmt.Errorf("%s: the content is not the run's", path)
		}
	}
	return nil
}

// compare adds one tensor to v.
func (r *Run) compare(ctx context.Context, v *Verification, p arch.Parameter, read tensorReader, f Format, o Options) error {
	got, err := read(p)
	if err != nil {
		return err
	}
	t, err := r.frozen(ctx, p, o)
	if err != nil {
		return err
	}
	run := t.Floats()
	kept := run
	if r.halves(p, f, o) {
		kept = roundedToHalf(run)
	}
	if len(got) != len(kept) {
		return fmt.Errorf("tensor %s has %d elements, want %d", p.Name, len(got), len(kept))
	}
	for i, w := range kept {
		if got[i] != w {
			return fmt.Errorf("tensor %s: element %d is %v, want %v: the file is damaged, or not of this run", fileName(p, f), i, got[i], w)
		}
	}
	v.Tensors++
	d := difference(got, run)
	switch {
	case d == 0:
		v.Exact++
	case !(d <= maxRounding):
		return fmt.Errorf("tensor %s is off by %.2g of its largest element: half precision does not hold it", fileName(p, f), d)
	case d > v.Difference:
		v.Worst, v.Difference = p.Name, d
	}
	return nil
}

// halves reports whether a format keeps a parameter, or the scale of its
// codes, in half precision.
func (r *Run) halves(p arch.Parameter, f Format, o Options) bool {
	half := o.Float == packed.Float16
	switch {
	case p.Kind == arch.Linear && f == GGUF:
		t := r.ggufType(o)
		return t != gguf.I2_S && !r.separateScales(t)
	case p.Kind == arch.Linear && (r.ternary() || r.mixed(p)):
		return false
	case p.Kind == arch.Linear:
		return half && (f == Trefoil || f == SafeTensors)
	case p.Kind == arch.Norm && f == GGUF:
		return false
	}
	return half
}

func roundedToHalf(x []float32) []float32 {
	half, out := make([]uint16, len(x)), make([]float32, len(x))
	kernel.EncodeFloat16(half, x)
	kernel.DecodeFloat16(out, half)
	return out
}

// difference is the largest distance between elements, as a share of the
// largest magnitude.
func difference(got, want []float32) float64 {
	largest, off := 0.0, 0.0
	for i, w := range want {
		largest, off = max(largest, math.Abs(float64(w))), max(off, math.Abs(float64(got[i])-float64(w)))
	}
	return off / max(largest, math.SmallestNonzeroFloat32)
}
