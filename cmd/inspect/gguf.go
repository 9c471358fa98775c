package main

import (
	"errors"
	"fmt"

	"trefoil/internal/gguf"
)

func openGGUF(path string) (*content, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	c := &content{Path: path, Format: fmt.Sprintf("GGUF %d", f.Version()), close: f.Close}
	if c.Bytes, err = fileSize(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for _, k := range f.Keys() {
		described, err := describeKey(f.Reader, k)
		if err != nil {
			return nil, errors.Join(inFile(path, err), f.Close())
		}
		c.Keys = append(c.Keys, described)
	}
	for _, t := range f.Tensors() {
		c.Tensors = append(c.Tensors, tensor{Name: t.Name, Type: t.Type.String(), Shape: t.Shape, Offset: t.Offset, Bytes: t.Size})
	}
	c.zeros = func(t tensor, goOn func() error) (zeros, of int, known bool, err error) {
		if _, err := gguf.ParseType(t.Type); err != nil {
			return 0, 0, false, nil // a type whose elements the package does not decode
		}
		err = f.Scan(t.Name, func(x []float32) error {
			zeros, of = zeros+count(x), of+len(x)
			return goOn()
		})
		return zeros, of, true, inFile(path, err)
	}
	return c, nil
}

// describeKey reads a value, or the first elements of an array.
func describeKey(r *gguf.Reader, k gguf.Key) (key, error) {
	if k.Type != gguf.Array {
		v, err := r.Value(k.Name)
		return key{Name: k.Name, Type: k.Type.String(), Value: printable(v)}, err
	}
	head := []any{}
	for v, err := range r.Elements(k.Name) {
		if err != nil {
			return key{}, err
		}
		if head = append(head, printable(v)); len(head) == headElements {
			break
		}
	}
	return key{Name: k.Name, Type: k.Element.String(), Count: &k.Count, Value: head}, nil
}
