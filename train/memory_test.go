package train

import (
	"strings"
	"testing"

	"trefoil/config"
	"trefoil/data"
)

// The least memory is a bound from below, and not one that is always kept: the
// default run was measured to take 0.75 GB.
func TestLeastMemory(t *testing.T) {
	c := config.Default()
	least := leastMemory(c)
	if least > 750e6 || least < 150e6 {
		t.Errorf("the default run takes at least %d bytes, and was measured to take 750 MB", least)
	}
	// By hand: 12 bytes for each of 3,676,416 parameters; 4 for each of 2,048
	// tokens' 4 x (4*256 + 2*128 + 3*768) activations and 2,048 logits.
	if want := int64(12*3_676_416 + 4*2048*(4*3584+2048)); least != want {
		t.Errorf("%d bytes, want %d", least, want)
	}
	if err := fitsMemory(c, least); err != nil {
		t.Error(err)
	}
	c.Train.Optimizer, c.Train.Accumulate = config.AdamW, 2
	if d := leastMemory(c) - least; d != 8*3_676_416 {
		t.Errorf("AdamW and accumulation take %d bytes more", d)
	}
	// Of other tokenizers than bpe only byte has a number of ids that is known.
	for kind, ids := range map[string]int64{data.Byte: 256, data.Char: 1, data.File: 1} {
		c := config.Default()
		c.Data.Tokenizer.Kind = kind
		if got, want := leastMemory(c), least-(2048-ids)*(12*256+4*2048); got != want {
			t.Errorf("%s: %d bytes, want %d", kind, got, want)
		}
	}
	c = config.Default()
	c.Model.Dim, c.Model.FF = 4096, 16384
	if err := fitsMemory(c, 3e9); err == nil || !strings.Contains(err.Error(), "MB of memory, and there are 3,000 MB: use a smaller model.dim") {
		t.Errorf("a thousand million parameters in 3 GB: %v", err)
	}
}
