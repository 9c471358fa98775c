// Command mnist trains a small convolutional network on digits, in float32
// and quantized in five ways, over several seeds, packs each network, and
// prints a table of held-out accuracies and draws them:
//
//	go run ./experiments/mnist -data ../shared/data/mnist
//
// It ends with an error if the means miss a bar: float32 at 97 %, 8 bits within
// a point of it, ternary weights within two.
//
// The folder holds images in IDX format: MNIST's own files, or those of any
// set like it. Runs are kept in runs/mnist. A run that is whole is not made
// again, one that was stopped is continued.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"trefoil/data"
)

func main() {
	dir := flag.String("data", filepath.Join("..", "shared", "data", "mnist"), "folder of the images, in IDX format")
	out := flag.String("out", filepath.Join("runs", "mnist"), "folder for the runs and the plot")
	seeds := flag.Int("seeds", 3, "seeds of each recipe")
	steps := flag.Int("steps", 800, "updates of each run, 64 images each")
	only := flag.String("only", "", "run only the recipes whose name contains this")
	flag.Parse()
	if flag.NArg() > 0 || *seeds < 1 || *steps < 4 {
		fmt.Fprintln(os.Stderr, "mnist: -seeds is at least 1, -steps at least 4, and there are no other arguments")
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *only, &study{dir: *out, seeds: *seeds, steps: *steps, progress: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, "mnist:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, only string, s *study) error {
	var err error
	if s.train, s.heldout, err = data.OpenIDX(dir); err != nil {
		return err
	}
	outcomes, err := s.run(ctx, only)
	if err != nil {
		return err
	}
	if err := table(os.Stdout, outcomes); err != nil {
		return err
	}
	if err := drawAccuracy(filepath.Join(s.dir, "accuracy.png"), outcomes); err != nil {
		return err
	}
	if err := missed(outcomes); err != nil {
		return fmt.Errorf("after %d updates of %d seeds: %w", s.steps, s.seeds, err)
	}
	return nil
}
