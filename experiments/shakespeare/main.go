// Command shakespeare trains the four corners of a comparison, b1.58 and
// float32 by Muon and by AdamW, and the best recipe, over several seeds, and
// prints a table of held-out losses:
//
//	go run ./experiments/shakespeare -data tinyshakespeare.txt
//
// Runs are kept in runs/shakespeare. A run that is whole is not made again,
// one that was stopped is continued.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"trefoil/config"
	"trefoil/experiments/study"
	"trefoil/train"
)

// corner is a recipe as changes of shakespeare.yaml, which is b1.58 by Muon with
// the median as scale.
type corner struct {
	name, words string
	changes     []string
}

var (
	absmean     = []string{"quantization.weights.scale=absmean"}
	float32Bits = slices.Concat(absmean, []string{"quantization.weights.bits=32", "quantization.activations.bits=32", "quantization.phases=[]"})
	cosine      = []string{"train.optimizer=adamw", "train.schedule=cosine", "train.floor=0.1"}

	corners = []corner{
		{"float32-adamw", "float32, AdamW 1e-3, cosine to a tenth", slices.Concat(float32Bits, cosine, []string{"train.lr=1e-3"})},
		{"b158-adamw", "b1.58, AdamW 2e-3, cosine to a tenth", slices.Concat(absmean, cosine, []string{"train.lr=2e-3", "quantization.phases=[]"})},
		{"float32-muon", "float32, Muon 1e-2 and AdamW 2e-3, linear to zero", slices.Concat(float32Bits, []string{"train.lr=2e-3", "train.muon_lr=1e-2"})},
		{"b158-muon", "b1.58, Muon 7e-3 and AdamW 4e-3, linear to zero, lambda over the first 0.3", absmean},
		{"b158-muon-median", "the same with the median as scale", nil},
	}
)

func main() {
	data := flag.String("data", "tinyshakespeare.txt", "the text of tiny Shakespeare")
	seeds := flag.Int("seeds", 3, "seeds of each recipe")
	only := flag.String("only", "", "run only the recipes whose name contains this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *data, *seeds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "shakespeare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, data string, seeds int, only string) error {
	if !slices.ContainsFunc(corners, func(c corner) bool { return strings.Contains(c.name, only) }) {
		var names []string
		for _, c := range corners {
			names = append(names, c.name)
		}
		return fmt.Errorf("-only %s: there is no such recipe: use a part of %s", only, strings.Join(names, ", "))
	}
	fmt.Fprintln(out, "| recipe | held-out loss at the last step, by seed | mean | best checkpoint, mean |")
	fmt.Fprintln(out, "|---|---|---|---|")
	for _, c := range corners {
		if !strings.Contains(c.name, only) {
			continue
		}
		var losses []string
		var last, best float64
		for i := range seeds {
			s, err := c.train(ctx, data, 1337+i)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			losses = append(losses, fmt.Sprintf("%.3f", s.ValLoss))
			last += s.ValLoss / float64(seeds)
			best += s.BestLoss / float64(seeds)
		}
		fmt.Fprintf(out, "| %s | %s | **%.3f** | %.3f |\n", c.words, strings.Join(losses, ", "), last, best)
	}
	return nil
}

// train makes one run, or what is left of it.
func (c corner) train(ctx context.Context, data string, seed int) (train.Result, error) {
	changes := append([]string{"data.path=" + data, fmt.Sprintf("seed=%d", seed)}, c.changes...)
	cfg, err := config.Load(filepath.Join("experiments", "shakespeare", "shakespeare.yaml"), changes...)
	if err != nil {
		return train.Result{}, err
	}
	return study.Train(ctx, cfg, filepath.Join("runs", "shakespeare", fmt.Sprintf("%s-%d", c.name, seed)))
}
