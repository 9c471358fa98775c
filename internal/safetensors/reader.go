package safetensors

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
)

// Info describes a tensor of a file.
type Info struct {
	Name  string
	DType DType
	Shape []int

	Offset, Size int64 // in the file, in bytes
}

// A Reader gives the tensors of a file. It holds the header only; methods
// read what they return. It may be used by several goroutines.
type Reader struct {
	r        io.ReaderAt
	tensors  []Info // in the order of the file
	byName   map[string]int
	metadata map[string]string
}

// A File is a Reader of a file on disk.
type File struct {
	*Reader
	f *os.File
}

// Open opens the file at path and checks its header.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := NewReader(f, info.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return &File{r, f}, nil
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }

var errHeader = errors.New("header: its checksum does not match: the file is damaged")

// NewReader reads and checks the header of a file of size bytes.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	head, err := readHead(r, size)
	if err != nil {
		return nil, err
	}
	sum, at := headerChecksum(head)
	if at >= 0 && sum != string(head[at:at+8]) {
		return nil, errHeader
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(head[lengthBytes:], &raw); err != nil {
		if syntax, ok := err.(*json.SyntaxError); ok {
			err = fmt.Errorf("byte %d: %w", lengthBytes+syntax.Offset, err)
		}
		return nil, fmt.Errorf("header: %w", err)
	}
	out := &Reader{r: r, byName: map[string]int{}, metadata: map[string]string{}}
	if m, ok := raw[metadataKey]; ok {
		if err := json.Unmarshal(m, &out.metadata); err != nil {
			return nil, fmt.Errorf("header: %s: %w", metadataKey, err)
		}
		delete(raw, metadataKey)
	}
	for key := range out.metadata { // checksums of tensors, but none of the header
		if at < 0 && strings.HasPrefix(key, checksumKey) {
			return nil, errHeader
		}
	}
	if err := out.index(raw, int64(len(head)), size); err != nil {
		return nil, err
	}
	return out, nil
}

// readHead returns the length and the header.
func readHead(r io.ReaderAt, size int64) ([]byte, error) {
	var length [lengthBytes]byte
	if size < lengthBytes {
		return nil, fmt.Errorf("header: the file has %d bytes, too few for safetensors", size)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-lengthBytes {
		return nil, fmt.Errorf("header: a length of %d bytes in a file of %d: not safetensors, or damaged", n, size)
	}
	head := make([]byte, lengthBytes+n)
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("header: %w", err)
	}
	return head, nil
}

// index fills tensors and byName. Tensors must fill the data without gaps,
// overlaps or bytes left over, as the format demands.
func (r *Reader) index(raw map[string]json.RawMessage, start, size int64) error {
	for name, message := range raw {
		var e entry
		if err := json.Unmarshal(message, &e); err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		if e.Shape == nil || len(e.Offsets) != 2 {
			return fmt.Errorf("tensor %s: the header gives no shape or no pair of offsets for it", name)
		}
		n, err := byteLength(e.DType, e.Shape)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		begin, end := e.Offsets[0], e.Offsets[1]
		if begin < 0 || end < begin || end > size-start {
			return fmt.Errorf("tensor %s: offsets %v lie outside of the data's %d bytes: the file is cut off or damaged", name, e.Offsets, size-start)
		}
		if end-begin != n {
			return fmt.Errorf("tensor %s: %d bytes, but %s of shape %v takes %d", name, end-begin, e.DType, e.Shape, n)
		}
		r.tensors = append(r.tensors, Info{name, e.DType, e.Shape, start + begin, n})
	}
	slices.SortFunc(r.tensors, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size), cmp.Compare(a.Name, b.Name))
	})
	next := start
	for i, t := range r.tensors {
		if t.Offset != next {
			return fmt.Errorf("tensor %s: begins at byte %d of the file, but the one before ends at %d", t.Name, t.Offset, next)
		}
		r.byName[t.Name], next = i, t.Offset+t.Size
	}
	if next != size {
		return fmt.Errorf("the tensors end at byte %d of %d", next, size)
	}
	return nil
}

// Tensors lists the tensors in the order of the file. The caller must not
// change the list.
func (r *Reader) Tensors() []Info { return r.tensors }

// Metadata returns the value of a metadata key, "" if there is none.
func (r *Reader) Metadata(key string) string { return r.metadata[key] }

// Keys lists the metadata keys in the order of the alphabet, without those of
// checksums.
func (r *Reader) Keys() []string {
	keys := slices.Sorted(maps.Keys(r.metadata))
	return slices.DeleteFunc(keys, func(k string) bool { return k == checksumKey || strings.HasPrefix(k, checksumPrefix) })
}

// Has reports whether the file has a tensor of that name.
func (r *Reader) Has(name string) bool {
	_, ok := r.byName[name]
	return ok
}

// Float32 returns the elements of an F32, F16 or BF16 tensor. A shape, if
// given, must be the tensor's.
func (r *Reader) Float32(name string, shape ...int) ([]float32, error) {
	t, err := r.find(name, shape, F32, F16, BF16)
	if err != nil {
		return nil, err
	}
	out := make([]float32, 0, t.Size/sizes[t.DType])
	err = r.scan(t, func(b []byte) error {
		switch t.DType {
		case F32:
			for ; len(b) > 0; b = b[4:] {
				out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(b)))
			}
		case F16:
			for ; len(b) > 0; b = b[2:] {
				out = append(out, float16(binary.LittleEndian.Uint16(b)))
			}
		case BF16:
			for ; len(b) > 0; b = b[2:] {
				out = append(out, math.Float32frombits(uint32(binary.LittleEndian.Uint16(b))<<16))
			}
		}
		return nil
	})
	return out, err
}

// Int32 returns the elements of an I32 tensor. A shape, if given, must be the
// tensor's.
func (r *Reader) Int32(name string, shape ...int) ([]int32, error) {
	t, err := r.find(name, shape, I32)
	if err != nil {
		return nil, err
	}
	out := make([]int32, 0, t.Size/4)
	err = r.scan(t, func(b []byte) error {
		for ; len(b) > 0; b = b[4:] {
			out = append(out, int32(binary.LittleEndian.Uint32(b)))
		}
		return nil
	})
	return out, err
}

// Bytes returns a tensor as it lies in the file.
func (r *Reader) Bytes(name string) ([]byte, error) {
	t, err := r.find(name, nil)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, t.Size)
	err = r.scan(t, func(b []byte) error { out = append(out, b...); return nil })
	return out, err
}

// Verify reads every tensor and compares it with its checksum.
func (r *Reader) Verify() error {
	for _, t := range r.tensors {
		if err := r.scan(t, func([]byte) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// Shape returns the shape of a tensor.
func (r *Reader) Shape(name string) ([]int, error) {
	t, err := r.find(name, nil)
	return t.Shape, err
}

func (r *Reader) find(name string, shape []int, types ...DType) (Info, error) {
	i, ok := r.byName[name]
	if !ok {
		return Info{}, fmt.Errorf("tensor %s is missing", name)
	}
	t := r.tensors[i]
	if len(types) > 0 && !slices.Contains(types, t.DType) {
		return Info{}, fmt.Errorf("tensor %s: dtype is %s, want %v", name, t.DType, types)
	}
	if len(shape) > 0 && !slices.Equal(shape, t.Shape) {
		return Info{}, fmt.Errorf("tensor %s: shape is %v, want %v", name, t.Shape, shape)
	}
	return t, nil
}

// Scan hands the bytes of a tensor to each, in pieces of whole elements that
// are valid until each returns; an error of each ends the scan.
func (r *Reader) Scan(name string, each func(b []byte) error) error {
	t, err := r.find(name, nil)
	if err != nil {
		return err
	}
	return r.scan(t, each)
}

// scan hands the bytes of t to each, in pieces of whole elements, and checks
// the checksum if there is one.
func (r *Reader) scan(t Info, each func([]byte) error) error {
	buf := make([]byte, min(t.Size, chunkElements*8))
	crc := uint32(0)
	for done := int64(0); done < t.Size; {
		b := buf[:min(int64(len(buf)), t.Size-done)]
		if n, err := r.r.ReadAt(b, t.Offset+done); n < len(b) {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		crc = crc32.Update(crc, castagnoli, b)
		if err := each(b); err != nil {
			return err
		}
		done += int64(len(b))
	}
	if want, ok := r.metadata[checksumPrefix+t.Name]; ok && want != hex(crc) {
		return fmt.Errorf("tensor %s: its checksum does not match: the file is damaged", t.Name)
	}
	return nil
}

// float16 converts the bits of a half-precision number, exactly.
func float16(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 31: // infinity or NaN
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	case 0: // zero or subnormal: fraction * 2^-24
		return math.Float32frombits(math.Float32bits(float32(fraction)*0x1p-24) | sign)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}
