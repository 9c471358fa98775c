package packed

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/edsrzf/mmap-go"

	"trefoil/internal/kernel"
	"trefoil/quant"
)

// Info is a tensor's entry in the index.
type Info struct {
	Name       string      `json:"name"`
	Type       Type        `json:"type"`
	Shape      []int       `json:"shape"`
	Scale      float32     `json:"scale,omitempty"`  // of a ternary tensor
	Scales     int         `json:"scales,omitempty"` // number of scales of [Codes], before the codes
	Activation *Activation `json:"activation,omitempty"`
	// ScaleType is what these scales are stored as; empty means float32.
	ScaleType quant.ScaleType `json:"scale_type,omitempty"`
	Offset    int64           `json:"offset"` // in the file
	Length    int64           `json:"length"` // bytes
	CRC       uint32          `json:"crc32c"`
}

// A File is an open .trefoil file. Its methods may be called by several
// goroutines; Close must be the last call.
type File struct {
	b      []byte
	close  func() error
	header header
	config Config
	index  []Info
	byName map[string]int
}

// Open maps the file at path into memory and checks everything but the
// tensors, which stay on disk until they are loaded.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() < headerSize { // an empty file cannot be mapped
		return nil, fmt.Errorf("%s: header: this is not a .trefoil file: make one with cmd/export", path)
	}
	m, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("mapping %s into memory: %w", path, err)
	}
	out, err := Decode(m)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), m.Unmap())
	}
	out.close = m.Unmap
	return out, nil
}

// Decode opens a file whose bytes are in memory. They must not change.
func Decode(b []byte) (*File, error) {
	h, err := decodeHeader(b)
	if err != nil {
		return nil, err
	}
	f := &File{b: b, header: h, byName: map[string]int{}, close: func() error { return nil }}
	if err := json.Unmarshal(f.section(configSection), &f.config); err != nil {
		return nil, fmt.Errorf("section config: %w", err)
	}
	if err := f.config.Model.Validate(); err != nil {
		return nil, fmt.Errorf("section config: model: %w", err)
	}
	if err := json.Unmarshal(f.section(indexSection), &f.index); err != nil {
		return nil, fmt.Errorf("section index: %w", err)
	}
	if err := f.checkIndex(); err != nil {
		return nil, fmt.Errorf("section index: %w", err)
	}
	if err := f.checkPadding(); err != nil {
		return nil, err
	}
	return f, nil
}

// checkIndex checks that tensors follow each other, each at the place and of
// the length that its shape asks for.
func (f *File) checkIndex() error {
	last := f.header.sections[sectionCount-1]
	next := last.offset + last.length
	for i, t := range f.index {
		n, err := elements(t.Shape)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		if err := t.checkType(n, f.header.version); err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		if want := int64(scaleBytes(t.ScaleType)*t.Scales) + int64(t.Type.Bytes(n)); t.Length != want {
			return fmt.Errorf("tensor %s: %d bytes, but %s of shape %v takes %d", t.Name, t.Length, t.Type, t.Shape, want)
		}
		if t.Offset != align(next) || t.Length > f.header.size-t.Offset {
			return fmt.Errorf("tensor %s: offset %d and length %d are out of place in a file of %d bytes", t.Name, t.Offset, t.Length, f.header.size)
		}
		if _, taken := f.byName[t.Name]; taken {
			return fmt.Errorf("tensor %s: listed twice", t.Name)
		}
		f.byName[t.Name], next = i, t.Offset+t.Length
	}
	if next != f.header.size {
		return fmt.Errorf("the last tensor ends at byte %d of %d", next, f.header.size)
	}
	return nil
}

// checkType checks the type of a tensor of n elements, and its number of scales.
func (i Info) checkType(n int, version uint32) error {
	switch _, codes := matrixTypes[i.Type]; {
	case i.ScaleType != "" && (version < 2 || !codes || i.ScaleType != quant.Float16 && i.ScaleType != quant.PowerOfTwo):
		return fmt.Errorf("type %s with scales of type %q: version %d of the format has none", i.Type, string(i.ScaleType), version)
	case !codes && i.Type != Ternary && i.Type != Float32 && i.Type != Float16:
		return fmt.Errorf("type %q is not known", i.Type)
	case !codes && i.Scales != 0:
		return fmt.Errorf("type %s has no scales of its own, but %d are listed", i.Type, i.Scales)
	case codes && (i.Scales < 1 || i.Scales > n || n%i.Scales != 0 || len(i.Shape) != 2):
		return fmt.Errorf("%d scales for shape %v: they do not divide a matrix", i.Scales, i.Shape)
	}
	return nil
}

// matrix opens the bytes of a tensor of [Codes].
func (i Info) matrix(b []byte) (*Matrix, error) {
	size := scaleBytes(i.ScaleType) * i.Scales
	rows, cols := i.Shape[0], i.Shape[1]
	s := Scales{Granularity: quant.PerGroup, Group: rows * cols / i.Scales, Values: decodeScales(i.ScaleType, b[:size]), Type: i.ScaleType}
	switch i.Scales {
	case 1:
		s.Granularity = quant.PerTensor
	case rows:
		s.Granularity = quant.PerChannel
	}
	return OpenMatrix(matrixTypes[i.Type], rows, cols, slices.Clone(b[size:]), s)
}

// checkPadding checks that the bytes between sections and tensors are zero.
func (f *File) checkPadding() error {
	end := int64(headerSize)
	zero := func(what string, offset, length int64) error {
		for _, c := range f.b[end:offset] {
			if c != 0 {
				return fmt.Errorf("padding before %s: not zero: the file is damaged", what)
			}
		}
		end = offset + length
		return nil
	}
	for i, s := range f.header.sections {
		if err := zero("section "+sectionNames[i], s.offset, s.length); err != nil {
			return err
		}
	}
	for _, t := range f.index {
		if err := zero("tensor "+t.Name, t.Offset, t.Length); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) section(i int) []byte {
	s := f.header.sections[i]
	return f.b[s.offset : s.offset+s.length]
}

// Config returns the section config.
func (f *File) Config() Config { return f.config }

// Tokenizer returns a copy of the section tokenizer, a tokenizer.json.
func (f *File) Tokenizer() []byte { return slices.Clone(f.section(tokenizerSection)) }

// Index lists the tensors. The caller must not change the list.
func (f *File) Index() []Info { return f.index }

// Size returns the size of the file in bytes.
func (f *File) Size() int64 { return f.header.size }

// Close unmaps the file. What was loaded stays valid.
func (f *File) Close() error { return f.close() }

// Load checks and unpacks the tensor of that name.
func (f *File) Load(name string) (*Tensor, error) {
	i, ok := f.byName[name]
	if !ok {
		return nil, fmt.Errorf("tensor %s is missing", name)
	}
	info := f.index[i]
	b := f.b[info.Offset : info.Offset+info.Length]
	if checksum(b) != info.CRC {
		return nil, fmt.Errorf("tensor %s: its checksum does not match: the file is damaged", name)
	}
	t := &Tensor{Name: name, Type: info.Type, Shape: info.Shape, Scale: info.Scale, Activation: info.Activation}
	n, _ := elements(info.Shape)
	switch info.Type {
	case Ternary:
		t.Codes = make([]int8, n)
		if err := kernel.UnpackTrits(t.Codes, b); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
	case Float16:
		half := make([]uint16, n)
		for i := range half {
			half[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		t.Values = make([]float32, n)
		kernel.DecodeFloat16(t.Values, half)
	case Float32:
		t.Values = make([]float32, n)
		for i := range t.Values {
			t.Values[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	default:
		var err error
		if t.Matrix, err = info.matrix(b); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	return t, nil
}

// Model loads everything.
func (f *File) Model() (*Model, error) {
	m := &Model{Config: f.config, Tokenizer: f.Tokenizer()}
	for _, info := range f.index {
		t, err := f.Load(info.Name)
		if err != nil {
			return nil, err
		}
		m.Tensors = append(m.Tensors, *t)
	}
	return m, nil
}

// Verify checks every tensor; the rest was checked when the file was opened.
// The error names all tensors that are damaged.
func (f *File) Verify() error {
	var errs []error
	for _, t := range f.index {
		if _, err := f.Load(t.Name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
