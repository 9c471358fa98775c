package gguf

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"trefoil/internal/regularfile"
)

// Key describes a metadata value of a file.
type Key struct {
	Name    string
	Type    ValueType
	Element ValueType // type of an array's elements
	Count   int       // how many elements an array has

	offset, size int64 // of the value, in the file
}

// Info describes a tensor of a file.
type Info struct {
	Name   string
	Type   Type
	Shape  []int // row-major: the fastest dimension last
	Offset int64 // in the file
	Size   int64 // bytes
}

// A Reader gives the metadata and the tensors of a file. It holds the names
// and places of them; methods read what they return. It may be used by
// several goroutines.
type Reader struct {
	r         io.ReaderAt
	size      int64
	version   int
	alignment int64
	keys      []Key
	tensors   []Info // in the order of the header
	byKey     map[string]int
	byName    map[string]int
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

// NewReader reads and checks the header of a file of size bytes.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	out := &Reader{r: r, size: size, alignment: defaultAlignment, byKey: map[string]int{}, byName: map[string]int{}}
	c := newCursor(r, size, 0)
	tensors, keys, err := out.readCounts(c)
	if err != nil {
		return nil, err
	}
	if err := out.readKeys(c, keys); err != nil {
		return nil, err
	}
	if err := out.readAlignment(); err != nil {
		return nil, err
	}
	if err := out.readTensors(c, tensors); err != nil {
		return nil, err
	}
	return out, out.place(align(c.pos, out.alignment))
}

// readCounts reads the file's first 24 bytes.
func (r *Reader) readCounts(c *cursor) (tensors, keys uint64, err error) {
	if m := c.take(len(magic), "the magic"); string(m) != magic {
		return 0, 0, fmt.Errorf("byte 0: %q instead of %q: this is not a GGUF file", m, magic)
	}
	v := c.uint32("the version")
	switch {
	case c.err != nil:
		return 0, 0, c.err
	case v != 0 && v&0xffff == 0:
		return 0, 0, fmt.Errorf("byte 4: version %#x: this is a big-endian file: convert it with llama.cpp's gguf_convert_endian.py", v)
	case v != 2 && v != version:
		return 0, 0, fmt.Errorf("byte 4: version %d of GGUF is not supported, only 2 and 3", v)
	}
	r.version = int(v)
	tensors, keys = c.uint64("the number of tensors"), c.uint64("the number of keys")
	switch {
	case tensors > maxTensors || tensors > uint64(r.size)/leastInfo:
		c.fail(8, "%d tensors cannot lie in a file of %d bytes: it is cut off or damaged", tensors, r.size)
	case keys > maxKeys || keys > uint64(r.size)/leastKey:
		c.fail(16, "%d metadata keys cannot lie in a file of %d bytes: it is cut off or damaged", keys, r.size)
	}
	return tensors, keys, c.err
}

// The fewest bytes that the header spends on a key and on a tensor.
const (
	leastKey  = 8 + 1 + 4 + 1
	leastInfo = 8 + 4 + 4 + 8
)

func (r *Reader) readKeys(c *cursor, n uint64) error {
	for i := range n {
		at := c.pos
		k := Key{Name: c.string(maxKey, "the key's name")}
		k.Type = ValueType(c.uint32("the value's type"))
		k.offset = c.pos
		if k.Type == Array {
			k.Element, k.Count = c.skipArray(1)
		} else {
			c.skipValue(k.Type, 0)
		}
		k.size = c.pos - k.offset
		if _, twice := r.byKey[k.Name]; twice {
			c.fail(at, "the key is there twice")
		}
		if c.err != nil {
			return fmt.Errorf("metadata key %d of %d (%q): %w", i+1, n, k.Name, c.err)
		}
		r.byKey[k.Name] = len(r.keys)
		r.keys = append(r.keys, k)
	}
	return nil
}

// skipValue passes over a value that lies in so many arrays.
func (c *cursor) skipValue(t ValueType, nesting int) {
	switch {
	case t == String:
		c.skip(c.uint64("a string's length"), "a string")
	case t == Array:
		c.skipArray(nesting + 1)
	case t.size() == 0:
		c.fail(c.pos-4, "values of %v are not known", t)
	default:
		c.skip(uint64(t.size()), "the value")
	}
}

// skipArray passes over an array and returns the type and number of its
// elements.
func (c *cursor) skipArray(nesting int) (ValueType, int) {
	at := c.pos
	element, n := ValueType(c.uint32("the elements' type")), c.uint64("the number of elements")
	least := element.leastSize()
	switch {
	case c.err != nil:
	case least == 0:
		c.fail(at, "elements of %v are not known", element)
	case nesting > maxNesting:
		c.fail(at, "more than %d arrays in each other", maxNesting)
	case n > uint64(c.size-c.pos)/uint64(least):
		c.fail(at, "an array of %d elements of %v, but the file ends at byte %d: it is cut off or damaged", n, element, c.size)
	case element.size() > 0:
		c.skip(n*uint64(least), "the array")
	default:
		for i := uint64(0); i < n && c.err == nil; i++ {
			c.skipValue(element, nesting)
		}
	}
	if c.err != nil {
		return 0, 0
	}
	return element, int(n)
}

func (r *Reader) readAlignment() error {
	if !r.Has(alignmentKey) {
		return nil
	}
	n, err := r.Int(alignmentKey)
	if err != nil {
		return err
	}
	if n < 1 || n > 1<<20 || n&(n-1) != 0 {
		return fmt.Errorf("key %s: %d is not a power of two up to %d", alignmentKey, n, 1<<20)
	}
	r.alignment = int64(n)
	return nil
}

// readTensors reads the list of tensors. Offsets count from the data yet.
func (r *Reader) readTensors(c *cursor, n uint64) error {
	for i := range n {
		at := c.pos
		t := r.readTensor(c)
		if _, twice := r.byName[t.Name]; twice {
			c.fail(at, "the tensor is there twice")
		}
		if c.err != nil {
			return fmt.Errorf("tensor %d of %d (%q): %w", i+1, n, t.Name, c.err)
		}
		r.byName[t.Name] = len(r.tensors)
		r.tensors = append(r.tensors, t)
	}
	return nil
}

func (r *Reader) readTensor(c *cursor) Info {
	t := Info{Name: c.string(maxName+1, "the tensor's name")}
	at := c.pos
	dims := c.uint32("the number of dimensions")
	if dims > maxDims {
		c.fail(at, "%d dimensions: at most %d are allowed", dims, maxDims)
	}
	for range min(dims, maxDims) {
		at := c.pos
		d := c.uint64("a dimension")
		if d > math.MaxInt {
			c.fail(at, "a dimension of %d", d)
		}
		t.Shape = append(t.Shape, int(d&math.MaxInt))
	}
	slices.Reverse(t.Shape)
	at = c.pos
	t.Type = Type(c.uint32("the tensor's type"))
	var err error
	if t.Size, err = t.Type.Bytes(t.Shape); err != nil {
		c.fail(at, "%w", err)
	}
	at = c.pos
	offset := c.uint64("the tensor's offset")
	if offset%uint64(r.alignment) != 0 || offset > math.MaxInt64 {
		c.fail(at, "offset %d is not a multiple of the alignment, %d", offset, r.alignment)
	}
	t.Offset = int64(offset & math.MaxInt64)
	return t
}

// place checks that the tensors lie in the file and do not overlap, and turns
// their offsets from the data, which begins at start, into offsets in the file.
func (r *Reader) place(start int64) error {
	for i := range r.tensors {
		t := &r.tensors[i]
		if room := r.size - start; t.Size > room || t.Offset > room-t.Size {
			return fmt.Errorf("tensor %s: %d bytes at offset %d of the data, which begins at byte %d, reach beyond the file's end at byte %d: the file is cut off or damaged",
				t.Name, t.Size, t.Offset, start, r.size)
		}
		t.Offset += start
	}
	order := slices.Clone(r.tensors)
	slices.SortFunc(order, func(a, b Info) int { return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Size, b.Size)) })
	for i := 1; i < len(order); i++ {
		if a, b := order[i-1], order[i]; a.Offset+a.Size > b.Offset {
			return fmt.Errorf("tensor %s: begins at byte %d, but tensor %s ends at byte %d: they overlap", b.Name, b.Offset, a.Name, a.Offset+a.Size)
		}
	}
	return nil
}

// Version returns the version of the format, 2 or 3.
func (r *Reader) Version() int { return r.version }

// Keys lists the metadata in the order of the file. The caller must not change
// the list.
func (r *Reader) Keys() []Key { return r.keys }

// Tensors lists the tensors in the order of the file. The caller must not
// change the list.
func (r *Reader) Tensors() []Info { return r.tensors }

// Tensor returns the description of a tensor and whether there is one of that
// name.
func (r *Reader) Tensor(name string) (Info, bool) {
	i, ok := r.byName[name]
	if !ok {
		return Info{}, false
	}
	return r.tensors[i], true
}
