// Command quant measures what each rule of package quant does: to the weights
// of a small network of digits, to its held-out loss when they, or its
// activations, are quantized after training or while it learns, and to products
// with outliers.
// It prints the tables in Markdown, and draws the weights of a layer:
//
//	go run ./experiments/quant -data ../shared/data/mnist
//
// The networks are trained once, into the folder of -out. The network
// itself runs on plain slices, without a graph.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"trefoil/data"
	"trefoil/quant"
	"trefoil/quant/analysis"
)

func main() {
	dir := flag.String("data", filepath.Join("..", "shared", "data", "mnist"), "folder of the images, in IDX format")
	out := flag.String("out", filepath.Join("runs", "quant"), "folder for the runs and the plots")
	seeds := flag.Int("seeds", 3, "networks of each kind of noise, and of each rule that learns")
	steps := flag.Int("steps", 800, "updates of the network that is quantized, 64 images each; half as many with noise, a quarter of what learns quantized")
	flag.Parse()
	if flag.NArg() > 0 || *seeds < 1 || *steps < 200 {
		fmt.Fprintln(os.Stderr, "quant: -seeds is at least 1, -steps at least 200, and there are no other arguments")
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, &study{dir: *out, seeds: *seeds, steps: *steps}); err != nil {
		fmt.Fprintln(os.Stderr, "quant:", err)
		os.Exit(1)
	}
}

// study is what the tables have in common.
type study struct {
	dir            string // of the runs
	train, heldout *data.Images
	seeds, steps   int

	net   *network // in float32
	float score    // of net
}

func run(ctx context.Context, dir string, s *study) error {
	var err error
	if s.train, s.heldout, err = data.OpenIDX(dir); err != nil {
		return err
	}
	if s.net, _, err = s.trained(ctx, lesson{name: "float32", steps: s.steps, noise: quant.Noise{Kind: quant.NoNoise}}, 1); err != nil {
		return err
	}
	if s.float, err = s.net.score(s.heldout, nil); err != nil {
		return err
	}
	fmt.Printf("In float32: loss %.4f, accuracy %.2f %%.\n", s.float.loss, 100*s.float.accuracy)
	for _, table := range []func(context.Context) (table, error){
		s.scales, s.bits, s.granularities, s.roundings, s.grids, s.ranges, s.arguments, s.outliers, s.noises, s.learning,
	} {
		t, err := table(ctx)
		if err != nil {
			return err
		}
		if err := t.write(os.Stdout); err != nil {
			return err
		}
	}
	return s.draw()
}

// draw draws the weights of the hidden layer under two grids.
func (s *study) draw() error {
	hidden := s.net.layers[len(s.net.layers)-2]
	for _, each := range []struct {
		name   string
		config quant.Config
	}{
		{"ternary", quant.Config{}},
		{"4bits", quant.Config{Bits: 4, Granularity: quant.PerChannel}},
	} {
		q, err := quant.New(each.config)
		if err != nil {
			return err
		}
		l, err := analysis.Analyze(hidden.name+"."+each.name, hidden.weight, q, hidden.out, hidden.in)
		if err != nil {
			return err
		}
		if err := l.SavePlots(s.dir, "png"); err != nil {
			return err
		}
	}
	return nil
}
