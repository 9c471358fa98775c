package train

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"trefoil/data"
	"trefoil/export"
	"trefoil/infer"
	"trefoil/internal/atomicfile"
	"trefoil/quant/packed"
)

// Sampling of sample.txt: some lines of text, not always the likeliest token.
const (
	sampleTokens      = 200
	sampleTemperature = 0.8
	sampleTopP        = 0.95
)

// writeSample lets the best checkpoint, frozen, write a text that begins where
// the first held-out window does, and keeps it as sample.txt.
func writeSample(ctx context.Context, dir string, seed uint64) error {
	run, err := export.Load(dir)
	if err != nil {
		return err
	}
	model, err := run.Inference(export.Options{Float: packed.Float32})
	if err != nil {
		return err
	}
	tokenizer, err := data.ParseTokenizer(run.Tokenizer)
	if err != nil {
		return err
	}
	sampler := infer.NewSampler(infer.Sampling{Temperature: sampleTemperature, TopP: sampleTopP, Seed: seed})
	prompt := run.Heldout.Tokens[:min(8, run.Model.Context)]
	ids := append([]int32(nil), prompt...)
	for id, err := range model.NewSession().Generate(ctx, prompt, sampleTokens, sampler) {
		if err != nil {
			return fmt.Errorf("sampling: %w", err)
		}
		ids = append(ids, id)
	}
	return atomicfile.Write(filepath.Join(dir, "sample.txt"), func(w io.Writer) error {
		_, err := w.Write(tokenizer.Decode(ids))
		return err
	})
}
