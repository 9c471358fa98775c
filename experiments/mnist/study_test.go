package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/data"
	"trefoil/layers"
	"trefoil/nn"
)

func digits(t *testing.T) (train, heldout *data.Images) {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "data", "mnist")
	train, heldout, err := data.OpenIDX(dir)
	if err != nil {
		t.Skipf("no digits beside the repository: %v", err)
	}
	return train, heldout
}

// A few updates learn something of the real digits, and the packed network
// classifies as the graph does.
func TestStudy(t *testing.T) {
	first, heldout := digits(t)
	heldout.Pixels, heldout.Labels = heldout.Pixels[:300*784], heldout.Labels[:300]
	s := &study{dir: t.TempDir(), train: first, heldout: heldout, seeds: 1, steps: 20, progress: io.Discard}
	var outcomes []outcome
	for _, name := range []string{"float32", "b1.58"} {
		o, err := s.run(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		if len(o) != 1 || mean(o[0].graph) < 0.5 {
			t.Fatalf("%s: %+v, want an accuracy above one half", name, o)
		}
		outcomes = append(outcomes, o...)
	}
	if o := outcomes[1]; !slices.Equal(o.packed, o.graph) {
		t.Errorf("packed %v, graph %v", o.packed, o.graph)
	}
	var b bytes.Buffer
	if err := table(&b, outcomes); err != nil || strings.Count(b.String(), "\n") != 4 {
		t.Errorf("table %q, %v", b.String(), err)
	}
	if err := drawAccuracy(filepath.Join(s.dir, "accuracy.png"), outcomes); err != nil {
		t.Error(err)
	}
	again, err := s.run(context.Background(), "b1.58") // whole, so it is taken up as it is
	if err != nil || !slices.Equal(again[0].graph, outcomes[1].graph) {
		t.Errorf("again: %v, %v", again, err)
	}
	if _, err := s.run(context.Background(), "W3"); err == nil || !strings.Contains(err.Error(), "W2A8") {
		t.Errorf("a recipe that is not there: %v", err)
	}
}

// A packed file holds 206,736 weights in the bits of its recipe, some more for
// whole blocks, and the scales.
func TestPackedSizes(t *testing.T) {
	for _, r := range recipes[1:] {
		net, err := layers.NewConvNet(G.NewGraph(), network(28, 28, 1, 10), 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := layers.Swap(net, "*", *r.spec); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "model.safetensors")
		if err := export(path, net); err != nil {
			t.Fatal(err)
		}
		p, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		bits := map[string]float64{"W8A8": 8, "W4A8": 4, "W2A8": 2, "b1.58": 1.6, "binary": 1}[r.name]
		least := int(206736 * bits / 8)
		if n := p.weightBytes(); n < least || n > least+1000 {
			t.Errorf("%s: %d bytes of weights, want %d and up to 1,000", r.name, n, least)
		}
	}
}

// The packed network has the bits of the graph.
func TestPackedNetworkEqualsGraph(t *testing.T) {
	const batch = 3
	shape := layers.ConvNetConfig{Height: 9, Width: 10, Channels: 2, Filters: []int{5, 6}, Hidden: 12, Classes: 4}
	for _, r := range recipes[1:] {
		for seed := range uint64(20) {
			net, err := layers.NewConvNet(G.NewGraph(), shape, seed)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := layers.Swap(net, "*", *r.spec); err != nil {
				t.Fatal(err)
			}
			x, pixels := layers.NewImages(net.Hidden.Weight.Node.Graph(), "x", batch, 9, 10, 2)
			random := rand.New(rand.NewPCG(seed, 1))
			for i := range pixels {
				pixels[i] = random.Float32()
			}
			for _, b := range net.Biases() {
				for i := range b.Data() {
					b.Data()[i] = random.Float32() - 0.5
				}
			}
			logits, err := net.Forward(x)
			if err != nil {
				t.Fatal(err)
			}
			kept, err := nn.Add(logits, logits) // exact
			if err != nil {
				t.Fatal(err)
			}
			vm := G.NewTapeMachine(net.Hidden.Weight.Node.Graph())
			if err := vm.RunAll(); err != nil {
				t.Fatal(err)
			}
			vm.Close()
			path := filepath.Join(t.TempDir(), "model.safetensors")
			if err := export(path, net); err != nil {
				t.Fatal(err)
			}
			p, err := open(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.logits(pixels, batch)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range kept.Value().Data().([]float32) {
				if got[i]*2 != v {
					t.Fatalf("%s, seed %d: logit %d is %v packed, %v in the graph", r.name, seed, i, got[i], v/2)
				}
			}
		}
	}
}

// A file that is not a packed network is refused.
func TestOpenErrors(t *testing.T) {
	net, err := layers.NewConvNet(G.NewGraph(), layers.ConvNetConfig{Height: 4, Width: 4, Channels: 1, Filters: []int{2}, Hidden: 3, Classes: 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := export(filepath.Join(t.TempDir(), "float"), net); err == nil || !strings.Contains(err.Error(), "conv.0: ") {
		t.Errorf("packed float32 weights: %v", err)
	}
	path := filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(path, []byte("not a file of tensors"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("opened: %v", err)
	}
}

// The text by which a run knows its recipe differs where the recipe does.
func TestDescriptionsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, r := range recipes {
		text := r.describe(network(28, 28, 1, 10), 1, settings(800))
		if other, ok := seen[text]; ok {
			t.Errorf("%s and %s are described alike", r.name, other)
		}
		seen[text] = r.name
	}
}
