package interop

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// A job is what a reader is asked to do with a model. Each of its scripts
// reads one from the file that is its argument, and prints a result.
type job struct {
	Model   string    `json:"model"`   // file or folder
	Windows [][]int32 `json:"windows"` // sequences to compute logits for
	Logits  string    `json:"logits"`  // file to write them to: float32 [windows, tokens, vocab]
	Prompts [][]int32 `json:"prompts"` // sequences to continue
	Tokens  int       `json:"tokens"`  // how many to add to each
	Text    string    `json:"text"`    // file to turn into ids
	IDs     string    `json:"ids"`     // file to write them to: int32
	Inputs  string    `json:"inputs"`  // file to write the inputs of linear layers to (huggingface.py)
}

// A result is what a reader says.
type result struct {
	Generated [][]int32 `json:"generated"`

	logits [][]float32 // [tokens, vocab] of each window
	ids    []int32
}

// ask lets a program do a job.
func ask(t *testing.T, j job, program string, args ...string) result {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "job.json")
	j.Logits, j.IDs = filepath.Join(dir, "logits"), filepath.Join(dir, "ids")
	b, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, append(args, path)...)
	c.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TORCHDYNAMO_DISABLE=1")
	out := output(t, c)
	var r result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%s: %v\n%s", c, err, out)
	}
	if len(j.Windows) > 0 {
		all := readNumbers[float32](t, j.Logits)
		r.logits = slices.Collect(slices.Chunk(all, len(all)/len(j.Windows)))
	}
	if j.Text != "" {
		r.ids = readNumbers[int32](t, j.IDs)
	}
	return r
}

// readNumbers reads a file of little-endian float32 or int32.
func readNumbers[T float32 | int32](t *testing.T, path string) []T {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return decode[T](t, b)
}

// decode returns little-endian numbers.
func decode[T any](t *testing.T, b []byte) []T {
	t.Helper()
	var zero T
	x := make([]T, len(b)/binary.Size(zero))
	if _, err := binary.Decode(b, binary.LittleEndian, x); err != nil {
		t.Fatal(err)
	}
	return x
}
