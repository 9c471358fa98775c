package interop

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trefoil/export"
	"trefoil/internal/gguf"
	"trefoil/internal/safetensors"
	"trefoil/quant/packed"
)

func openSafetensors(t *testing.T, path string) *safetensors.File {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func openGGUF(t *testing.T, path string) *gguf.File {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// sameBits reports the first element of other bits.
func sameBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", name, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %g, want %g", name, i, got[i], want[i])
		}
	}
}

// readByPython returns the tensors of a file as the package of its format
// decodes them.
func readByPython(t *testing.T, path string) *safetensors.File {
	t.Helper()
	out := filepath.Join(t.TempDir(), "values.safetensors")
	output(t, exec.Command(have(t, installPython), "files.py", "read", path, out))
	return openSafetensors(t, out)
}

// The package gguf decodes our files to the values that we decode, but for
// Q2_0 and I2_S, which its version does not know.
func TestPythonReadsGGUF(t *testing.T) {
	have(t, installPython)
	m := open(t, siluRun, export.Options{Float: packed.Float32})
	for _, name := range []string{"f16", "tq1_0", "tq2_0"} {
		path := m.write(t, export.GGUF, "-type", name, "-float", "float16")
		theirs, ours := readByPython(t, renamed(t, path, ".gguf")), openGGUF(t, path)
		for _, info := range ours.Tensors() {
			want, err := ours.Float32(info.Name, info.Shape...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := theirs.Float32(info.Name, info.Shape...)
			if err != nil {
				t.Fatal(err)
			}
			sameBits(t, name+" "+info.Name, got, want)
		}
		t.Logf("%s: %d tensors are the same", name, len(ours.Tensors()))
	}
	for _, name := range []string{"q2_0", "i2_s"} {
		path := renamed(t, m.write(t, export.GGUF, "-type", name), ".gguf")
		c := exec.Command(have(t, installPython), "files.py", "read", path, filepath.Join(t.TempDir(), "x"))
		if out, err := c.CombinedOutput(); err == nil || !strings.Contains(string(out), "not a valid GGMLQuantizationType") {
			t.Errorf("the package gguf reads %s now (%v): compare its values here\n%s", name, err, out)
		}
	}
}

// renamed gives a file the ending by which programs know its format.
func renamed(t *testing.T, path, ending string) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), "model"+ending)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	return link
}

func TestPythonReadsSafetensors(t *testing.T) {
	have(t, installPython)
	m := open(t, siluRun, export.Options{Float: packed.Float32})
	paths := []string{
		filepath.Join(m.run.Dir, "checkpoints", "best.safetensors"),
		filepath.Join(m.write(t, export.HuggingFace), "model.safetensors"),
		filepath.Join(m.write(t, export.HuggingFace, "-float", "float16"), "model.safetensors"),
		filepath.Join(m.write(t, export.PackedHuggingFace), "model.safetensors"),
		renamed(t, m.write(t, export.SafeTensors), ".safetensors"),
	}
	for _, path := range paths {
		theirs, ours := readByPython(t, path), openSafetensors(t, path)
		for _, info := range ours.Tensors() {
			got, err := theirs.Float32(info.Name, info.Shape...)
			if err != nil {
				t.Fatal(err)
			}
			sameBits(t, info.Name, got, values(t, ours.Reader, info))
		}
		t.Logf("%s: %d tensors are the same", filepath.Base(filepath.Dir(path)), len(ours.Tensors()))
	}
}

// values returns a tensor of any of the types of files.py as float32.
func values(t *testing.T, f *safetensors.Reader, info safetensors.Info) []float32 {
	t.Helper()
	b, err := f.Bytes(info.Name)
	if err != nil {
		t.Fatal(err)
	}
	switch info.DType {
	case safetensors.F64:
		return numbers[float64](t, b)
	case safetensors.I8:
		return numbers[int8](t, b)
	case safetensors.U8, safetensors.Bool:
		return numbers[uint8](t, b)
	case safetensors.I16:
		return numbers[int16](t, b)
	case safetensors.I32:
		return numbers[int32](t, b)
	case safetensors.I64:
		return numbers[int64](t, b)
	}
	x, err := f.Float32(info.Name)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// numbers returns little-endian numbers as float32.
func numbers[T float64 | int8 | uint8 | int16 | int32 | int64](t *testing.T, b []byte) []float32 {
	t.Helper()
	var x []float32
	for _, v := range decode[T](t, b) {
		x = append(x, float32(v))
	}
	return x
}

func TestReadsFilesOfPython(t *testing.T) {
	python := have(t, installPython)
	dir := t.TempDir()
	output(t, exec.Command(python, "files.py", "write", dir))
	want := openSafetensors(t, filepath.Join(dir, "values.safetensors"))
	expect := func(name string, got []float32) {
		t.Helper()
		x, err := want.Float32(name)
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, name, got, x)
	}

	g := openGGUF(t, filepath.Join(dir, "written.gguf"))
	for _, info := range g.Tensors() {
		x, err := g.Float32(info.Name, 3, 512)
		if err != nil {
			t.Fatal(err)
		}
		expect(info.Name, x)
	}
	count, err := g.Int("trefoil.count")
	if err != nil || count != 7 {
		t.Errorf("trefoil.count is %d, %v", count, err)
	}
	words, err := g.Strings("trefoil.words")
	if err != nil || strings.Join(words, "|") != "naïve|世界|" {
		t.Errorf("trefoil.words is %q, %v", words, err)
	}
	s := openSafetensors(t, filepath.Join(dir, "written.safetensors"))
	for _, info := range s.Tensors() {
		expect(info.Name, values(t, s.Reader, info))
	}
	if len(g.Tensors()) != 7 || len(s.Tensors()) != 10 || s.Metadata("made by") != "safetensors" {
		t.Errorf("%d and %d tensors, metadata %q", len(g.Tensors()), len(s.Tensors()), s.Metadata("made by"))
	}
}

// llama.cpp's own library decodes the tensors of our Q2_0 files, a type that
// the package gguf does not know, to the values that we decode.
func TestLlamaCppDecodesQ2(t *testing.T) {
	python, library := have(t, installPython), ggmlLibrary(t)
	m := open(t, siluRun, export.Options{Float: packed.Float32})
	ours, decoded := openGGUF(t, m.write(t, export.GGUF, "-type", "q2_0")), 0
	dir := t.TempDir()
	for _, info := range ours.Tensors() {
		if info.Type != gguf.Q2_0 {
			continue
		}
		b, err := ours.Bytes(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ours.Float32(info.Name)
		if err != nil {
			t.Fatal(err)
		}
		blocks, values := filepath.Join(dir, "blocks"), filepath.Join(dir, "values")
		if err := os.WriteFile(blocks, b, 0o666); err != nil {
			t.Fatal(err)
		}
		output(t, exec.Command(python, "blocks.py", library, "Q2_0", blocks, values))
		sameBits(t, info.Name, readNumbers[float32](t, values), want)
		decoded++
	}
	if decoded != 14 { // seven in each of two layers
		t.Errorf("%d tensors of Q2_0", decoded)
	}
}

// ggmlLibrary returns the path of llama.cpp's library of tensor types, as
// node-llama-cpp ships it.
func ggmlLibrary(t *testing.T) string {
	t.Helper()
	libraries, err := filepath.Glob(filepath.Join(have(t, installNode), "node_modules", "@node-llama-cpp", "*", "bins", "*", "libggml-base.*"))
	if err != nil || len(libraries) != 1 {
		t.Fatalf("%d libraries, %v", len(libraries), err)
	}
	return libraries[0]
}

// The blocks that internal/gguf is tested with are those of llama.cpp's
// quantizer: its library, as node-llama-cpp ships it, makes them again.
func TestGoldenBlocksAreLlamaCpps(t *testing.T) {
	python, library := have(t, installPython), ggmlLibrary(t)
	out := output(t, exec.Command(python, "blocks.py", library, filepath.Join("..", "internal", "gguf", "testdata", "golden.gguf")))
	if got := strings.Fields(out); len(got) != 7 {
		t.Errorf("the types %v are the same, want 7 of them", got)
	}
}
