package export

import "path/filepath"

// A Folder is the path of a run folder: training fills it, and everything
// that an export needs is in it.
type Folder string

// Config is the path of the resolved configuration.
func (f Folder) Config() string { return f.file("config.yaml") }

// Tokenizer is the path of the tokenizer.json.
func (f Folder) Tokenizer() string { return f.file("tokenizer.json") }

// Evaluation is the path of the fixed windows of tokens: see [HeldoutName].
func (f Folder) Evaluation() string { return f.file("evaluation.safetensors") }

// Checkpoints is the path of the folder of the checkpoints.
func (f Folder) Checkpoints() string { return f.file("checkpoints") }

// Last is the path of the checkpoint from which the run can continue.
func (f Folder) Last() string { return filepath.Join(f.Checkpoints(), "last.safetensors") }

// Best is the path of the checkpoint of the lowest held-out loss.
func (f Folder) Best() string { return filepath.Join(f.Checkpoints(), "best.safetensors") }

func (f Folder) file(name string) string { return filepath.Join(string(f), name) }

// Names of the tensors in the file [Folder.Evaluation], int32
// [n, context+1]: the held-out windows of every evaluation, and windows of the
// training text for calibrating activations.
const (
	HeldoutName     = "heldout"
	CalibrationName = "calibration"
)

// StateKey is the metadata key under which a checkpoint keeps where the run
// stood, as the JSON of a [State] and what else the trainer needs to continue.
const StateKey = "trefoil.state"

// State is what an export needs to know about where a run stood.
type State struct {
	Step int `json:"step"` // updates made
	// ValLoss is the held-out loss of the network, fully quantized, at the
	// last evaluation, in nats a token; 0 before the first.
	ValLoss float64 `json:"val_loss"`
	// ValAccuracy (share of tokens that were the likeliest) and BitsPerByte
	// belong to ValLoss.
	ValAccuracy float64 `json:"val_accuracy"`
	BitsPerByte float64 `json:"bits_per_byte"`
	Tokens      int64   `json:"tokens"` // learned from
	// Config is the run's configuration as YAML, and TokenizerSum the SHA-256
	// of its tokenizer.json, in hexadecimal digits: see [TokenizerSum].
	Config       string `json:"config,omitempty"`
	TokenizerSum string `json:"tokenizer_sha256,omitempty"`
	// Imported is the file or folder that an imported model is from; such a
	// run may have no windows.
	Imported string `json:"imported,omitempty"`
}
