package safetensors

import (
	"bytes"
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

	"trefoil/internal/regularfile"
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
	f, size, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f, size)
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
	out := &Reader{r: r, metadata: map[string]string{}}
	if err := out.readHeader(head, size); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	for key := range out.metadata { // checksums of tensors, but none of the header
		if at < 0 && strings.HasPrefix(key, checksumKey) {
			return nil, errHeader
		}
	}
	return out, out.place(int64(len(head)), size)
}

// readHeader reads the JSON object of the header, entry by entry. Errors name
// the byte of the file and the tensor.
func (r *Reader) readHeader(head []byte, size int64) error {
	d := json.NewDecoder(bytes.NewReader(head[lengthBytes:]))
	byteAt := func() int64 { return lengthBytes + d.InputOffset() }
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("byte %d: %w", lengthBytes, cmp.Or(err, errors.New("it does not begin with {, as a JSON object does")))
	}
	// Each entry has one, but not each of them need have an entry.
	expected := min(bytes.Count(head, []byte(`"data_offsets"`)), len(head)/len(shortestEntry))
	r.tensors, r.byName = make([]Info, 0, expected), make(map[string]int, expected)
	hasMetadata := false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return inJSON(byteAt(), err)
		}
		at := byteAt() - int64(len(name.(string))) - 2 // but for escapes
		if name == metadataKey {
			if hasMetadata {
				return fmt.Errorf("byte %d: %s is there twice", at, metadataKey)
			}
			if err := d.Decode(&r.metadata); err != nil {
				return fmt.Errorf("byte %d: %s: %w", at, metadataKey, err)
			}
			hasMetadata = true
			continue
		}
		var e entry
		if err := d.Decode(&e); err != nil {
			return fmt.Errorf("byte %d: tensor %s: %w", at, name, err)
		}
		t, err := e.info(name.(string), int64(len(head)), size)
		if err != nil {
			return fmt.Errorf("byte %d: tensor %s: %w", at, name, err)
		}
		if _, twice := r.byName[t.Name]; twice {
			return fmt.Errorf("byte %d: tensor %s is there twice", at, t.Name)
		}
		r.byName[t.Name] = len(r.tensors)
		r.tensors = append(r.tensors, t)
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return inJSON(byteAt(), err)
	}
	if rest := bytes.TrimLeft(head[byteAt():], " \t\r\n"); len(rest) > 0 {
		return fmt.Errorf("byte %d: %q behind the JSON object", len(head)-len(rest), rest[0])
	}
	return nil
}

// inJSON adds the byte of the file to an error of the decoder.
func inJSON(at int64, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("byte %d: %w", at, err)
}

// info checks an entry of a header that ends at byte start of a file of size
// bytes.
func (e entry) info(name string, start, size int64) (Info, error) {
	if e.Shape == nil || len(e.Offsets) != 2 {
		return Info{}, errors.New("the header gives no shape or no pair of offsets for it")
	}
	n, err := byteLength(e.DType, e.Shape)
	if err != nil {
		return Info{}, err
	}
	begin, end := e.Offsets[0], e.Offsets[1]
	if begin < 0 || end < begin || end > size-start {
		return Info{}, fmt.Errorf("offsets %v lie outside of the data's %d bytes: the file is cut off or damaged", e.Offsets, size-start)
	}
	if end-begin != n {
		return Info{}, fmt.Errorf("%d bytes, but %s of shape %v takes %d", end-begin, e.DType, e.Shape, n)
	}
	return Info{name, e.DType, e.Shape, start + begin, n}, nil
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

// place puts the tensors in the order of the file. They must fill the data,
// from byte start to byte size, without gaps, overlaps or bytes left over, as
// the format demands.
func (r *Reader) place(start, size int64) error {
	slices.SortFunc(r.tensors, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size), cmp.Compare(a.Name, b.Name))
	})
	next, before := start, "the header"
	for i, t := range r.tensors {
		if t.Offset != next {
			what := "they overlap"
			if t.Offset > next {
				what = "the bytes between belong to no tensor"
			}
			return fmt.Errorf("tensor %s: begins at byte %d, but %s ends at byte %d: %s", t.Name, t.Offset, before, next, what)
		}
		r.byName[t.Name], next, before = i, t.Offset+t.Size, "tensor "+t.Name
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
