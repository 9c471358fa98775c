// Package export freezes a training run into a .trefoil file.
//
//	run, err := export.Open("runs/gocode")
//	defer run.Close()
//	report, err := run.Export(ctx, "runs/gocode/model.trefoil", export.Options{...})
//
// Freezing rounds each linear layer's float32 weights one last time, with the
// functions and the scale rule that training used, and keeps the codes and
// their scale: what the graph computed with is what the file holds. Activation
// scales for the static mode come from a pass over calibration windows, which
// are training text.
package export

import (
	"context"
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
	Weights    map[string][]float32 // by parameter name; nil unless loaded with [Load]

	// Progress, unless it is nil, is told of all that can take long.
	Progress Progress

	// Windows of text, none (N is 0) in an imported run without text.
	Calibration, Heldout Windows

	// The checkpoint stays open, so that all weights are from one, even if the
	// run goes on and writes another.
	checkpoint *safetensors.File
	reading    reading
}

// Windows are sequences of tokens of equal length.
type Windows struct {
	Tokens []int32 // [N, length]
	N      int
}

// predicted is how many tokens the windows have that can be predicted.
func (w Windows) predicted() int { return len(w.Tokens) - w.N }

// Load reads a run folder with its weights: see [Open].
func Load(dir string) (*Run, error) {
	r, err := Open(dir)
	if err != nil {
		return nil, err
	}
	return r, errors.Join(r.readWeights(), r.Close())
}

// Open reads a run folder but for its weights: the configuration, tokenizer,
// fixed windows and the state of the best checkpoint, or of the last one if
// there is no best yet. The checkpoint stays open until [Run.Close].
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
	if err := r.openCheckpoint(); err != nil {
		return nil, err
	}
	err = r.inCheckpoint(r.readState())
	if err == nil {
		err = r.intact()
	}
	if err == nil {
		err = r.inCheckpoint(r.checkShapes())
	}
	if err == nil {
		err = r.loadWindows()
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close closes the checkpoint. What was read of it stays.
func (r *Run) Close() error { return r.checkpoint.Close() }

func (r *Run) loadTokenizer() error {
	path := Folder(r.Dir).Tokenizer()
	var err error
	if r.Tokenizer, err = os.ReadFile(path); err != nil {
		return err
	}
	t, err := data.ParseTokenizer(r.Tokenizer)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", path, err, bringBack)
	}
	r.Model = r.Config.Model.Arch(t.Vocab())
	if err := r.Model.Validate(); err != nil {
		return fmt.Errorf("%s: model: %w", Folder(r.Dir).Config(), err)
	}
	return nil
}

// openCheckpoint opens the best checkpoint, or the last one.
func (r *Run) openCheckpoint() error {
	folder := Folder(r.Dir)
	r.Checkpoint = folder.Best()
	if _, err := os.Stat(r.Checkpoint); errors.Is(err, fs.ErrNotExist) {
		r.Checkpoint = folder.Last()
	}
	var err error
	r.checkpoint, err = safetensors.Open(r.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s holds no checkpoint: train with go run ./cmd/train -config %s", folder.Checkpoints(), folder.Config())
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, r.instead())
	}
	return nil
}

// bringBack is what can be done about a damaged file of a run.
const bringBack = "bring the file back, or train anew"

// inCheckpoint adds the checkpoint's path, and what can be done, to the error of
// one that is not what it was.
func (r *Run) inCheckpoint(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", r.Checkpoint, err, r.instead())
}

// instead says what to do when the checkpoint cannot be read.
func (r *Run) instead() string {
	if r.Checkpoint == Folder(r.Dir).Best() {
		return "bring the file back, or delete it to take the last checkpoint"
	}
	return bringBack
}

// readState reads the state.
func (r *Run) readState() error {
	if state := r.checkpoint.Metadata(StateKey); state != "" {
		if err := json.Unmarshal([]byte(state), &r.State); err != nil {
			return fmt.Errorf("metadata %s: %w", StateKey, err)
		}
	}
	return nil
}

// checkShapes checks the shapes of all parameters.
func (r *Run) checkShapes() error {
	for _, p := range r.Model.Parameters() {
		shape, err := r.checkpoint.Shape(p.Name)
		if err != nil {
			return err
		}
		if !slices.Equal(shape, p.Shape) {
			return fmt.Errorf("tensor %s: shape is %v, want %v", p.Name, shape, p.Shape)
		}
	}
	return nil
}

// readWeights reads all parameters into memory.
func (r *Run) readWeights() error {
	weights := map[string][]float32{}
	for _, p := range r.Model.Parameters() {
		w, err := r.weight(context.Background(), p)
		if err != nil {
			return err
		}
		weights[p.Name] = w
	}
	r.Weights = weights
	return nil
}

// weight returns one parameter: from memory if it is there, else read anew, so
// that no more than one need be in memory.
func (r *Run) weight(ctx context.Context, p arch.Parameter) ([]float32, error) {
	if err := ctx.Err(); err != nil || r.Weights != nil {
		return r.Weights[p.Name], err
	}
	w, err := r.checkpoint.Float32(p.Name, p.Shape...)
	if err != nil {
		return nil, r.inCheckpoint(err)
	}
	r.advance(len(w))
	if i := kernel.FirstNonFinite(w); i >= 0 {
		return nil, fmt.Errorf("%s: tensor %s: element %d is %v, so training failed: train again with a lower learning rate", r.Checkpoint, p.Name, i, w[i])
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
		return fmt.Errorf("%w: %s", err, bringBack)
	}
	defer f.Close()
	for name, w := range map[string]*Windows{CalibrationName: &r.Calibration, HeldoutName: &r.Heldout} {
		if *w, err = r.readWindows(f.Reader, name); err != nil {
			return fmt.Errorf("%s: %w: %s", path, err, bringBack)
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
