package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/data"
	"trefoil/export"
	"trefoil/internal/atomicfile"
	"trefoil/internal/kernel"
	"trefoil/internal/safetensors"
	"trefoil/schedule"
)

// Options are the choices of an import.
type Options struct {
	Name string // of the run
	// Context is the longest sequence that the run will see; 0 for the model's
	// own.
	Context int
	// Text is what to evaluate and calibrate the model on, as data.path of a
	// configuration; empty for nothing.
	Text     string
	Cache    string          // folder of the token cache; "" for the user's own
	Progress export.Progress // unless it is nil, told of all that can take long
}

// tell tells the progress of a stage.
func (o Options) tell(stage string, done, total int64) {
	if o.Progress != nil {
		o.Progress(stage, "bytes", done, total)
	}
}

// stages are the stages of data.Open with a tokenizer that is made, in words.
var stages = map[string]string{"index": "reading the text", "encode": "encoding the text"}

// windows is how many windows of text are kept, of the held-out text and for
// calibration.
const windows = 64

// Seeds of the windows, those of training, so that a run that goes on from the
// model is measured on the same text if its sizes are the same.
const (
	heldoutSeed     = 99
	calibrationSeed = 98
)

// ErrExists is the error of a folder that holds a run already.
var ErrExists = errors.New("the folder holds a run already: choose another one")

// Write writes the model as a run folder: the configuration, the tokenizer,
// windows of text and one checkpoint, tensor by tensor. If it fails, what it
// wrote is removed.
func (m *Model) Write(ctx context.Context, dir string, o Options) (err error) {
	folder := export.Folder(dir)
	if err := m.checkFolder(dir); err != nil {
		return err
	}
	c, err := m.config(dir, o)
	if err != nil {
		return err
	}
	_, missing := os.Stat(dir)
	if err := os.MkdirAll(folder.Checkpoints(), 0o777); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, undo(folder, missing != nil))
		}
	}()
	err = atomicfile.Write(folder.Tokenizer(), func(w io.Writer) error {
		_, err := w.Write(m.Tokenizer.JSON())
		return err
	})
	if err != nil {
		return err
	}
	if o.Text != "" {
		if err := m.writeWindows(ctx, folder, c, o); err != nil {
			return err
		}
	}
	if err := m.writeCheckpoint(ctx, folder, c, o); err != nil {
		return err
	}
	return c.Write(folder.Config()) // the last, for it makes the folder a run
}

// checkFolder refuses a folder with a run, with files by the names of those of
// a run, and that of the model itself.
func (m *Model) checkFolder(dir string) error {
	folder := export.Folder(dir)
	for _, path := range []string{folder.Config(), folder.Last()} {
		if _, err := os.Stat(path); err == nil {
			return fmt.Errorf("%s: %w", dir, ErrExists)
		}
	}
	if target, err := os.Stat(dir); err == nil {
		if source, err := os.Stat(m.Path); err == nil && os.SameFile(source, target) {
			return fmt.Errorf("%s is the folder of the model: choose another one for the run with -o", dir)
		}
	}
	for _, path := range []string{folder.Tokenizer(), folder.Evaluation(), folder.Checkpoints()} {
		if _, err := os.Stat(path); err == nil {
			return fmt.Errorf("%s is there already: choose another folder for the run with -o, or delete it", path)
		}
	}
	return nil
}

// undo removes the files of an import that failed, and the folder if it made
// that.
func undo(folder export.Folder, made bool) error {
	errs := []error{os.RemoveAll(folder.Checkpoints())}
	for _, path := range []string{folder.Config(), folder.Tokenizer(), folder.Evaluation()} {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if made {
		errs = append(errs, os.Remove(string(folder)))
	}
	return errors.Join(errs...)
}

// config is the configuration of a run that ended with the model.
func (m *Model) config(dir string, o Options) (config.Config, error) {
	c, a := config.Default(), m.Arch
	c.Name = o.Name
	c.Model = config.Model{
		Dim: a.Dim, Layers: a.Layers, Heads: a.Heads, KVHeads: a.KVHeads, FF: a.FF, Context: a.Context,
		Activation: string(a.Activation), RopeBase: a.RopeBase, NormEps: a.NormEps,
		HeadDim: a.HeadWidth, SubNorms: !a.NoSubNorms, TiedHead: !a.UntiedHead,
	}
	if o.Context > 0 {
		c.Model.Context = o.Context
	}
	if a.Vocab > m.Tokenizer.Vocab() {
		c.Model.Rows = a.Vocab
	}
	c.Data.Tokenizer = data.TokenizerConfig{Kind: data.File, Path: export.Folder(dir).Tokenizer(), Vocab: c.Data.Tokenizer.Vocab}
	if o.Text != "" {
		c.Data.Path = o.Text
	}
	c.Quantization.Phases = nil
	if !m.Ternary {
		c.Quantization.Weights.Bits, c.Quantization.Activations.Bits = schedule.Float, schedule.Float
	}
	return c, c.Set() // no assignment, only the checks
}

// writeWindows draws windows of text, as training does.
func (m *Model) writeWindows(ctx context.Context, folder export.Folder, c config.Config, o Options) error {
	d, err := data.Open(ctx, c.Data, o.Cache, func(stage string, done, total int64) { o.tell(stages[stage], done, total) })
	if err != nil {
		return err
	}
	defer d.Close()
	width := c.Model.Context + 1
	heldout, err := data.Windows(d.Heldout, c.Model.Context, windows, heldoutSeed)
	if err != nil {
		return fmt.Errorf("held-out text: %w; a shorter -context needs less", err)
	}
	calibration, err := data.Windows(d.Train, c.Model.Context, windows, calibrationSeed)
	if err != nil {
		return fmt.Errorf("text for calibration: %w; a shorter -context needs less", err)
	}
	return atomicfile.Write(folder.Evaluation(), func(w io.Writer) error {
		return safetensors.Write(w, nil, []safetensors.Tensor{
			{Name: export.HeldoutName, Shape: []int{len(heldout) / width, width}, Data: heldout},
			{Name: export.CalibrationName, Shape: []int{len(calibration) / width, width}, Data: calibration},
		})
	})
}

func (m *Model) writeCheckpoint(ctx context.Context, folder export.Folder, c config.Config, o Options) error {
	state, err := json.Marshal(export.State{
		Imported: filepath.Base(m.Path), Config: c.Text(), TokenizerSum: export.TokenizerSum(m.Tokenizer.JSON()),
	})
	if err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	done, total := int64(0), 2*4*int64(m.Arch.ParameterCount()) // each is read for its checksum, and to be written
	for _, p := range m.Arch.Parameters() {
		load := func() (any, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			w, err := m.finite(p)
			done += 4 * int64(len(w))
			o.tell("importing", done, total)
			return w, err
		}
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: safetensors.Lazy{DType: safetensors.F32, Load: load}})
	}
	return atomicfile.Write(folder.Last(), func(w io.Writer) error {
		return safetensors.Write(w, map[string]string{export.StateKey: string(state)}, tensors)
	})
}

// finite reads a parameter and refuses NaN and infinities.
func (m *Model) finite(p arch.Parameter) ([]float32, error) {
	w, err := m.Weights(p)
	if err != nil {
		return nil, err
	}
	if kernel.FirstNonFinite(w) >= 0 {
		return nil, m.source.nonFinite(p)
	}
	return w, nil
}
