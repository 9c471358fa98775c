package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
)

// A Tensor is a named tensor to write. Data decides the type of its elements:
// []float64, []float32, []int64, []int32, []int16, []int8 or []uint8 (F64 to
// U8), Float16 or BFloat16. Its length is the product of Shape. It may also be
// a [Lazy], which gives one of these.
type Tensor struct {
	Name  string
	Shape []int
	Data  any
}

// Bits of half-precision numbers, to be written as F16 and BF16.
type (
	Float16  []uint16
	BFloat16 []uint16
)

// Lazy is the Data of a tensor that is too large to lie in memory beside the
// others. Load returns elements of the given type. It is called when the
// tensor's turn comes, twice: for the checksum and for the elements.
type Lazy struct {
	DType DType
	Load  func() (any, error)
}

// load returns the elements of t.
func (t Tensor) load() (any, error) {
	lazy, ok := t.Data.(Lazy)
	if !ok {
		return t.Data, nil
	}
	data, err := lazy.Load()
	if err != nil {
		return nil, err
	}
	if d := dtypeOf(data); d != lazy.DType {
		return nil, fmt.Errorf("elements of type %T instead of %s", data, lazy.DType)
	}
	return data, t.check(data)
}

// check reports elements that do not fill t's shape.
func (t Tensor) check(data any) error {
	d := dtypeOf(data)
	n, err := byteLength(d, t.Shape)
	if err != nil {
		return err
	}
	if have := int64(binary.Size(data)); have != n {
		return fmt.Errorf("shape %v of %s takes %d bytes, the data has %d", t.Shape, d, n, have)
	}
	return nil
}

// Write writes a file with the given metadata and tensors to w. Tensors of
// wide elements go before narrow ones, so that each is aligned to its
// elements; otherwise they keep their order. Elements are converted in small
// pieces: memory use does not grow with the tensors.
func Write(w io.Writer, metadata map[string]string, tensors []Tensor) error {
	tensors = slices.Clone(tensors)
	slices.SortStableFunc(tensors, func(a, b Tensor) int {
		return cmp.Compare(sizes[dtypeOf(b.Data)], sizes[dtypeOf(a.Data)])
	})
	head, err := encodeHeader(metadata, tensors)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, t := range tensors {
		data, err := t.load()
		if err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		if err := writeElements(w, data); err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
	}
	return nil
}

// encodeHeader returns the length and the header, with all checksums.
func encodeHeader(metadata map[string]string, tensors []Tensor) ([]byte, error) {
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	for key := range metadata {
		if key == checksumKey || strings.HasPrefix(key, checksumPrefix) {
			return nil, fmt.Errorf("metadata key %s is reserved for the checksums", key)
		}
	}
	metadata[checksumKey] = "00000000"

	names, entries := make([]string, len(tensors)), make([]entry, len(tensors))
	offset := int64(0)
	for i, t := range tensors {
		e, err := describe(t, offset)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		if slices.Contains(names[:i], t.Name) || t.Name == metadataKey {
			return nil, fmt.Errorf("tensor %s: the name is taken", t.Name)
		}
		data, err := t.load()
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		crc := crc32.New(castagnoli)
		writeElements(crc, data) // a hash takes everything
		metadata[checksumPrefix+t.Name] = hex(crc.Sum32())
		names[i], entries[i], offset = t.Name, e, e.Offsets[1]
	}
	return assemble(metadata, names, entries)
}

// describe returns the header's entry for a tensor that begins at offset.
func describe(t Tensor, offset int64) (entry, error) {
	d := dtypeOf(t.Data)
	if d == "" {
		return entry{}, fmt.Errorf("elements of type %T cannot be written", t.Data)
	}
	n, err := byteLength(d, t.Shape)
	if err != nil {
		return entry{}, err
	}
	if _, lazy := t.Data.(Lazy); !lazy {
		if err := t.check(t.Data); err != nil {
			return entry{}, err
		}
	}
	shape := append([]int{}, t.Shape...) // a scalar's is [], not null
	return entry{d, shape, []int64{offset, offset + n}}, nil
}

// assemble spells the header out. The order of the tensors is kept, which a
// map would lose.
func assemble(metadata map[string]string, names []string, entries []entry) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, lengthBytes))
	field := func(lead, key string, value any) error {
		k, err := json.Marshal(key)
		if err != nil {
			return err
		}
		v, err := json.Marshal(value)
		if err != nil {
			return err
		}
		b.WriteString(lead)
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
		return nil
	}
	if err := field("{", metadataKey, metadata); err != nil {
		return nil, err
	}
	for i, name := range names {
		if err := field(",", name, entries[i]); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	head := b.Bytes()
	n := len(head) - lengthBytes
	if n > maxHeader {
		return nil, fmt.Errorf("the header takes %d bytes; readers accept %d", n, maxHeader)
	}
	binary.LittleEndian.PutUint64(head, uint64(n))
	sum, at := headerChecksum(head)
	copy(head[at:], sum)
	return head, nil
}

func dtypeOf(data any) DType {
	switch data := data.(type) {
	case Lazy:
		return data.DType
	case []float64:
		return F64
	case []float32:
		return F32
	case Float16:
		return F16
	case BFloat16:
		return BF16
	case []int64:
		return I64
	case []int32:
		return I32
	case []int16:
		return I16
	case []int8:
		return I8
	case []uint8:
		return U8
	}
	return ""
}

func writeElements(w io.Writer, data any) error {
	switch x := data.(type) {
	case []float64:
		return writeChunks(w, x)
	case []float32:
		return writeChunks(w, x)
	case Float16:
		return writeChunks(w, []uint16(x))
	case BFloat16:
		return writeChunks(w, []uint16(x))
	case []int64:
		return writeChunks(w, x)
	case []int32:
		return writeChunks(w, x)
	case []int16:
		return writeChunks(w, x)
	case []int8:
		return writeChunks(w, x)
	case []uint8:
		return writeChunks(w, x)
	}
	return fmt.Errorf("elements of type %T cannot be written", data)
}

func writeChunks[E any](w io.Writer, x []E) error {
	var buf []byte
	for chunk := range slices.Chunk(x, chunkElements) {
		var err error
		if buf, err = binary.Append(buf[:0], binary.LittleEndian, chunk); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}
