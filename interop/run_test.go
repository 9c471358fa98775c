package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"trefoil/data"
	"trefoil/export"
	"trefoil/infer"
	"trefoil/quant/packed"
	"trefoil/schedule"
)

// scratch is a folder for commands, runs and files, which is removed at the
// end.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "trefoil-interop-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// build builds the commands and returns their folder.
var build = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(scratch, "bin")
	out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "trefoil/cmd/...").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, err
})

// trefoil runs one of the commands, such as export, and returns what it
// printed.
func trefoil(t *testing.T, name string, args ...string) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return output(t, ownCache(exec.Command(filepath.Join(dir, name), args...)))
}

// ownCache keeps a command from the user's cache of tokens.
func ownCache(c *exec.Cmd) *exec.Cmd {
	c.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(scratch, "cache"))
	return c
}

// output runs a program and returns what it wrote to its standard output.
func output(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", c, err, &stdout, &stderr)
	}
	return stdout.String()
}

// goText returns the folder of the source code that models learn: enough to
// write text by which mistakes show.
var goText = sync.OnceValue(func() string {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		panic(err) // the tests were started by go
	}
	return filepath.Join(strings.TrimSpace(string(root)), "src", "go")
})

// siluRun is a trained run with a SiLU gate, as llama.cpp's architecture
// bitnet has it.
var siluRun = sync.OnceValues(func() (string, error) {
	return train("silu", "model.ff=512", "train.steps=150", "train.eval_every=150")
})

// plainRun is a trained run without sub-norms and with a head of its own and
// wide heads, as the architecture llama has it.
var plainRun = sync.OnceValues(func() (string, error) {
	return train("plain", "model.sub_norms=false", "model.tied_head=false", "model.head_dim=128", "model.ff=512",
		"train.steps=80", "train.eval_every=80")
})

// relu2Run is a trained run with a squared ReLU, as in the architecture
// bitnet-b1.58. ik_llama.cpp wants rows of 512 at least.
var relu2Run = sync.OnceValues(func() (string, error) {
	return train("relu2", "model.activation=relu2", "model.dim=512", "model.heads=8", "model.kv_heads=4", "model.ff=1024",
		"train.steps=80", "train.eval_every=80", "train.batch=4")
})

// train trains a run by cmd/train and returns its folder.
func train(name string, settings ...string) (string, error) {
	bin, err := build()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(scratch, name)
	// All rows divide into the blocks of every type.
	common := []string{
		"name=" + name, "data.path=" + goText(), `data.include=["**/*.go"]`, "data.tokenizer.vocab=1024",
		"model.layers=2", "model.context=128", "train.eval_batches=4", "train.warmup=10",
	}
	args := []string{"-out", dir}
	for _, s := range slices.Concat(common, settings) {
		args = append(args, "-set", s)
	}
	if out, err := ownCache(exec.Command(filepath.Join(bin, "train"), args...)).CombinedOutput(); err != nil {
		return "", fmt.Errorf("train: %w\n%s", err, out)
	}
	return dir, nil
}

// A model is a run as Trefoil computes it.
type model struct {
	*infer.Model
	run       *export.Run
	tokenizer *data.Tokenizer
	windows   [][]int32 // held-out text, [context+1] each
}

// open returns the model of a run.
func open(t *testing.T, run func() (string, error), o export.Options) *model {
	t.Helper()
	dir, err := run()
	if err != nil {
		t.Fatal(err)
	}
	m := &model{}
	if m.run, err = export.Load(dir); err != nil {
		t.Fatal(err)
	}
	if m.tokenizer, err = data.ParseTokenizer(m.run.Tokenizer); err != nil {
		t.Fatal(err)
	}
	if m.Model, err = m.run.Inference(o); err != nil {
		t.Fatal(err)
	}
	if h := m.run.Heldout; h.N > 0 {
		m.windows = slices.Collect(slices.Chunk(h.Tokens, len(h.Tokens)/h.N))
	}
	return m
}

// floatInputs returns the model without the rounding of activations.
func (m *model) floatInputs(t *testing.T, o export.Options) *model {
	t.Helper()
	frozen, err := m.run.Freeze(o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range frozen.Tensors {
		if a := frozen.Tensors[i].Activation; a != nil {
			frozen.Tensors[i].Activation = &packed.Activation{Bits: schedule.Float}
		}
	}
	view := *m
	if view.Model, err = infer.New(frozen); err != nil {
		t.Fatal(err)
	}
	return &view
}

// write writes the run by cmd/export and returns the path.
func (m *model) write(t *testing.T, format export.Format, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model")
	args := slices.Concat([]string{m.run.Dir, "-format", string(format), "-o", path, "-verify"}, flags)
	if out := trefoil(t, "export", args...); !strings.Contains(out, "verified: ") {
		t.Fatalf("export %q:\n%s", args, out)
	}
	return path
}
