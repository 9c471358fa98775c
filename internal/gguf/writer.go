package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
)

// A KeyValue is a metadata key and its value: a uint8 to uint64, int8 to
// int64, float32, float64, bool or string, or a slice of one of these.
type KeyValue struct {
	Key   string
	Value any
}

// A Tensor is a tensor to write.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int // row-major: a linear layer's is [out, in]
	// Fill writes the elements when the tensor's turn has come, so that no
	// more than one tensor need be in memory.
	Fill func(*TensorWriter) error
}

// Write writes a file with the given metadata and tensors to w, in their
// order. The key general.alignment is not the caller's to set.
func Write(w io.Writer, metadata []KeyValue, tensors []Tensor) error {
	head, err := encodeHeader(metadata, tensors)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := writeTensor(w, t); err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
	}
	return nil
}

// encodeHeader returns all that precedes the data, padding included.
func encodeHeader(metadata []KeyValue, tensors []Tensor) ([]byte, error) {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte(magic), version)
	b = le.AppendUint64(b, uint64(len(tensors)))
	b = le.AppendUint64(b, uint64(len(metadata)))
	taken := map[string]bool{alignmentKey: true}
	for _, kv := range metadata {
		var err error
		if kv.Key == "" || len(kv.Key) > maxKey || taken[kv.Key] {
			return nil, fmt.Errorf("key %q: the name is taken, empty or too long", kv.Key)
		}
		taken[kv.Key] = true
		if b, err = appendValue(appendString(b, kv.Key), kv.Value); err != nil {
			return nil, fmt.Errorf("key %s: %w", kv.Key, err)
		}
	}
	taken = map[string]bool{}
	for offset, i := int64(0), 0; i < len(tensors); i++ {
		t := tensors[i]
		if taken[t.Name] {
			return nil, fmt.Errorf("tensor %s: the name is taken", t.Name)
		}
		taken[t.Name] = true
		size, err := t.check()
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		b = t.append(b, offset)
		offset = align(offset+size, defaultAlignment)
	}
	return append(b, make([]byte, align(int64(len(b)), defaultAlignment)-int64(len(b)))...), nil
}

// check reports a tensor that cannot be written and returns its size.
func (t Tensor) check() (int64, error) {
	switch {
	case t.Name == "" || len(t.Name) > maxName:
		return 0, fmt.Errorf("a name has 1 to %d bytes", maxName)
	case len(t.Shape) < 1 || len(t.Shape) > maxDims:
		return 0, fmt.Errorf("shape %v: 1 to %d dimensions are allowed", t.Shape, maxDims)
	}
	if _, ok := codecs[t.Type]; !ok && t.Type != I2_S {
		return 0, fmt.Errorf("type %v cannot be written: use one of %v", t.Type, encodable)
	}
	return t.Type.Bytes(t.Shape)
}

// append appends the header's entry of the tensor.
func (t Tensor) append(b []byte, offset int64) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(appendString(b, t.Name), uint32(len(t.Shape)))
	for i := len(t.Shape) - 1; i >= 0; i-- {
		b = le.AppendUint64(b, uint64(t.Shape[i]))
	}
	return le.AppendUint64(le.AppendUint32(b, uint32(t.Type)), uint64(offset))
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// appendValue appends the type and the value.
func appendValue(b []byte, value any) ([]byte, error) {
	le := binary.LittleEndian
	v := reflect.ValueOf(value)
	kind := v.Kind()
	if kind == reflect.Slice {
		kind = v.Type().Elem().Kind()
	}
	t, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("values of type %T cannot be written", value)
	}
	if v.Kind() == reflect.Slice {
		b = le.AppendUint32(le.AppendUint32(b, uint32(Array)), uint32(t))
		b = le.AppendUint64(b, uint64(v.Len()))
	} else {
		b = le.AppendUint32(b, uint32(t))
	}
	switch value := value.(type) {
	case string:
		return appendString(b, value), nil
	case []string:
		for _, s := range value {
			b = appendString(b, s)
		}
		return b, nil
	}
	return binary.Append(b, le, value)
}

// kinds are the types of values by the kind of what holds them in Go.
var kinds = map[reflect.Kind]ValueType{
	reflect.Uint8: Uint8, reflect.Uint16: Uint16, reflect.Uint32: Uint32, reflect.Uint64: Uint64,
	reflect.Int8: Int8, reflect.Int16: Int16, reflect.Int32: Int32, reflect.Int64: Int64,
	reflect.Float32: Float32, reflect.Float64: Float64, reflect.Bool: Bool, reflect.String: String,
}
