package gguf

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func sampleMetadata() []KeyValue {
	return []KeyValue{
		{"general.architecture", "bitnet"}, {"b.u8", uint8(200)}, {"b.i8", int8(-1)}, {"b.u16", uint16(65535)},
		{"b.i16", int16(-2)}, {"b.u32", uint32(1 << 31)}, {"b.i32", int32(-3)}, {"b.f32", float32(1e-5)}, {"b.true", true},
		{"b.u64", uint64(math.MaxUint64)}, {"b.i64", int64(math.MinInt64)}, {"b.f64", math.Pi},
		{"b.tokens", []string{"a", "", "Ġthe"}}, {"b.kinds", []int32{1, -1}}, {"b.scores", []float32{0.5}},
		{"b.flags", []bool{true, false}}, {"b.none", []uint64{}}, {"b.bytes", []byte{1, 255}},
	}
}

func sampleTensors() []Tensor {
	ones := slices.Repeat([]int8{1, 0, -1, 1}, 192)
	return []Tensor{
		{"token_embd.weight", F16, []int{2, 3}, func(w *TensorWriter) error { return w.Float32([]float32{1, -2, 0.5, 0, 4, 8}) }},
		{"blk.0.attn_q.weight", TQ1_0, []int{3, 256}, func(w *TensorWriter) error { return w.Ternary(ones, 0.25) }},
		{"blk.0.attn_q.scale", F32, []int{1}, func(w *TensorWriter) error { return w.Float32([]float32{0.3}) }},
		{"blk.0.attn_k.weight", I2_S, []int{6, 128}, func(w *TensorWriter) error { return w.Ternary(ones, 0.3) }},
	}
}

func encode(t testing.TB, metadata []KeyValue, tensors []Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sample(t testing.TB) []byte { return encode(t, sampleMetadata(), sampleTensors()) }

func read(b []byte) (*Reader, error) { return NewReader(bytes.NewReader(b), int64(len(b))) }

func TestRoundTrip(t *testing.T) {
	r, err := read(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	for i, kv := range sampleMetadata() {
		if k := r.Keys()[i]; k.Name != kv.Key {
			t.Errorf("key %d is %s, want %s", i, k.Name, kv.Key)
		}
		got, err := r.Value(kv.Key)
		if v := reflect.ValueOf(kv.Value); v.Kind() == reflect.Slice {
			list := []any{}
			for j := range v.Len() {
				list = append(list, v.Index(j).Interface())
			}
			kv.Value = list
		}
		if err != nil || !reflect.DeepEqual(got, kv.Value) {
			t.Errorf("%s: %#v, %v, want %#v", kv.Key, got, err, kv.Value)
		}
	}
	for name, want := range map[string][]int{"blk.0.attn_q.weight": {3, 256}, "blk.0.attn_q.scale": {1}} {
		if info, _ := r.Tensor(name); !slices.Equal(info.Shape, want) {
			t.Errorf("%s: shape %v, want %v", name, info.Shape, want)
		}
	}
	for _, info := range r.Tensors() {
		if info.Offset%32 != 0 {
			t.Errorf("%s begins at byte %d", info.Name, info.Offset)
		}
	}
	if x, err := r.Float32("token_embd.weight", 2, 3); err != nil || !slices.Equal(x, []float32{1, -2, 0.5, 0, 4, 8}) {
		t.Errorf("F16: %v, %v", x, err)
	}
	if x, err := r.Float32("blk.0.attn_k.weight"); err != nil || !slices.Equal(x[:4], []float32{0.3, 0, -0.3, 0.3}) || len(x) != 768 {
		t.Errorf("I2_S: %v, %v", x[:4], err)
	}
}

func TestGetters(t *testing.T) {
	r, err := read(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := r.String("general.architecture"); s != "bitnet" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	for key, want := range map[string]int{"b.u8": 200, "b.i8": -1, "b.u16": 65535, "b.i16": -2, "b.u32": 1 << 31, "b.i32": -3, "b.i64": math.MinInt64} {
		if n, err := r.Int(key); n != want || err != nil {
			t.Errorf("%s: %d, %v", key, n, err)
		}
	}
	if x, err := r.Float("b.f32"); x != float64(float32(1e-5)) || err != nil {
		t.Errorf("%v, %v", x, err)
	}
	if x, err := r.Float("b.f64"); x != math.Pi || err != nil {
		t.Errorf("%v, %v", x, err)
	}
	if b, err := r.Bool("b.true"); !b || err != nil {
		t.Errorf("%v, %v", b, err)
	}
	if s, err := r.Strings("b.tokens"); !slices.Equal(s, []string{"a", "", "Ġthe"}) || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if n, err := r.Ints("b.kinds"); !slices.Equal(n, []int{1, -1}) || err != nil {
		t.Errorf("%v, %v", n, err)
	}
	fails := func(says string, _ any, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
	for says, call := range map[string]func() (any, error){
		"key x is missing":                           func() (any, error) { return r.String("x") },
		"key b.tokens: an array instead of a string": func() (any, error) { return r.String("b.tokens") },
		"key b.u8: uint8 instead of a bool":          func() (any, error) { return r.Bool("b.u8") },
		"key b.f32: float32 instead of an integer":   func() (any, error) { return r.Int("b.f32") },
		"key b.u64: 18446744073709551615 is too la":  func() (any, error) { return r.Int("b.u64") },
		"key b.u8: uint8 instead of a float":         func() (any, error) { return r.Float("b.u8") },
		"key b.u8: uint8 instead of an array":        func() (any, error) { return r.Ints("b.u8") },
		"key b.kinds: an element is int32":           func() (any, error) { return r.Strings("b.kinds") },
		"key b.scores: float32 instead of an int":    func() (any, error) { return r.Ints("b.scores") },
		"tensor x is missing":                        func() (any, error) { return r.Float32("x") },
		"token_embd.weight: shape is [2 3], want":    func() (any, error) { return r.Float32("token_embd.weight", 3, 2) },
	} {
		v, err := call()
		fails(says, v, err)
	}
}

// testdata/reference.gguf was written by the Python package gguf, from the
// values below: see reference.py.
func TestReadsReferenceFile(t *testing.T) {
	f, err := Open("testdata/reference.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for key, want := range map[string]any{
		"general.architecture": "llama", "k.uint8": uint8(200), "k.int8": int8(-100), "k.uint16": uint16(60000), "k.int16": int16(-30000),
		"k.uint32": uint32(4000000000), "k.int32": int32(-2000000000), "k.uint64": uint64(math.MaxUint64), "k.int64": int64(-1 << 62),
		"k.float32": float32(0.1), "k.float64": 0.1, "k.bool": true, "k.string": "zwölf 12",
		"k.strings": []any{"a", "", "Ġthe"}, "k.ints": []any{int32(1), int32(-2), int32(3)}, "k.floats": []any{float32(0.5), float32(-1.5)},
		"k.bools": []any{true, false}, "k.bytes": []any{uint8(1), uint8(2), uint8(255)},
		"k.nested": []any{[]any{int32(1), int32(2)}, []any{int32(3)}},
	} {
		if got, err := f.Value(key); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v, want %#v", key, got, err, want)
		}
	}
	x := floats(t, f, "x")
	for _, typ := range []Type{F16, BF16, Q8_0, Q4_0, TQ1_0, TQ2_0} {
		info, ok := f.Tensor(typ.String())
		if !ok || info.Type != typ || !slices.Equal(info.Shape, []int{2, 256}) {
			t.Fatalf("%v: %+v", typ, info)
		}
		if i := sameBits(floats(t, f, typ.String()), floats(t, f, typ.String()+".decoded")); i >= 0 {
			t.Errorf("%v: element %d differs from the package's", typ, i)
		}
		got := written(t, typ, info.Shape, func(w *TensorWriter) error { return w.Float32(x) })
		if want := raw(t, f, typ.String()); !bytes.Equal(got, want) {
			t.Errorf("%v: the blocks differ from the package's at byte %d", typ, firstDifference(got, want))
		}
	}
	if info, _ := f.Tensor("codes"); info.Type.String() != "I8" || !slices.Equal(info.Shape, []int{1, 2, 2}) {
		t.Errorf("codes: %+v", info)
	}
	if _, err := f.Float32("codes"); err == nil || !strings.Contains(err.Error(), "tensor codes: elements of type I8 cannot be decoded") {
		t.Errorf("codes: %v", err)
	}
}

func TestWriteErrors(t *testing.T) {
	tensor := func(typ Type, shape []int, fill func(*TensorWriter) error) []Tensor {
		return []Tensor{{"a", typ, shape, fill}}
	}
	values := func(x ...float32) func(*TensorWriter) error {
		return func(w *TensorWriter) error { return w.Float32(x) }
	}
	ternary := func(scale float32, codes ...int8) func(*TensorWriter) error {
		return func(w *TensorWriter) error { return w.Ternary(codes, scale) }
	}
	block := make([]int8, 256)
	for says, c := range map[string]struct {
		metadata []KeyValue
		tensors  []Tensor
	}{
		"key k: values of type int cannot":  {[]KeyValue{{"k", 1}}, nil},
		"key k: values of type <nil>":       {[]KeyValue{{"k", nil}}, nil},
		`key "general.alignment": the name`: {[]KeyValue{{"general.alignment", uint32(64)}}, nil},
		`key "k": the name is taken`:        {[]KeyValue{{"k", "1"}, {"k", "2"}}, nil},
		"tensor a: the name is taken":       {nil, slices.Repeat(tensor(F32, []int{1}, values(1)), 2)},
		"a name has 1 to 63 bytes":          {nil, []Tensor{{strings.Repeat("n", 64), F32, []int{1}, values(1)}}},
		"tensor a: shape []":                {nil, tensor(F32, nil, values(1))},
		"tensor a: type Q6_K cannot be":     {nil, tensor(14, []int{256}, nil)},
		"rows of 64 elements do not divide into the blocks of 256 that TQ1_0 has: [Q2_0 F16] would fit": {nil, tensor(TQ1_0, []int{4, 64}, nil)},
		"tensor a: 1 elements of shape [2 1] were not written":                                          {nil, tensor(F32, []int{2, 1}, values(1))},
		"tensor a: 3 elements where 2 of shape [2]":                                                     {nil, tensor(F32, []int{2}, values(1, 2, 3))},
		"tensor a: 1 elements are no whole rows of 2":                                                   {nil, tensor(F32, []int{2, 2}, values(1))},
		"tensor a: element 1 of the rows is NaN":                                                        {nil, tensor(F32, []int{2}, values(1, float32(math.NaN())))},
		"tensor a: element 0 of the rows is 65520: F16 holds up":                                        {nil, tensor(F16, []int{1}, values(65520))},
		"tensor a: element 1 of the rows is 2, which is no ternary code":                                {nil, tensor(F32, []int{2}, ternary(1, 0, 2))},
		"tensor a: a scale of 0":                                                                        {nil, tensor(F32, []int{1}, ternary(0, 1))},
		"tensor a: a scale of 1e-09, which half":                                                        {nil, tensor(TQ2_0, []int{256}, ternary(1e-9, block...))},
		"tensor a: a scale of 70000, which half":                                                        {nil, tensor(Q2_0, []int{256}, ternary(70000, block...))},
		"tensor a: Q4_0 cannot hold ternary weights":                                                    {nil, tensor(Q4_0, []int{256}, ternary(1, block...))},
		"tensor a: F16 cannot hold ternary weights of ":                                                 {nil, tensor(F16, []int{1}, ternary(1e6, 1))},
		"I2_S values must come in one call":                                                             {nil, tensor(I2_S, []int{2, 128}, values(make([]float32, 128)...))},
	} {
		if err := Write(&bytes.Buffer{}, c.metadata, c.tensors); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
}

type failingWriter struct{ left int }

var errFull = errors.New("disk full")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriterFailureIsReported(t *testing.T) {
	for n := range len(sample(t)) {
		if err := Write(&failingWriter{n}, sampleMetadata(), sampleTensors()); !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestParseType(t *testing.T) {
	for name, want := range map[string]Type{"tq1_0": TQ1_0, "F16": F16, "i2_s": I2_S, "q2_0": Q2_0} {
		if got, err := ParseType(name); got != want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParseType("q5_k"); err == nil || !strings.Contains(err.Error(), "TQ1_0") {
		t.Errorf("got %v", err)
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.gguf")
	if err := os.WriteFile(path, []byte("GGUF no more"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, sample(t), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Float32("token_embd.weight"); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("reading a closed file: %v", err)
	}
}
