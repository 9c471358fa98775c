package train

import (
	"fmt"

	"trefoil/config"
	"trefoil/data"
	"trefoil/internal/command"
)

// leastMemory returns how many bytes a run takes at the least: the weights,
// their gradients and moments, and of the activations those that the backward
// pass needs.
func leastMemory(c config.Config) int64 {
	vocab := 1 // or more: neither the text nor a tokenizer's file is read yet
	switch c.Data.Tokenizer.Kind {
	case data.BPE:
		vocab = c.Data.Tokenizer.Vocab
	case data.Byte:
		vocab = 256
	}
	m := c.Model.Arch(vocab)
	each := int64(12) // weight, gradient, first moment
	if c.Train.Optimizer == config.AdamW {
		each += 4
	}
	if c.Train.Accumulate > 1 {
		each += 4
	}
	// The inputs of norms, linear layers, attention and gate in each block, and
	// the logits.
	block := 2*m.Dim + 2*m.QDim() + 2*m.KVDim() + 3*m.FF
	tokens := int64(c.Train.Batch * m.Context)
	return each*int64(m.ParameterCount()) + 4*tokens*int64(m.Layers*block+m.Vocab)
}

// fitsMemory reports a run that takes more than the memory that there is.
func fitsMemory(c config.Config, available int64) error {
	least := leastMemory(c)
	if least <= available {
		return nil
	}
	return fmt.Errorf("the run takes at least %s MB of memory, and there are %s MB: use a smaller model.dim, model.ff, model.layers or train.batch",
		command.Group(int(least/1e6)), command.Group(int(available/1e6)))
}
