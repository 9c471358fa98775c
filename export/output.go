package export

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"trefoil/arch"
	"trefoil/internal/gguf"
)

// A Format is a file format that a run can be written in.
type Format string

const (
	Trefoil           Format = "trefoil"     // one .trefoil file: see [Run.Export]
	GGUF              Format = "gguf"        // one file for llama.cpp and its kin
	HuggingFace       Format = "hf"          // a folder for transformers, with the weights that learned
	PackedHuggingFace Format = "hf-packed"   // a folder for transformers, with 2-bit weights
	SafeTensors       Format = "safetensors" // one file: codes, scales and floats by Trefoil's names
)

// Formats lists the formats.
func Formats() []Format { return []Format{Trefoil, GGUF, HuggingFace, PackedHuggingFace, SafeTensors} }

// GGUFTypes lists the types that the linear layers of a GGUF file can have.
func GGUFTypes() []gguf.Type {
	return []gguf.Type{gguf.TQ1_0, gguf.TQ2_0, gguf.Q2_0, gguf.I2_S, gguf.F16}
}

// ParseGGUFType returns the type of that name, such as tq1_0.
func ParseGGUFType(name string) (gguf.Type, error) {
	t, err := gguf.ParseType(name)
	if err != nil || !slices.Contains(GGUFTypes(), t) {
		return 0, fmt.Errorf("GGUF type %q is not supported: use one of %s", name, strings.ToLower(strings.Trim(fmt.Sprint(GGUFTypes()), "[]")))
	}
	return t, nil
}

// An Output is what an export to another program's format wrote.
type Output struct {
	Format Format
	Path   string // of the file or folder
	Files  []File
	// Notes are what the reader of the format does otherwise than Trefoil.
	Notes []string
}

// A File is a file that was written.
type File struct {
	Path  string
	Bytes int64
}

// Write writes the run at path in a format other than Trefoil's own: a file,
// or a folder for Hugging Face. It fails where the format cannot carry the
// run, and says what is in the way. No more than one tensor is in memory at a
// time, and each file is whole or not there.
func (r *Run) Write(ctx context.Context, path string, f Format, o Options) (*Output, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	err := r.plainLayers()
	if err == nil {
		err = r.checkPlace(path, f)
	}
	if err != nil {
		return nil, fmt.Errorf("format %s: %w", f, err)
	}
	var out *Output
	switch f {
	case GGUF:
		out, err = r.writeGGUF(ctx, path, o)
	case HuggingFace, PackedHuggingFace:
		out, err = r.writeHuggingFace(ctx, path, f, o)
	case SafeTensors:
		out, err = r.writePlain(ctx, path, o)
	default:
		err = fmt.Errorf("is not a format for others: use one of %v", Formats()[1:])
	}
	if err != nil {
		return nil, fmt.Errorf("format %s: %w", f, err)
	}
	out.Format, out.Path = f, path
	return out, nil
}

// plainLayers fails if a layer has a quantizer of its own, for which formats for
// others have no place.
func (r *Run) plainLayers() error {
	for _, p := range linear(r.Model.Parameters()) {
		if r.mixed(p) {
			return fmt.Errorf("tensor %s has a quantizer of its own (quantization.mixed), and the format no place for it: use the format trefoil", p.Name)
		}
	}
	return nil
}

// mixed reports whether a linear layer has a quantizer of its own.
func (r *Run) mixed(p arch.Parameter) bool {
	_, ok := r.Config.Quantization.Mixed.Find(p.Name)
	return ok
}

// DefaultPath is where a format goes in the folder of the run.
func (r *Run) DefaultPath(f Format, o Options) string {
	name := map[Format]string{
		Trefoil: "model.trefoil", HuggingFace: "hf", PackedHuggingFace: "hf-packed", SafeTensors: "model.safetensors",
	}[f]
	if f == GGUF {
		name = "model-" + strings.ToLower(r.ggufType(o).String()) + ".gguf"
	}
	return filepath.Join(r.Dir, name)
}

// files describes files that were written.
func files(paths ...string) ([]File, error) {
	var list []File
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		list = append(list, File{path, info.Size()})
	}
	return list, nil
}

// linear lists the linear layers.
func linear(parameters []arch.Parameter) []arch.Parameter {
	return slices.DeleteFunc(slices.Clone(parameters), func(p arch.Parameter) bool { return p.Kind != arch.Linear })
}
