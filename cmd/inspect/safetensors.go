package main

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"slices"

	"trefoil/internal/safetensors"
)

// openSafetensors opens a file, an index or a folder.
func openSafetensors(path string) (*content, error) {
	m, err := safetensors.OpenModel(path)
	if err != nil {
		return nil, err
	}
	c, err := describeSafetensors(path, m)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return c, nil
}

func describeSafetensors(path string, m *safetensors.Model) (*content, error) {
	c := &content{Path: path, Format: "safetensors", close: m.Close}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		if c.Keys, err = configKeys(filepath.Join(path, "config.json")); err != nil {
			return nil, err
		}
	}
	if n := len(m.Files()); n > 1 {
		c.Format = fmt.Sprintf("safetensors in %d shards", n)
	}
	for _, file := range m.Files() {
		n, err := fileSize(file)
		if err != nil {
			return nil, err
		}
		c.Bytes += n
	}
	first := m.First()
	for _, k := range first.Keys() {
		c.Keys = append(c.Keys, key{Name: k, Type: "string", Value: first.Metadata(k)})
	}
	tensors := m.Tensors()
	c.Tensors = make([]tensor, 0, len(tensors))
	for _, t := range tensors {
		c.Tensors = append(c.Tensors, tensor{Name: t.Name, Type: string(t.DType), Shape: t.Shape, Offset: t.Offset, Bytes: t.Size})
	}
	c.zeros = func(t tensor, goOn func() error) (zeros, of int, known bool, err error) {
		count := zeroCounter(safetensors.DType(t.Type), m.Has(t.Name+"_scale"))
		err = m.Scan(t.Name, func(b []byte) error {
			z, n := count(b)
			zeros, of = zeros+z, of+n
			return goOn()
		})
		return zeros, of, true, err
	}
	return c, nil
}

// zeroCounter returns what counts the zeros, and the elements, in the bytes of
// a tensor. Bytes with a scale beside them are ternary weights, four to a
// byte, where 1 stands for zero.
func zeroCounter(d safetensors.DType, hasScale bool) func(b []byte) (zeros, of int) {
	if d == safetensors.U8 && hasScale {
		return func(b []byte) (zeros, of int) {
			for _, v := range b {
				v ^= 0b01010101
				zeros += 4 - bits.OnesCount8((v|v>>1)&0b01010101)
			}
			return zeros, 4 * len(b)
		}
	}
	size := d.Bytes()
	sign := byte(0x80) // minus zero is a zero too
	if !slices.Contains([]safetensors.DType{safetensors.F64, safetensors.F32, safetensors.F16, safetensors.BF16, safetensors.F8E4M3, safetensors.F8E5M2}, d) {
		sign = 0
	}
	return func(b []byte) (zeros, of int) {
		for e := range slices.Chunk(b, size) {
			rest := e[size-1] &^ sign
			for _, v := range e[:size-1] {
				rest |= v
			}
			if rest == 0 {
				zeros++
			}
		}
		return zeros, len(b) / size
	}
}
