package train

import (
	"cmp"
	"go/build"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/data"
	"trefoil/export"
	"trefoil/infer"
	"trefoil/layers"
	"trefoil/quant/packed"
)

// goText writes some real Go code to a file.
func goText(t *testing.T) string {
	t.Helper()
	source := filepath.Join(build.Default.GOROOT, "src", "fmt", "print.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Skipf("no Go source to train on: %v", err)
	}
	path := filepath.Join(t.TempDir(), "print.go.txt")
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// What was trained is, bit for bit, what is shipped: on real text, every
// linear layer of the packed file gives the outputs of the graph, and the
// logits are the same: of a whole context, and token by token, far beyond the
// context, of greedy text and of the text held out. Greedy text of so small a
// model may soon repeat itself; the held-out text does not.
func TestPackedModelEqualsGraph(t *testing.T) {
	for _, activation := range []string{"silu", "relu2"} {
		t.Run(activation, func(t *testing.T) {
			c := tinyConfig(t)
			c.Data.Path, c.Data.Tokenizer.Kind, c.Data.Tokenizer.Vocab = goText(t), data.BPE, 400
			c.Model.Activation, c.Model.Dim, c.Model.FF, c.Model.Context = activation, 48, 100, 40
			c.Train.Steps, c.Train.EvalEvery = 300, 150
			dir := filepath.Join(t.TempDir(), "run")
			train(t, c, Options{Dir: dir})

			run, err := export.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "model.trefoil")
			if _, err := run.Export(t.Context(), path, export.Options{Float: packed.Float32, Percentile: 99.9}); err != nil {
				t.Fatal(err)
			}
			model, err := infer.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			n := frozen(t, dir, run)
			changedRunIsRefused(t, export.Folder(dir))
			compareLayers(t, n, model, run.Heldout.Tokens)
			heldout := run.Heldout.Tokens
			compareDecoding(t, n, model, heldout[:5], 200, func(_ int, logits []float32) int32 { return argmax(logits) })
			const positions = 300
			distinct := compareDecoding(t, n, model, heldout[:5], positions, func(i int, _ []float32) int32 { return heldout[5+i] })
			if distinct < positions*9/10 {
				t.Errorf("only %d of %d positions of the held-out text have logits of their own", distinct, positions)
			}
		})
	}
}

// changedRunIsRefused checks that a run whose tokenizer or network was changed
// does not open, and one whose training was does.
func changedRunIsRefused(t *testing.T, folder export.Folder) {
	t.Helper()
	for _, c := range []struct{ path, was, now, says string }{
		{folder.Tokenizer(), "{", "{ ", "was changed since the run began"},
		{folder.Config(), "norm_eps: 1e-05", "norm_eps: 0.01", `(first difference: now "norm_eps: 0.01", then "norm_eps: 1e-05")`},
		{folder.Config(), "eval_every: 150", "eval_every: 100", ""},
	} {
		text, err := os.ReadFile(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), c.was) {
			t.Fatalf("%s has no %s", c.path, c.was)
		}
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(c.path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write(strings.Replace(string(text), c.was, c.now, 1))
		r, err := export.Open(string(folder))
		switch {
		case c.says == "" && err == nil:
			r.Close()
		case c.says == "" || err == nil || !strings.Contains(err.Error(), c.says):
			t.Errorf("%s in place of %s: %v, want %q", c.now, c.was, err, c.says)
		}
		write(string(text))
	}
}

// frozen returns the network of a run's exported checkpoint, for one sequence.
func frozen(t *testing.T, dir string, run *export.Run) *Network {
	t.Helper()
	n, err := NewNetwork(run.Model, run.Config.Quantization, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	freeze(t, n, dir, run)
	return n
}

// freeze gives a network the weights of a run, quantized as at its end.
func freeze(t *testing.T, n *Network, dir string, run *export.Run) {
	t.Helper()
	if _, err := loadCheckpoint(export.Folder(dir).Best(), n.Model.Parameters(), nil); err != nil {
		t.Fatal(err)
	}
	plan, err := run.Config.Plan()
	if err != nil {
		t.Fatal(err)
	}
	n.Quantize(withoutNoise(plan.At(run.Config.Train.Steps)), 0)
}

// evaluate runs the network on tokens, filled up to its context, and returns
// the logits of the last of them.
func (n *Network) evaluateTokens(t *testing.T, tokens []int32) []float32 {
	t.Helper()
	clear(n.Inputs)
	copy(n.Inputs, tokens)
	if err := n.Evaluate(); err != nil {
		t.Fatal(err)
	}
	vocab := n.Model.Config.Vocab
	return n.Logits()[(len(tokens)-1)*vocab : len(tokens)*vocab]
}

func compareLayers(t *testing.T, n *Network, model *infer.Model, tokens []int32) {
	t.Helper()
	context := n.Model.Config.Context
	outputs := map[string][]float32{}
	tapped := model.WithTap(func(name string, _, y []float32, _ int) { outputs[name] = slices.Clone(y) })
	logits, err := tapped.Logits(tokens[:context], 1)
	if err != nil {
		t.Fatal(err)
	}
	products := map[*layers.BitLinear]*G.Node{}
	for _, b := range n.Model.Blocks {
		for _, joined := range b.Inputs() {
			products[joined[0]] = product(t, n, joined)
			G.Read(products[joined[0]], new(G.Value)) // a reader, so that attention leaves it as it is
		}
	}
	n.evaluateTokens(t, tokens[:context])
	for _, b := range n.Model.Blocks {
		for _, joined := range b.Inputs() {
			y := products[joined[0]].Value().Data().([]float32)
			width := len(y) / context
			column := 0
			for _, l := range joined {
				out := l.Weight.Shape[0]
				got := outputs[l.Weight.Name]
				if len(got) != context*out {
					t.Fatalf("%s: %d outputs in the packed model, want %d", l.Weight.Name, len(got), context*out)
				}
				for r := range context {
					if want := y[r*width+column : r*width+column+out]; !slices.Equal(got[r*out:(r+1)*out], want) {
						t.Fatalf("%s: row %d differs between packed model and graph", l.Weight.Name, r)
					}
				}
				column += out
			}
		}
	}
	if !slices.Equal(logits, n.Logits()) {
		t.Error("the logits of packed model and graph differ")
	}
}

// product returns the node of the product that reads a layer's weight.
func product(t *testing.T, n *Network, joined []*layers.BitLinear) *G.Node {
	t.Helper()
	for _, node := range n.logits.Graph().AllNodes() {
		if node.Op() != nil && node.Op().String() == "Linear" && strings.Contains(describe(node), joined[0].Weight.Name) {
			return node
		}
	}
	t.Fatalf("no product with %s in the graph", joined[0].Weight.Name)
	return nil
}

// compareDecoding appends tokens one by one, each chosen by next from the
// logits before it, and returns how many rows of logits were different ones.
func compareDecoding(t *testing.T, n *Network, model *infer.Model, prompt []int32, count int, next func(i int, logits []float32) int32) (distinct int) {
	t.Helper()
	session := model.NewSession()
	tokens, fresh := slices.Clone(prompt), prompt
	seen := map[[8]float32]bool{}
	for i := range count {
		logits, err := session.Append(fresh...)
		if err != nil {
			t.Fatal(err)
		}
		window := tokens[infer.WindowStart(len(tokens), n.Model.Config.Context):]
		if !slices.Equal(logits, n.evaluateTokens(t, window)) {
			t.Fatalf("token %d: the logits differ", i)
		}
		seen[[8]float32(logits)] = true
		fresh = []int32{next(i, logits)}
		tokens = append(tokens, fresh...)
	}
	return len(seen)
}

func argmax(x []float32) int32 {
	best := int32(0)
	for i := range x {
		if cmp.Compare(x[i], x[best]) > 0 {
			best = int32(i)
		}
	}
	return best
}
