package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// pieceElements is how many elements are converted at a time: whole blocks of
// every type.
const pieceElements = 64 << 10

// Float32 returns the elements of a tensor. A shape, if given, must be the
// tensor's. Types that the package does not decode are refused.
func (r *Reader) Float32(name string, shape ...int) ([]float32, error) {
	t, ok := r.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("tensor %s is missing", name)
	}
	if len(shape) > 0 && !slices.Equal(shape, t.Shape) {
		return nil, fmt.Errorf("tensor %s: shape is %v, want %v", name, t.Shape, shape)
	}
	var out []float32
	err := r.Scan(name, func(x []float32) error {
		if out == nil { // the type is one that can be decoded
			out = make([]float32, 0, elements(t.Shape))
		}
		out = append(out, x...)
		return nil
	})
	return out, err
}

// Scan hands the elements of a tensor to each, in order and in pieces of at
// most 65536. The piece is valid until each returns; an error of each ends
// the scan.
func (r *Reader) Scan(name string, each func(x []float32) error) error {
	t, ok := r.Tensor(name)
	if !ok {
		return fmt.Errorf("tensor %s is missing", name)
	}
	decode, err := r.decoder(t)
	if err != nil {
		return fmt.Errorf("tensor %s: %w", name, err)
	}
	l := layouts[t.Type]
	n := elements(t.Shape)
	x := make([]float32, min(n, pieceElements))
	b := make([]byte, len(x)/l.length*l.bytes)
	for at := t.Offset; n > 0; n -= len(x) {
		x = x[:min(n, len(x))]
		b = b[:len(x)/l.length*l.bytes]
		if err := r.readAt(b, at); err != nil {
			return fmt.Errorf("tensor %s: %w", name, err)
		}
		if err := decode(x, b); err != nil {
			if invalid, ok := err.(i2sInvalid); ok {
				err = i2sInvalid{elements(t.Shape) - n + invalid.element}
			}
			return fmt.Errorf("tensor %s, at byte %d: %w", name, t.Offset, err)
		}
		if err := each(x); err != nil {
			return err
		}
		at += int64(len(b))
	}
	return nil
}

// Decodable reports why the elements of a tensor cannot be decoded, nil if they
// can.
func (r *Reader) Decodable(name string) error {
	t, ok := r.Tensor(name)
	if !ok {
		return fmt.Errorf("tensor %s is missing", name)
	}
	if _, err := r.decoder(t); err != nil {
		return fmt.Errorf("tensor %s: %w", name, err)
	}
	return nil
}

// decoder returns what decodes whole blocks of t.
func (r *Reader) decoder(t Info) (func([]float32, []byte) error, error) {
	if t.Type == I2_S {
		var b [4]byte
		if err := r.readAt(b[:], t.Offset+t.Size-i2sTrailer); err != nil {
			return nil, err
		}
		scale := math.Float32frombits(binary.LittleEndian.Uint32(b[:]))
		return func(x []float32, b []byte) error { return decodeI2S(x, b, scale) }, nil
	}
	if c, ok := codecs[t.Type]; ok {
		return func(x []float32, b []byte) error { c.decode(x, b); return nil }, nil
	}
	return nil, fmt.Errorf("elements of type %v cannot be decoded: convert the file with llama-quantize to F16 or to one of %v", t.Type, encodable)
}

// Bytes returns a tensor as it lies in the file.
func (r *Reader) Bytes(name string) ([]byte, error) {
	t, ok := r.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("tensor %s is missing", name)
	}
	b := make([]byte, t.Size)
	if err := r.readAt(b, t.Offset); err != nil {
		return nil, fmt.Errorf("tensor %s: %w", name, err)
	}
	return b, nil
}

// readAt fills b with the file's bytes from at on.
func (r *Reader) readAt(b []byte, at int64) error {
	if n, err := r.r.ReadAt(b, at); n < len(b) {
		return fmt.Errorf("byte %d: %w", at+int64(n), noEOF(err))
	}
	return nil
}
