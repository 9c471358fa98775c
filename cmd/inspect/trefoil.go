package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"trefoil/quant/packed"
)

func openTrefoil(path string) (*content, error) {
	f, err := packed.Open(path)
	if err != nil {
		return nil, err
	}
	c := &content{Path: path, Format: "trefoil", Bytes: f.Size(), close: f.Close}
	config, err := json.Marshal(f.Config())
	if err == nil {
		c.Keys, err = flatten("config", config)
	}
	if err != nil {
		return nil, errors.Join(inFile(path, err), f.Close())
	}
	c.Keys = append(c.Keys, key{Name: "tokenizer.json", Type: "bytes", Value: len(f.Tokenizer())})
	for _, t := range f.Index() {
		c.Tensors = append(c.Tensors, tensor{Name: t.Name, Type: string(t.Type), Shape: t.Shape, Offset: t.Offset, Bytes: t.Length, Note: noteOf(t)})
	}
	c.zeros = func(t tensor, goOn func() error) (zeros, of int, known bool, err error) {
		loaded, err := f.Load(t.Name)
		if err != nil {
			return 0, 0, false, inFile(path, err)
		}
		return zerosOf(loaded), t.elements(), true, goOn()
	}
	return c, nil
}

func zerosOf(t *packed.Tensor) int {
	if t.Matrix != nil {
		return count(t.Floats())
	}
	return count(t.Codes) + count(t.Values)
}

// noteOf tells a tensor's scales.
func noteOf(t packed.Info) string {
	var notes []string
	switch {
	case t.Type == packed.Ternary:
		notes = append(notes, fmt.Sprintf("scale %.5g", t.Scale))
	case t.Scales > 0:
		note := fmt.Sprintf("scales: %d", t.Scales)
		if t.ScaleType != "" {
			note += " as " + string(t.ScaleType)
		}
		notes = append(notes, note)
	}
	if a := t.Activation; a != nil && a.Bits < 32 {
		input := fmt.Sprintf("input of %d bits", a.Bits)
		if a.AbsMax > 0 {
			input += fmt.Sprintf(" up to %.5g", a.AbsMax)
		}
		notes = append(notes, input)
	}
	return strings.Join(notes, ", ")
}

func count[T int8 | float32](x []T) int {
	n := 0
	for _, v := range x {
		if v == 0 {
			n++
		}
	}
	return n
}
