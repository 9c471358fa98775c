// Package export freezes a training run into a .trefoil file.
//
//	run, err := export.Load("runs/gocode")
//	report, err := run.Export("runs/gocode/model.trefoil", export.Options{...})
//
// Freezing rounds each linear layer's float32 weights one last time, with the
// functions and the scale rule that training used, and keeps the codes and
// their scale: what the graph computed with is what the file holds. Activation
// scales for the static mode come from a pass over calibration windows, which
// are training text.
package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/data"
	"trefoil/internal/kernel"
	"trefoil/internal/safetensors"
)

// A Run is what an export reads of a run folder.
type Run struct {
	Dir        string
	Config     config.Config
	Model      arch.Config
	Tokenizer  []byte // tokenizer.json
	Checkpoint string // path of the file that the weights are from
	State      State
	Weights    map[string][]float32 // by parameter name; nil until ReadWeights

	// Windows of text, none (N is 0) in an imported run without text.
	Calibration, Heldout Windows
}

// Windows are sequences of tokens of equal length.
type Windows struct {
	Tokens []int32 // [N, length]
	N      int
}

// Load reads a run folder: see [Open] and [Run.ReadWeights].
func Load(dir string) (*Run, error) {
	r, err := Open(dir)
	if err != nil {
		return nil, err
	}
	return r, r.ReadWeights()
}

// Open reads a run folder but for its weights: the configuration, tokenizer,
// fixed windows and the state of the best checkpoint, or of the last one if
// there is no best yet.
func Open(dir string) (*Run, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is a file, not the folder of a run: give a folder such as runs/gocode", dir)
	}
	c, err := config.Load(Folder(dir).Config())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not the folder of a run, for it has no config.yaml: train one with go run ./cmd/train", dir)
	}
	if err != nil {
		return nil, err
	}
	r := &Run{Dir: dir, Config: c}
	if err := r.loadTokenizer(); err != nil {
		return nil, err
	}
	if err := r.openCheckpoint((*Run).readState); err != nil {
		return nil, err
	}
	return r, r.loadWindows()
}

func (r *Run) loadTokenizer() error {
	path := Folder(r.Dir).Tokenizer()
	var err error
	if r.Tokenizer, err = os.ReadFile(path); err != nil {
		return err
	}
	t, err := data.ParseTokenizer(r.Tokenizer)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r.Model = r.Config.Model.Arch(t.Vocab())
	if err := r.Model.Validate(); err != nil {
		return fmt.Errorf("%s: model: %w", Folder(r.Dir).Config(), err)
	}
	return nil
}

// openCheckpoint lets read have the run's checkpoint.
func (r *Run) openCheckpoint(read func(*Run, *safetensors.Reader) error) error {
	folder := Folder(r.Dir)
	r.Checkpoint = folder.Best()
	if _, err := os.Stat(r.Checkpoint); errors.Is(err, fs.ErrNotExist) {
		r.Checkpoint = folder.Last()
	}
	f, err := safetensors.Open(r.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s holds no checkpoint yet: continue the run with go run ./cmd/train -resume %s", folder.Checkpoints(), r.Dir)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := read(r, f.Reader); err != nil {
		return fmt.Errorf("%s: %w", r.Checkpoint, err)
	}
	return nil
}

// readState reads the state and checks the shapes of all parameters.
func (r *Run) readState(f *safetensors.Reader) error {
	if state := f.Metadata(StateKey); state != "" {
		if err := json.Unmarshal([]byte(state), &r.State); err != nil {
			return fmt.Errorf("metadata %s: %w", StateKey, err)
		}
	}
	for _, p := range r.Model.Parameters() {
		shape, err := f.Shape(p.Name)
		if err != nil {
			return err
		}
		if !slices.Equal(shape, p.Shape) {
			return fmt.Errorf("tensor %s: shape is %v, want %v", p.Name, shape, p.Shape)
		}
	}
	return nil
}

// ReadWeights reads all parameters into memory.
func (r *Run) ReadWeights() error {
	return r.openCheckpoint(func(r *Run, f *safetensors.Reader) error {
		weights := map[string][]float32{}
		for _, p := range r.Model.Parameters() {
			w, err := readParameter(f, p)
			if err != nil {
				return err
			}
			weights[p.Name] = w
		}
		r.Weights = weights
		return nil
	})
}

// weight returns one parameter: from memory if it is there, else read anew,
// so that no more than one need be in memory.
func (r *Run) weight(p arch.Parameter) (w []float32, err error) {
	if r.Weights != nil {
		return r.Weights[p.Name], nil
	}
	err = r.openCheckpoint(func(_ *Run, f *safetensors.Reader) error {
		w, err = readParameter(f, p)
		return err
	})
	return w, err
}

func readParameter(f *safetensors.Reader, p arch.Parameter) ([]float32, error) {
	w, err := f.Float32(p.Name, p.Shape...)
	if err != nil {
		return nil, err
	}
	if i := kernel.FirstNonFinite(w); i >= 0 {
		return nil, fmt.Errorf("tensor %s: element %d is %v, so training failed: train again with a lower learning rate", p.Name, i, w[i])
	}
	return w, nil
}

func (r *Run) loadWindows() error {
	path := Folder(r.Dir).Evaluation()
	f, err := safetensors.Open(path)
	if errors.Is(err, fs.ErrNotExist) && r.State.Imported != "" {
		return nil // an imported model without text to evaluate it on
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for name, w := range map[string]*Windows{CalibrationName: &r.Calibration, HeldoutName: &r.Heldout} {
		if *w, err = r.readWindows(f.Reader, name); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (r *Run) readWindows(f *safetensors.Reader, name string) (Windows, error) {
	shape, err := f.Shape(name)
	if err != nil {
		return Windows{}, err
	}
	if len(shape) != 2 || shape[0] < 1 || shape[1] != r.Model.Context+1 {
		return Windows{}, fmt.Errorf("tensor %s: shape is %v, want [n, %d]", name, shape, r.Model.Context+1)
	}
	tokens, err := f.Int32(name)
	if err != nil {
		return Windows{}, err
	}
	if id := slices.Max(tokens); slices.Min(tokens) < 0 || int(id) >= r.Model.Vocab {
		return Windows{}, fmt.Errorf("tensor %s: a token is outside of the vocabulary of %d", name, r.Model.Vocab)
	}
	return Windows{tokens, shape[0]}, nil
}
