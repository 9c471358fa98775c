package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
// A shard's header is read when one of its tensors is asked for. A Model may be
// used by several goroutines; Close must be the last call.
type Model struct {
	folder  string
	shardOf map[string]string // name of the shard of each tensor; nil for one file
	one     string            // name of the one file

	mu   sync.Mutex
	open map[string]*File
}

// OpenModel opens a .safetensors file, an index (a .json file), or a folder
// with model.safetensors or model.safetensors.index.json. It fails when a
// shard that the index lists is missing.
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
	m := &Model{folder: filepath.Dir(path), open: map[string]*File{}}
	if filepath.Ext(path) != ".json" {
		m.one = filepath.Base(path)
		if _, err := m.shard(m.one); err != nil {
			return nil, err
		}
		return m, nil
	}
	if err := m.readIndex(path); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
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

func (m *Model) readIndex(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxHeader+1))
	if err != nil {
		return err
	}
	if len(b) > maxHeader {
		return fmt.Errorf("more than %d bytes: this is no index of shards", maxHeader)
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return err
	}
	if len(index.WeightMap) == 0 {
		return errors.New("no weight_map: this is no index of shards")
	}
	m.shardOf = index.WeightMap
	return m.checkShards()
}

// checkShards checks that every shard is a file beside the index.
func (m *Model) checkShards() error {
	var missing []string
	for _, shard := range m.shards() {
		if filepath.Base(shard) != shard || !filepath.IsLocal(shard) || shard == "." {
			return fmt.Errorf("weight_map: shard %q is not the name of a file beside the index", shard)
		}
		if _, err := os.Stat(filepath.Join(m.folder, shard)); errors.Is(err, fs.ErrNotExist) {
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

// Files lists the paths of the files, in the order of the alphabet.
func (m *Model) Files() []string {
	files := m.shards()
	for i, name := range files {
		files[i] = filepath.Join(m.folder, name)
	}
	return files
}

// shards lists the names of the files.
func (m *Model) shards() []string {
	if m.shardOf == nil {
		return []string{m.one}
	}
	return slices.Compact(slices.Sorted(maps.Values(m.shardOf)))
}

// shard opens a file, or returns it if it is open already.
func (m *Model) shard(name string) (*File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.open[name]; f != nil {
		return f, nil
	}
	f, err := Open(filepath.Join(m.folder, name))
	if err != nil {
		return nil, err
	}
	m.open[name] = f
	return f, nil
}

// of returns the file that has the tensor of that name.
func (m *Model) of(name string) (*File, error) {
	shard := m.one
	if m.shardOf != nil {
		var ok bool
		if shard, ok = m.shardOf[name]; !ok {
			return nil, fmt.Errorf("%s: tensor %s is not in the index", m.folder, name)
		}
	}
	f, err := m.shard(shard)
	if err == nil && !f.Has(name) {
		err = fmt.Errorf("%s: tensor %s is missing", filepath.Join(m.folder, shard), name)
	}
	return f, err
}

// in adds the name of f to an error.
func in(f *File, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", f.f.Name(), err)
}

// Has reports whether the file or the index has a tensor of that name.
func (m *Model) Has(name string) bool {
	if m.shardOf == nil {
		f, err := m.shard(m.one)
		return err == nil && f.Has(name)
	}
	_, ok := m.shardOf[name]
	return ok
}

// Tensors lists the tensors, shard by shard in the order of the files; of a
// shard only those that the index says are there. It fails when a shard lacks
// one.
func (m *Model) Tensors() ([]Info, error) {
	var out []Info
	for _, shard := range m.shards() {
		f, err := m.shard(shard)
		if err != nil {
			return nil, err
		}
		for _, t := range f.Tensors() {
			if m.shardOf == nil || m.shardOf[t.Name] == shard {
				out = append(out, t)
			}
		}
	}
	if m.shardOf != nil && len(out) < len(m.shardOf) {
		for _, name := range slices.Sorted(maps.Keys(m.shardOf)) {
			if _, err := m.of(name); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
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

// First returns the reader of the first file, whose metadata is the model's.
func (m *Model) First() (*Reader, error) {
	f, err := m.shard(m.shards()[0])
	if err != nil {
		return nil, err
	}
	return f.Reader, nil
}

// Close closes the files.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.open {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
