// Command gradientbits compares gradients rounded to 16 bits, whose backward
// products are integer products, with float32 ones: pairs of runs that differ
// in nothing else, on tiny Shakespeare and on Go source.
//
//	go run ./experiments/gradientbits -data tinyshakespeare.txt
//
// Runs are kept in runs/gradientbits. A run that is whole is not made again,
// one that was stopped is continued.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"

	"trefoil/config"
	"trefoil/experiments/study"
)

func main() {
	data := flag.String("data", "tinyshakespeare.txt", "the text of tiny Shakespeare")
	seeds := flag.Int("seeds", 5, "pairs of runs")
	flag.Parse()
	if *seeds < 2 {
		fmt.Fprintln(os.Stderr, "gradientbits: -seeds: a comparison needs two pairs or more")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *data, *seeds); err != nil {
		fmt.Fprintln(os.Stderr, "gradientbits:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, data string, seeds int) error {
	fmt.Fprintln(out, "| corpus | 16 bits | 32 bits | difference of the pairs, mean and its standard error |")
	fmt.Fprintln(out, "|---|---|---|---|")
	for _, corpus := range []struct {
		name, file string
		changes    []string
	}{
		{"shakespeare", filepath.Join("experiments", "shakespeare", "shakespeare.yaml"), []string{"data.path=" + data}},
		{"gocode", filepath.Join("experiments", "gradientbits", "gocode.yaml"), nil},
	} {
		var losses [2][]float64
		for seed := range seeds {
			for i, bits := range []int{16, 32} {
				changes := append([]string{fmt.Sprintf("seed=%d", 1337+seed), fmt.Sprintf("quantization.gradient_bits=%d", bits)}, corpus.changes...)
				c, err := config.Load(corpus.file, changes...)
				if err != nil {
					return err
				}
				r, err := study.Train(ctx, c, filepath.Join("runs", "gradientbits", fmt.Sprintf("%s-%d-%d", corpus.name, bits, 1337+seed)))
				if err != nil {
					return fmt.Errorf("%s, %d bits, seed %d: %w", corpus.name, bits, 1337+seed, err)
				}
				losses[i] = append(losses[i], r.ValLoss)
			}
		}
		mean, deviation := paired(losses[0], losses[1])
		fmt.Fprintf(out, "| %s | %.3f | %.3f | %+.4f ± %.4f |\n", corpus.name, losses[0], losses[1], mean, deviation)
	}
	return nil
}

// paired returns the mean of a[i]-b[i] and the standard error of that mean.
func paired(a, b []float64) (mean, deviation float64) {
	n := float64(len(a))
	for i := range a {
		mean += (a[i] - b[i]) / n
	}
	for i := range a {
		d := a[i] - b[i] - mean
		deviation += d * d
	}
	return mean, math.Sqrt(deviation / (n - 1) / n)
}
