package export

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"trefoil/config"
	"trefoil/quant/packed"
)

// TokenizerSum returns what [State] keeps of a tokenizer.json.
func TokenizerSum(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// intact checks that the tokenizer and what the configuration says of the
// network are still those that the checkpoint was trained with: with others
// the same weights are another model. A checkpoint of an earlier version does
// not tell.
func (r *Run) intact() error {
	folder := Folder(r.Dir)
	if sum := r.State.TokenizerSum; sum != "" && sum != TokenizerSum(r.Tokenizer) {
		return fmt.Errorf("%s was changed since the run began, and the ids of the model would mean other text: bring the file back, or begin a new run", folder.Tokenizer())
	}
	if r.State.Config == "" {
		return nil
	}
	began, err := config.Parse("the configuration in "+filepath.Base(r.Checkpoint), []byte(r.State.Config))
	if err != nil {
		return err
	}
	then := r.Config
	then.Model = began.Model
	then.Quantization.Weights, then.Quantization.Activations, then.Quantization.Mixed = began.Quantization.Weights, began.Quantization.Activations, began.Quantization.Mixed
	return config.Changed(folder.Config(), r.Config.Text(), then.Text())
}

// maxLossDifference is how far the loss of a file in float32 may be from the
// graph's, in nats a token. On the processor that trained they are equal;
// another one may add floats in another order.
const maxLossDifference = 1e-3

// measured tells whether a report's GraphLoss belongs to the very weights
// that were exported: the last checkpoint may be of a later step than the last
// evaluation.
func (r *Run) measured(report *Report) bool {
	return report.GraphLoss > 0 && report.Float == packed.Float32 && r.Checkpoint == Folder(r.Dir).Best()
}
