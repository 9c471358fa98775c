package gguf

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"reflect"
)

// Has reports whether the file has a metadata key of that name.
func (r *Reader) Has(key string) bool {
	_, ok := r.byKey[key]
	return ok
}

// Value returns a metadata value: a uint8 to uint64, int8 to int64, float32,
// float64, bool or string, or for an array an []any of such.
func (r *Reader) Value(key string) (any, error) {
	k, err := r.key(key)
	if err != nil {
		return nil, err
	}
	c := newCursor(r.r, k.offset+k.size, k.offset)
	v := c.value(k.Type, 0)
	return v, inKey(key, c.err)
}

// String returns the value of a key of type string.
func (r *Reader) String(key string) (string, error) { return scalar[string](r, key, "a string") }

// Bool returns the value of a key of type bool.
func (r *Reader) Bool(key string) (bool, error) { return scalar[bool](r, key, "a bool") }

// Int returns the value of a key of any integer type.
func (r *Reader) Int(key string) (int, error) {
	k, err := r.key(key)
	if err != nil {
		return 0, err
	}
	if k.Type == Array || k.Type == String {
		return 0, fmt.Errorf("key %s: %v instead of an integer", key, k.Type)
	}
	v, err := r.Value(key)
	if err != nil {
		return 0, err
	}
	n, err := toInt(v)
	return n, inKey(key, err)
}

// Float returns the value of a key of type float32 or float64.
func (r *Reader) Float(key string) (float64, error) {
	k, err := r.key(key)
	if err != nil {
		return 0, err
	}
	if k.Type == Float32 {
		v, err := scalar[float32](r, key, "a float")
		return float64(v), err
	}
	return scalar[float64](r, key, "a float")
}

// Strings returns the elements of an array of strings.
func (r *Reader) Strings(key string) ([]string, error) {
	return collect(r, key, func(v any) (string, error) {
		if s, ok := v.(string); ok {
			return s, nil
		}
		return "", fmt.Errorf("an element is %T instead of a string", v)
	})
}

// Ints returns the elements of an array of any integer type.
func (r *Reader) Ints(key string) ([]int, error) { return collect(r, key, toInt) }

// Elements goes through the elements of an array, which are as [Reader.Value]
// returns them, without holding more than one. After an error it ends.
func (r *Reader) Elements(key string) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		k, err := r.key(key)
		if err == nil && k.Type != Array {
			err = fmt.Errorf("key %s: %v instead of an array", key, k.Type)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		c := newCursor(r.r, k.offset+k.size, k.offset)
		c.skip(4+8, "the array's header")
		for range k.Count {
			v := c.value(k.Element, 1)
			if !yield(v, inKey(key, c.err)) || c.err != nil {
				return
			}
		}
	}
}

func (r *Reader) key(name string) (Key, error) {
	i, ok := r.byKey[name]
	if !ok {
		return Key{}, fmt.Errorf("key %s is missing", name)
	}
	return r.keys[i], nil
}

func inKey(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("key %s: %w", key, err)
}

func scalar[T any](r *Reader, key, want string) (T, error) {
	var zero T
	k, err := r.key(key)
	if err != nil {
		return zero, err
	}
	if k.Type == Array {
		return zero, fmt.Errorf("key %s: an array instead of %s", key, want)
	}
	v, err := r.Value(key)
	if err != nil {
		return zero, err
	}
	out, ok := v.(T)
	if !ok {
		return zero, fmt.Errorf("key %s: %v instead of %s", key, k.Type, want)
	}
	return out, nil
}

// collect converts the elements of an array. The count was checked against
// the file when it was opened.
func collect[T any](r *Reader, key string, convert func(any) (T, error)) ([]T, error) {
	var out []T
	for v, err := range r.Elements(key) {
		if err != nil {
			return nil, err
		}
		e, err := convert(v)
		if err != nil {
			return nil, inKey(key, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// toInt converts a value of any integer type.
func toInt(v any) (int, error) {
	switch n := reflect.ValueOf(v); {
	case n.CanInt() && int64(int(n.Int())) == n.Int():
		return int(n.Int()), nil
	case n.CanUint() && n.Uint() <= math.MaxInt:
		return int(n.Uint()), nil
	case n.CanInt(), n.CanUint():
		return 0, fmt.Errorf("%d is too large", v)
	}
	return 0, fmt.Errorf("%T instead of an integer", v)
}

// value reads a value that lies in so many arrays, all of which were checked
// when the file was opened.
func (c *cursor) value(t ValueType, nesting int) any {
	switch t {
	case String:
		return c.string(maxHeader, "a string")
	case Array:
		return c.array(nesting + 1)
	}
	b := c.take(int(t.size()), "the value")
	if b == nil {
		return nil
	}
	le := binary.LittleEndian
	switch t {
	case Uint8:
		return b[0]
	case Int8:
		return int8(b[0])
	case Bool:
		return b[0] != 0
	case Uint16:
		return le.Uint16(b)
	case Int16:
		return int16(le.Uint16(b))
	case Uint32:
		return le.Uint32(b)
	case Int32:
		return int32(le.Uint32(b))
	case Float32:
		return math.Float32frombits(le.Uint32(b))
	case Uint64:
		return le.Uint64(b)
	case Int64:
		return int64(le.Uint64(b))
	case Float64:
		return math.Float64frombits(le.Uint64(b))
	}
	return nil
}

func (c *cursor) array(nesting int) any {
	element, n := ValueType(c.uint32("the elements' type")), c.uint64("the number of elements")
	out := []any{}
	for i := uint64(0); i < n && c.err == nil && nesting <= maxNesting; i++ {
		out = append(out, c.value(element, nesting))
	}
	return out
}
