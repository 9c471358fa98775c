package nn

import (
	"fmt"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Wrong shapes are refused when the graph is built, by an error that names the
// operation and the shapes.
func TestWrongShapes(t *testing.T) {
	g := G.NewGraph()
	node := func(name string, of tensor.Dtype, shape ...int) *G.Node {
		return G.NewTensor(g, of, len(shape), G.WithShape(shape...), G.WithName(name))
	}
	x := node("x", tensor.Float32, 12, 64)
	w := node("w", tensor.Float32, 10, 32)
	w64 := node("w64", tensor.Float64, 10, 64)
	gain := node("gain", tensor.Float32, 65)
	ids := node("ids", tensor.Int32, 12)
	few := node("few", tensor.Int32, 11)
	odd := node("odd", tensor.Float32, 4, 7)
	ints := node("ints", tensor.Int32, 4, 8)
	images := node("images", tensor.Float32, 2, 5, 6, 3)
	kernels := node("kernels", tensor.Float32, 4, 3, 3, 2)
	large := node("large", tensor.Float32, 4, 7, 3, 3)
	empty := node("empty", tensor.Float32, 0, 3)
	for _, c := range []struct {
		name  string
		build func() (*G.Node, error)
		want  []string
	}{
		{"Conv2D", func() (*G.Node, error) { return Conv2D(images, kernels, Window{}) }, []string{"Conv2D", "images (2, 5, 6, 3)", "kernels (4, 3, 3, 2)"}},
		{"Conv2D of a matrix", func() (*G.Node, error) { return Conv2D(x, kernels, Window{}) }, []string{"Conv2D", "x (12, 64)", "kernels"}},
		{"large window", func() (*G.Node, error) { return Conv2D(images, large, Window{}) }, []string{"Conv2D", "images (2, 5, 6, 3)", "7 x 3", "does not fit"}},
		{"padding", func() (*G.Node, error) { return Patches(images, 3, 3, Window{Padding: 3}) }, []string{"Patches", "padding 3", "0 to 2"}},
		{"Patches", func() (*G.Node, error) { return Patches(x, 3, 3, Window{}) }, []string{"Patches", "x (12, 64)"}},
		{"MaxPool2D", func() (*G.Node, error) { return MaxPool2D(x, 2) }, []string{"MaxPool2D", "x (12, 64)"}},
		{"large pool", func() (*G.Node, error) { return MaxPool2D(images, 6) }, []string{"MaxPool2D", "images (2, 5, 6, 3)", "6 x 6"}},
		{"no pool", func() (*G.Node, error) { return MaxPool2D(images, 0) }, []string{"MaxPool2D", "at least 1"}},
		{"BiasReLU", func() (*G.Node, error) { return BiasReLU(images, gain) }, []string{"BiasReLU", "images (2, 5, 6, 3)", "gain (65)"}},
		{"Flatten", func() (*G.Node, error) { return Flatten(gain) }, []string{"Flatten", "gain (65)"}},
		{"empty", func() (*G.Node, error) { return Flatten(empty) }, []string{"Flatten", "empty (0, 3)"}},
		{"Linear", func() (*G.Node, error) { return Linear(x, w) }, []string{"Linear", "x (12, 64)", "w (10, 32)"}},
		{"types", func() (*G.Node, error) { return Linear(x, w64) }, []string{"Linear", "w64 (10, 64)", "element type"}},
		{"no weights", func() (*G.Node, error) { return Linear(x) }, []string{"Linear", "at least one weight"}},
		{"RMSNorm", func() (*G.Node, error) { return RMSNorm(x, gain, 1e-5) }, []string{"RMSNorm", "x (12, 64)", "gain (65)"}},
		{"Residual", func() (*G.Node, error) { return Residual(x, gain, 1e-5, nil) }, []string{"Residual", "x (12, 64)", "gain (65)"}},
		{"Residual of another shape", func() (*G.Node, error) {
			return Residual(x, node("gain64", tensor.Float32, 64), 1e-5, func(*G.Node) (*G.Node, error) { return w, nil })
		}, []string{"Residual", "x (12, 64)", "w (10, 32)"}},
		{"TiedHead", func() (*G.Node, error) { return TiedHead(x, x) }, []string{"TiedHead", "x is not an embedding"}},
		{"TiedHead of another width", func() (*G.Node, error) {
			rows, err := Embedding(w, ids)
			if err != nil {
				return nil, err
			}
			return TiedHead(x, rows)
		}, []string{"TiedHead", "x (12, 64)", "(12, 32)"}},
		{"Add", func() (*G.Node, error) { return Add(x, w) }, []string{"Add", "x (12, 64)", "w (10, 32)"}},
		{"SiLUGate", func() (*G.Node, error) { return SiLUGate(odd) }, []string{"SiLUGate", "odd (4, 7)"}},
		{"Embedding", func() (*G.Node, error) { return Embedding(x, w) }, []string{"Embedding", "x (12, 64)", "w (10, 32)"}},
		{"CrossEntropy", func() (*G.Node, error) { return CrossEntropy(x, few, nil) }, []string{"CrossEntropy", "x (12, 64)", "few (11)"}},
		{"loss of floats", func() (*G.Node, error) { return CrossEntropy(x, gain, nil) }, []string{"CrossEntropy", "int32"}},
		{"Attention", func() (*G.Node, error) {
			return Attention(x, AttentionShape{Batch: 3, Context: 4, Heads: 4, KVHeads: 4, HeadDim: 8, RopeBase: 1e4})
		}, []string{"Attention", "x (12, 64)", "(12, 96)"}},
		{"heads", func() (*G.Node, error) {
			return Attention(x, AttentionShape{Batch: 3, Context: 4, Heads: 4, KVHeads: 3, HeadDim: 8, RopeBase: 1e4})
		}, []string{"Attention", "4 heads", "3 key-value heads"}},
		{"ReLU2Gate", func() (*G.Node, error) { return ReLU2Gate(odd) }, []string{"ReLU2Gate", "odd (4, 7)"}},
		{"activations", func() (*G.Node, error) { return FakeQuantActivation(gain, &ActivationQuantizer{}) }, []string{"FakeQuantActivation", "gain (65)"}},
		{"weights", func() (*G.Node, error) { return FakeQuantWeight(ids, &WeightQuantizer{}) }, []string{"FakeQuantWeight", "ids (12)"}},
		{"estimator", func() (*G.Node, error) { return FakeQuantWeight(w, &WeightQuantizer{Estimator: "soft"}) }, []string{`"soft"`, "tanh"}},
		{"integers", func() (*G.Node, error) { return SiLUGate(ints) }, []string{"SiLUGate", "int32", "float64"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := c.build()
			if err == nil {
				t.Fatalf("no error, but %v", n)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// Ids outside the vocabulary are an error of the run, not a panic.
func TestIDsOutsideVocabulary(t *testing.T) {
	for _, bad := range []int32{-1, 6} {
		g := G.NewGraph()
		table := G.NewMatrix(g, tensor.Float32, G.WithShape(6, 2), G.WithName("table"), G.WithInit(G.Zeroes()))
		ids := G.NewVector(g, tensor.Int32, G.WithShape(3), G.WithName("ids"),
			G.WithValue(tensor.New(tensor.WithShape(3), tensor.WithBacking([]int32{0, bad, 1}))))
		if _, err := Embedding(table, ids); err != nil {
			t.Fatal(err)
		}
		vm := G.NewTapeMachine(g)
		err := vm.RunAll()
		vm.Close()
		if err == nil || !strings.Contains(err.Error(), "vocabulary of 6") || !strings.Contains(err.Error(), "position 1") {
			t.Errorf("id %d: %v", bad, err)
		}
	}
	for _, bad := range []int32{-2, 6, 7} { // -1 is left out
		g := G.NewGraph()
		logits := G.NewMatrix(g, tensor.Float32, G.WithShape(3, 6), G.WithName("logits"), G.WithInit(G.Zeroes()))
		targets := G.NewVector(g, tensor.Int32, G.WithShape(3), G.WithName("targets"),
			G.WithValue(tensor.New(tensor.WithShape(3), tensor.WithBacking([]int32{-1, 5, bad}))))
		if _, err := CrossEntropy(logits, targets, nil); err != nil {
			t.Fatal(err)
		}
		vm := G.NewTapeMachine(g)
		err := vm.RunAll()
		vm.Close()
		if want := fmt.Sprintf("target %d at position 2 is outside the vocabulary of 6", bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("target %d: %v", bad, err)
		}
	}
}
