package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"trefoil/internal/regularfile"
)

// Names of a model's file and of its index in a Hugging Face folder.
const (
	fileName  = "model.safetensors"
	indexName = "model.safetensors.index.json"
)

// A Model is the tensors of one file, or of the shards that an index lists:
//
//	{"metadata": {"total_size": 123}, "weight_map": {"tensor": "shard.safetensors", ...}}
//
// A tensor of a shard that the index does not list is one of the model, as it
// is to transformers; one that it lists in another shard is not. A Model may
// be used by several goroutines; Close must be the last call.
type Model struct {
	folder string
	files  []*File          // in the order of their names
	fileOf map[string]*File // that of each tensor; nil for one file without an index
}

// OpenModel opens a .safetensors file, an index (a .json file), or a folder
// with model.safetensors or model.safetensors.index.json, and reads the headers
// of all files. It fails when a shard that the index lists is missing, or lacks
// a tensor.
func OpenModel(path string) (*Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if path, err = find(path); err != nil {
			return nil, err
		}
	}
	m := &Model{folder: filepath.Dir(path)}
	if filepath.Ext(path) != ".json" {
		f, err := Open(path)
		if err != nil {
			return nil, err
		}
		m.files = []*File{f}
		return m, nil
	}
	index, err := readIndex(path)
	if err == nil {
		err = m.openShards(index)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// find returns the path of a folder's one file or index.
func find(folder string) (string, error) {
	for _, name := range []string{fileName, indexName} {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	remedy := "these are the names that transformers gives to weights"
	if other, _ := filepath.Glob(filepath.Join(folder, "*.bin")); len(other) > 0 {
		remedy = fmt.Sprintf("turn %s into safetensors, by from_pretrained and save_pretrained of transformers", filepath.Base(other[0]))
	}
	return "", fmt.Errorf("%s has neither %s nor %s: %s", folder, fileName, indexName, remedy)
}

// readIndex returns the name of the shard of each tensor, each a file beside
// the index.
func readIndex(path string) (map[string]string, error) {
	b, err := regularfile.Read(path, maxHeader)
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s: no weight_map: this is no index of shards", path)
	}
	if err := checkShards(filepath.Dir(path), shardsOf(index.WeightMap)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return index.WeightMap, nil
}

// shardsOf lists the names of the files of an index.
func shardsOf(index map[string]string) []string {
	return slices.Compact(slices.Sorted(maps.Values(index)))
}

// checkShards checks that every shard is a file in the folder.
func checkShards(folder string, shards []string) error {
	var missing []string
	for _, shard := range shards {
		if filepath.Base(shard) != shard || !filepath.IsLocal(shard) || shard == "." {
			return fmt.Errorf("weight_map: shard %q is not the name of a file beside the index", shard)
		}
		if _, err := os.Stat(filepath.Join(folder, shard)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, shard)
		} else if err != nil {
			return err
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("shards missing: %s", strings.Join(missing, ", "))
	}
	return nil
}

// openShards opens the shards and finds the tensors of each.
func (m *Model) openShards(index map[string]string) error {
	m.fileOf = make(map[string]*File, len(index))
	for _, shard := range shardsOf(index) {
		f, err := Open(filepath.Join(m.folder, shard))
		if err != nil {
			return err
		}
		m.files = append(m.files, f)
		for _, t := range f.Tensors() {
			if listed, ok := index[t.Name]; ok && listed != shard {
				continue
			}
			if other := m.fileOf[t.Name]; other != nil {
				return fmt.Errorf("tensor %s is in %s and in %s, and the index does not say which is meant", t.Name, other.f.Name(), f.f.Name())
			}
			m.fileOf[t.Name] = f
		}
	}
	for _, name := range slices.Sorted(maps.Keys(index)) {
		if m.fileOf[name] == nil {
			return fmt.Errorf("%s: tensor %s is missing", filepath.Join(m.folder, index[name]), name)
		}
	}
	return nil
}

// Files lists the paths of the files, in the order of the alphabet.
func (m *Model) Files() []string {
	var files []string
	for _, f := range m.files {
		files = append(files, f.f.Name())
	}
	return files
}

// of returns the file that has the tensor of that name.
func (m *Model) of(name string) (*File, error) {
	f := m.files[0]
	if m.fileOf != nil {
		if f = m.fileOf[name]; f == nil {
			return nil, fmt.Errorf("%s: tensor %s is in none of the %d shards", m.folder, name, len(m.files))
		}
	}
	if !f.Has(name) {
		return nil, fmt.Errorf("%s: tensor %s is missing", f.f.Name(), name)
	}
	return f, nil
}

// in adds the name of f to an error.
func in(f *File, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", f.f.Name(), err)
}

// Has reports whether there is a tensor of that name.
func (m *Model) Has(name string) bool {
	_, err := m.of(name)
	return err == nil
}

// Tensors lists the tensors, shard by shard in the order of the files.
func (m *Model) Tensors() []Info {
	if m.fileOf == nil {
		return m.files[0].Tensors()
	}
	var out []Info
	for _, f := range m.files {
		for _, t := range f.Tensors() {
			if m.fileOf[t.Name] == f {
				out = append(out, t)
			}
		}
	}
	return out
}

// Float32 is [Reader.Float32] of the file that has the tensor.
func (m *Model) Float32(name string, shape ...int) ([]float32, error) {
	f, err := m.of(name)
	if err != nil {
		return nil, err
	}
	x, err := f.Float32(name, shape...)
	return x, in(f, err)
}

// Bytes is [Reader.Bytes] of the file that has the tensor.
func (m *Model) Bytes(name string) ([]byte, error) {
	f, err := m.of(name)
	if err != nil {
		return nil, err
	}
	b, err := f.Bytes(name)
	return b, in(f, err)
}

// Shape is [Reader.Shape] of the file that has the tensor.
func (m *Model) Shape(name string) ([]int, error) {
	f, err := m.of(name)
	if err != nil {
		return nil, err
	}
	return f.Shape(name)
}

// Scan is [Reader.Scan] of the file that has the tensor.
func (m *Model) Scan(name string, each func(b []byte) error) error {
	f, err := m.of(name)
	if err != nil {
		return err
	}
	return in(f, f.Scan(name, each))
}

// Find returns where a tensor lies: its place in a file, and the path of that.
func (m *Model) Find(name string) (t Info, path string, err error) {
	f, err := m.of(name)
	if err != nil {
		return Info{}, "", err
	}
	t, err = f.find(name, nil)
	return t, f.f.Name(), err
}

// First returns the reader of the first file, whose metadata is the model's.
func (m *Model) First() *Reader { return m.files[0].Reader }

// Close closes the files.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
