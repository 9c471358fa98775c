package packed

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"slices"

	"trefoil/internal/atomicfile"
	"trefoil/internal/kernel"
)

// Write writes m to the file at path, whole or not at all, and returns its
// size in bytes. The same model gives the same bytes.
func Write(path string, m *Model) (size int64, err error) {
	err = atomicfile.Write(path, func(w io.Writer) error {
		size, err = Encode(w, m)
		return err
	})
	return size, err
}

// Encode writes m to w and returns the number of bytes. Tensors are packed
// in small pieces as they are written, twice: once for their checksums, which
// stand before them.
func Encode(w io.Writer, m *Model) (size int64, err error) {
	return EncodeFrom(w, m, func(yield func(*Tensor, error) bool) {
		for i := range m.Tensors {
			if !yield(&m.Tensors[i], nil) {
				return
			}
		}
	})
}

// EncodeFrom is Encode of tensors that need not be in memory together: it goes
// over them twice, and keeps none. Those of m are not written.
func EncodeFrom(w io.Writer, m *Model, tensors iter.Seq2[*Tensor, error]) (size int64, err error) {
	if err := m.Config.Model.Validate(); err != nil {
		return 0, fmt.Errorf("section config: model: %w", err)
	}
	infos, err := describe(tensors)
	if err != nil {
		return 0, err
	}
	sections, h, err := layout(m, infos)
	if err != nil {
		return 0, err
	}
	out := &paddedWriter{w: w}
	out.Write(h.encode())
	for _, s := range sections {
		out.pad()
		out.Write(s)
	}
	for t, err := range tensors {
		if err := errors.Join(err, out.err); err != nil {
			return out.n, err
		}
		out.pad()
		writeElements(out, t)
	}
	return out.n, out.err
}

// describe returns the index of the tensors, with offsets still to be set.
func describe(tensors iter.Seq2[*Tensor, error]) ([]Info, error) {
	infos := []Info{} // of no tensors it is [], not null
	seen := map[string]bool{}
	for t, err := range tensors {
		if err != nil {
			return nil, err
		}
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		if seen[t.Name] {
			return nil, fmt.Errorf("tensor %s: the name is taken", t.Name)
		}
		seen[t.Name] = true
		crc := crc32.New(castagnoli)
		writeElements(crc, t)
		info := Info{
			Name: t.Name, Type: t.Type, Shape: t.Shape, Scale: t.Scale, Activation: t.Activation,
			Length: int64(t.size()), CRC: crc.Sum32(),
		}
		if t.Matrix != nil {
			info.Scales, info.ScaleType = len(t.Matrix.scales), t.Matrix.scaleType
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// versionOf returns the lowest version of the format that has these tensors.
func versionOf(infos []Info) uint32 {
	if slices.ContainsFunc(infos, func(i Info) bool { return i.ScaleType != "" }) {
		return 2
	}
	return 1
}

// layout gives sections and tensors their places. An offset's digits change
// the length of the index, so offsets count from the first tensor until that
// length is known to have settled.
func layout(m *Model, infos []Info) ([sectionCount][]byte, header, error) {
	var s [sectionCount][]byte
	h := header{version: versionOf(infos)}
	config, err := json.Marshal(m.Config)
	if err != nil {
		return s, h, fmt.Errorf("section config: %w", err)
	}
	s[configSection], s[tokenizerSection] = config, m.Tokenizer
	start := int64(0)
	for {
		last := int64(0)
		for i, next := 0, start; i < len(infos); i++ {
			infos[i].Offset = align(next)
			next = infos[i].Offset + infos[i].Length
			last = next
		}
		index, err := json.Marshal(infos)
		if err != nil {
			return s, h, fmt.Errorf("section index: %w", err)
		}
		s[indexSection] = index
		end := int64(headerSize)
		for i, b := range s {
			h.sections[i] = section{align(end), int64(len(b)), checksum(b)}
			end = align(end) + int64(len(b))
		}
		if h.size = max(last, end); align(end) == start {
			return s, h, nil
		}
		start = align(end) // grows until the digits stand
	}
}

// A paddedWriter counts bytes and keeps the first error.
type paddedWriter struct {
	w   io.Writer
	n   int64
	err error
}

func (p *paddedWriter) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.w.Write(b)
	p.n, p.err = p.n+int64(n), err
	return n, err
}

// pad writes zeros up to the next aligned offset.
func (p *paddedWriter) pad() { p.Write(make([]byte, align(p.n)-p.n)) }

// chunk is how many elements are packed at a time: whole bytes of trits.
const chunk = tritsPerByte << 12

// writeElements writes a tensor's elements; w keeps its first error.
func writeElements(w io.Writer, t *Tensor) {
	if m := t.Matrix; m != nil {
		w.Write(encodeScales(m.scaleType, m.scales))
		w.Write(m.packed)
		return
	}
	buf := make([]byte, Float32.Bytes(chunk))
	half := make([]uint16, chunk)
	for codes := range slices.Chunk(t.Codes, chunk) {
		b := buf[:Ternary.Bytes(len(codes))]
		kernel.PackTrits(b, codes)
		w.Write(b)
	}
	for values := range slices.Chunk(t.Values, chunk) {
		b := buf[:0]
		if t.Type == Float16 {
			kernel.EncodeFloat16(half[:len(values)], values)
			b, _ = binary.Append(b, binary.LittleEndian, half[:len(values)])
		} else {
			b, _ = binary.Append(b, binary.LittleEndian, values)
		}
		w.Write(b)
	}
}
