package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// shards writes a folder of two shards with an index and returns it.
func shards(t testing.TB, weightMap map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, tensors := range map[string][]Tensor{
		"model-00001-of-00002.safetensors": {{"a", []int{2}, []float32{1, 2}}, {"extra", []int{1}, []float32{7}}},
		"model-00002-of-00002.safetensors": {{"b", []int{2, 2}, []float32{3, 4, 5, 6}}, {"c", []int{2}, []uint8{7, 8}}},
	} {
		write(t, filepath.Join(dir, name), encode(t, map[string]string{"format": "pt"}, tensors))
	}
	index, err := json.Marshal(map[string]any{"metadata": map[string]any{"total_size": 26}, "weight_map": weightMap})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, indexName), index)
	return dir
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

var twoShards = map[string]string{
	"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors", "c": "model-00002-of-00002.safetensors",
}

func TestModelOfShards(t *testing.T) {
	dir := shards(t, twoShards)
	for _, path := range []string{dir, filepath.Join(dir, indexName)} {
		m, err := OpenModel(path)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if x, err := m.Float32("b", 2, 2); err != nil || !slices.Equal(x, []float32{3, 4, 5, 6}) {
			t.Errorf("b: %v, %v", x, err)
		}
		if b, err := m.Bytes("c"); err != nil || !slices.Equal(b, []byte{7, 8}) {
			t.Errorf("c: %v, %v", b, err)
		}
		var pieces []byte
		if err := m.Scan("b", func(b []byte) error { pieces = append(pieces, b...); return nil }); err != nil || len(pieces) != 16 {
			t.Errorf("b: %d bytes, %v", len(pieces), err)
		}
		if err := m.Scan("b", func([]byte) error { return io.ErrShortBuffer }); !errors.Is(err, io.ErrShortBuffer) {
			t.Errorf("the scan ended with %v", err)
		}
		if shape, err := m.Shape("a"); err != nil || !slices.Equal(shape, []int{2}) {
			t.Errorf("a: %v, %v", shape, err)
		}
		var names []string
		for _, t := range m.Tensors() {
			names = append(names, t.Name)
		}
		if !slices.Equal(names, []string{"a", "extra", "b", "c"}) { // extra is not in the index
			t.Errorf("tensors %v", names)
		}
		if x, err := m.Float32("extra"); err != nil || !slices.Equal(x, []float32{7}) || !m.Has("extra") || m.Has("none") {
			t.Errorf("extra: %v, %v", x, err)
		}
		if first := m.First(); first.Metadata("format") != "pt" || !slices.Equal(first.Keys(), []string{"format"}) {
			t.Errorf("metadata %v", first.Keys())
		}
		info, file, err := m.Find("b")
		if err != nil || file != filepath.Join(dir, twoShards["b"]) || info.Size != 16 || info.Offset <= 8 {
			t.Errorf("b is at %+v of %s, %v", info, file, err)
		}
	}
}

func TestModelOfOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	write(t, path, encode(t, nil, sample()))
	for _, path := range []string{dir, path} {
		m, err := OpenModel(path)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if tensors := m.Tensors(); len(tensors) != len(sample()) || !m.Has("tokens") || m.Has("none") {
			t.Errorf("%d tensors", len(tensors))
		}
		if _, err := m.Float32("blocks.0.q", 9); err == nil || !strings.Contains(err.Error(), "model.safetensors: tensor blocks.0.q: shape is") {
			t.Errorf("got %v", err)
		}
	}
}

func TestModelErrors(t *testing.T) {
	with := func(tensor, shard string) map[string]string {
		return map[string]string{"a": twoShards["a"], tensor: shard}
	}
	for says, weightMap := range map[string]map[string]string{
		"index.json: no weight_map":                             nil,
		"shards missing: model-3.safetensors":                   with("d", "model-3.safetensors"),
		`shard "../../etc/passwd" is not the name of a file`:    with("d", "../../etc/passwd"),
		`shard "" is not the name`:                              with("d", ""),
		`shard ".." is not the name`:                            with("d", ".."),
		`shard "." is not the name`:                             with("d", "."),
		"model-00002-of-00002.safetensors: tensor d is missing": with("d", twoShards["b"]),
		"model.safetensors.index.json: header: a length":        with("d", indexName), // a shard that is none
		"model-00001-of-00002.safetensors: tensor z is missing": with("z", twoShards["a"]),
	} {
		m, err := OpenModel(shards(t, weightMap))
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
	dir := t.TempDir()
	if _, err := OpenModel(dir); err == nil || !strings.Contains(err.Error(), "has neither model.safetensors nor") {
		t.Errorf("an empty folder: %v", err)
	}
	write(t, filepath.Join(dir, indexName), []byte("[]"))
	if _, err := OpenModel(dir); err == nil || !strings.Contains(err.Error(), indexName) {
		t.Errorf("an index that is a list: %v", err)
	}
	m, err := OpenModel(shards(t, twoShards))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Bytes("none"); err == nil || !strings.Contains(err.Error(), "tensor none is in none of the 2 shards") {
		t.Errorf("got %v", err)
	}
}

// A tensor that the index does not place may be in one shard only, and one that
// it does place is that of the shard it says.
func TestTensorInTwoShards(t *testing.T) {
	for _, listed := range []bool{false, true} {
		weightMap := map[string]string{"a": twoShards["a"], "b": twoShards["b"]}
		if listed {
			weightMap["extra"] = twoShards["b"]
		}
		dir := shards(t, weightMap)
		write(t, filepath.Join(dir, twoShards["b"]), encode(t, nil, []Tensor{{"b", []int{1}, []float32{1}}, {"extra", []int{1}, []float32{8}}}))
		m, err := OpenModel(dir)
		if !listed {
			if err == nil || !strings.Contains(err.Error(), "tensor extra is in ") || !strings.Contains(err.Error(), twoShards["b"]) {
				t.Errorf("got %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if x, err := m.Float32("extra"); err != nil || x[0] != 8 || len(m.Tensors()) != 3 {
			t.Errorf("%v, %v, %d tensors", x, err, len(m.Tensors()))
		}
	}
}

// A file that is far too long for an index is refused by its size.
func TestIndexOfHoles(t *testing.T) {
	path := filepath.Join(t.TempDir(), indexName)
	write(t, path, nil)
	if err := os.Truncate(path, 10<<30); err != nil {
		t.Skipf("no files with holes here: %v", err)
	}
	var err error
	if n := allocated(func() { _, err = OpenModel(path) }); n > 1<<20 {
		t.Errorf("%d bytes were allocated to refuse it", n)
	}
	if err == nil || !strings.Contains(err.Error(), "has 10737418240 bytes: at most") {
		t.Errorf("got %v", err)
	}
}

// allocated counts the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestLazyTensors(t *testing.T) {
	eager := encode(t, nil, sample())
	lazy, loaded := sample(), map[string]int{}
	for i, tensor := range lazy {
		lazy[i].Data = Lazy{dtypeOf(tensor.Data), func() (any, error) { loaded[tensor.Name]++; return tensor.Data, nil }}
	}
	if got := encode(t, nil, lazy); !bytes.Equal(got, eager) {
		t.Error("the bytes differ from those of data in memory")
	}
	for name, n := range loaded {
		if n != 2 {
			t.Errorf("%s was loaded %d times", name, n)
		}
	}
	errLoad := errors.New("no such weights")
	for says, load := range map[string]func() (any, error){
		"tensor w: no such weights":                func() (any, error) { return nil, errLoad },
		"tensor w: elements of type []int32":       func() (any, error) { return []int32{1, 2}, nil },
		"tensor w: shape [2] of F32 takes 8 bytes": func() (any, error) { return []float32{1}, nil },
	} {
		err := Write(io.Discard, nil, []Tensor{{"w", []int{2}, Lazy{F32, load}}})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
}

// Opening a file of 10 GB reads its header alone.
func TestOpensLargeFilesInAMoment(t *testing.T) {
	const rows = 2_500_000_000
	head := file(fmt.Sprintf(`{"w":{"dtype":"F32","shape":[%d],"data_offsets":[0,%d]}}`, rows, 4*rows), nil)
	path := filepath.Join(t.TempDir(), fileName)
	write(t, path, head)
	if err := os.Truncate(path, int64(len(head))+4*rows); err != nil {
		t.Skipf("no files with holes here: %v", err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	count := &countingReader{r: f}
	if _, err := NewReader(count, int64(len(head))+4*rows); err != nil {
		t.Fatal(err)
	}
	if count.n > int64(2*len(head)) {
		t.Errorf("opening read %d bytes; the header has %d", count.n, len(head))
	}
}

// A countingReader counts what is read.
type countingReader struct {
	r io.ReaderAt
	n int64
}

func (c *countingReader) ReadAt(b []byte, at int64) (int, error) {
	c.n += int64(len(b))
	return c.r.ReadAt(b, at)
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{},"weight_map":{"a":"x.safetensors","b":"../y"}}`))
	f.Add([]byte(`{"weight_map":{"a":"model.safetensors.index.json"}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		write(t, filepath.Join(dir, indexName), b)
		m, err := OpenModel(dir)
		if err != nil {
			return
		}
		defer m.Close()
		for _, file := range m.Files() {
			if filepath.Dir(file) != dir {
				t.Errorf("shard %q lies outside of the folder", file)
			}
		}
		for _, info := range m.Tensors() {
			if _, err := m.Shape(info.Name); err != nil {
				t.Error(err)
			}
		}
	})
}
