package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sample has tensors of every width, one of them empty and one a scalar.
func sample() []Tensor {
	return []Tensor{
		{"bytes", []int{3}, []uint8{7, 8, 9}},
		{"blocks.0.q", []int{2, 3}, []float32{1, -2.5, 0, float32(math.Inf(1)), 1e-40, float32(math.Copysign(0, -1))}},
		{"tokens", []int{2, 2}, []int32{1, -1, 1 << 30, -1 << 31}},
		{"half", []int{4}, Float16{0x3c00, 0xc000, 0x7c00, 0x0001}},
		{"brain", []int{2}, BFloat16{0x3f80, 0xc020}},
		{"empty", []int{0, 5}, []float32{}},
		{"scalar", nil, []float64{math.Pi}},
		{"codes", []int{2}, []int8{-1, 1}},
	}
}

func encode(t testing.TB, metadata map[string]string, tensors []Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte) (*Reader, error) { return NewReader(bytes.NewReader(b), int64(len(b))) }

func TestRoundTrip(t *testing.T) {
	b := encode(t, map[string]string{"trefoil.state": `{"step": 12, "trefoil.crc32c":"x"}`}, sample())
	r, err := read(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(); err != nil {
		t.Error(err)
	}
	q, err := r.Float32("blocks.0.q", 2, 3)
	if want := sample()[1].Data.([]float32); err != nil || !slices.Equal(q, want) {
		t.Errorf("F32: %v, %v", q, err)
	}
	half, err := r.Float32("half")
	if want := []float32{1, -2, float32(math.Inf(1)), 0x1p-24}; err != nil || !slices.Equal(half, want) {
		t.Errorf("F16: %v, %v", half, err)
	}
	brain, err := r.Float32("brain")
	if want := []float32{1, -2.5}; err != nil || !slices.Equal(brain, want) {
		t.Errorf("BF16: %v, %v", brain, err)
	}
	tokens, err := r.Int32("tokens", 2, 2)
	if want := []int32{1, -1, 1 << 30, -1 << 31}; err != nil || !slices.Equal(tokens, want) {
		t.Errorf("I32: %v, %v", tokens, err)
	}
	raw, err := r.Bytes("codes")
	if err != nil || !slices.Equal(raw, []byte{255, 1}) {
		t.Errorf("I8: %v, %v", raw, err)
	}
	scalar, err := r.Bytes("scalar")
	if err != nil || math.Float64frombits(binary.LittleEndian.Uint64(scalar)) != math.Pi {
		t.Errorf("F64: %v, %v", scalar, err)
	}
	if shape, _ := r.Shape("scalar"); shape == nil || len(shape) != 0 {
		t.Errorf("a scalar's shape is %v", shape)
	}
	if got := r.Metadata("trefoil.state"); !strings.Contains(got, `"step": 12`) {
		t.Errorf("metadata: %q", got)
	}
	for _, info := range r.Tensors() {
		if info.Offset%sizes[info.DType] != 0 {
			t.Errorf("%s is not aligned: %d", info.Name, info.Offset)
		}
	}
}

// The bytes were written out by hand from the format's description.
func TestReadsForeignFile(t *testing.T) {
	header := `{"b":{"dtype":"I32","shape":[2],"data_offsets":[4,12]},` +
		`"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}`
	data := []byte{0, 0, 0x20, 0x41, 5, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff}
	r, err := read(file(header, data))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := r.Float32("a", 1, 1)
	b, _ := r.Int32("b")
	if !slices.Equal(a, []float32{10}) || !slices.Equal(b, []int32{5, -2}) || r.Metadata("format") != "pt" {
		t.Errorf("read %v, %v, %q", a, b, r.Metadata("format"))
	}
}

// testdata/reference.safetensors was written by the Python package
// safetensors, from the values below.
func TestReadsReferenceFile(t *testing.T) {
	f, err := Open("testdata/reference.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	weight, err := f.Float32("weight", 2, 3)
	if want := []float32{1.5, -2, 3e-3, 0, 7, -1e30}; err != nil || !slices.Equal(weight, want) {
		t.Errorf("weight: %v, %v", weight, err)
	}
	half, err := f.Float32("half")
	if want := []float32{0.0999755859375, -65504}; err != nil || !slices.Equal(half, want) {
		t.Errorf("half: %v, %v", half, err)
	}
	tokens, err := f.Int32("tokens", 2, 2)
	if want := []int32{1, -2, 3, 1<<31 - 1}; err != nil || !slices.Equal(tokens, want) {
		t.Errorf("tokens: %v, %v", tokens, err)
	}
	codes, err := f.Bytes("codes")
	if want := []byte{255, 0, 1}; err != nil || !slices.Equal(codes, want) {
		t.Errorf("codes: %v, %v", codes, err)
	}
}

// file puts a header and data together.
func file(header string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestRejects(t *testing.T) {
	eight := make([]byte, 8)
	for name, c := range map[string]struct {
		b    []byte
		says string
	}{
		"short file":    {[]byte{1, 2}, "too few"},
		"huge header":   {binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "header: a length"},
		"long header":   {append(binary.LittleEndian.AppendUint64(nil, 50), eight...), "header: a length"},
		"no JSON":       {file("hello", nil), "header: byte 8: invalid character 'h'"},
		"unknown dtype": {file(`{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}`, eight), "tensor a: dtype"},
		"negative":      {file(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, eight), "negative"},
		"overflow": {file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}`,
			eight), "too large"},
		"outside":      {file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}`, eight), "outside"},
		"backwards":    {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, eight), "outside"},
		"before":       {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}`, eight), "outside"},
		"wrong length": {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}`, eight), "takes 4"},
		"no shape":     {file(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, eight[:4]), "tensor a: the header gives no shape"},
		"one offset":   {file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[4]}}`, eight[:4]), "no pair of offsets"},
		"2^63 rows":    {file(`{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}}`, eight), "tensor a: json"},
		"deep header":  {file(strings.Repeat("[", 1<<20), nil), "header: "},
		"overlap": {file(`{"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},`+
			`"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, eight), "tensor b: begins at byte 117, but tensor a ends at byte 119: they overlap"},
		"gap": {file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},`+
			`"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}`, eight), "but tensor a ends at byte 115: the bytes between belong to no tensor"},
		"given twice": {file(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}`, eight),
			"header: byte 61: tensor a is there twice"},
		"metadata twice": {file(`{"__metadata__":{},"__metadata__":{}}`, nil), "byte 27: __metadata__ is there twice"},
		"metadata":       {file(`{"__metadata__":{"a":1}}`, nil), "byte 9: __metadata__: json: cannot unmarshal number"},
		"cut off":        {file(`{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}`, eight), "header: byte 60: unexpected EOF"},
		"words behind":   {file(`{} x`, nil), "header: byte 11: 'x' behind"},
		"a list":         {file(`[]`, nil), "header: byte 8: it does not begin with {"},
		"left over":      {file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, eight), "end at"},
	} {
		if _, err := read(c.b); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want it to say %q", name, err, c.says)
		}
	}
}

// Opening a file takes memory for what the header says, not a multiple of it.
func TestHeaderOfManyTensors(t *testing.T) {
	const n = 50_000
	var header strings.Builder
	for i := range n {
		fmt.Fprintf(&header, `,"model.layers.%d.self_attn.q_proj.weight":{"dtype":"U8","shape":[1,1],"data_offsets":[%d,%d]}`, i, i, i+1)
	}
	b := file("{"+header.String()[1:]+"}", make([]byte, n))
	var r *Reader
	var err error
	if got := allocated(func() { r, err = read(b) }); got > 8*uint64(len(b)) {
		t.Errorf("%d bytes were allocated for a header of %d", got, len(b))
	}
	if err != nil || len(r.Tensors()) != n {
		t.Errorf("%d tensors, %v", len(r.Tensors()), err)
	}
}

// A header that only names the offsets of many tensors takes memory for no more
// than it has room for.
func TestHeaderOfNoTensors(t *testing.T) {
	b := file("{"+strings.Repeat(`"data_offsets"`, 200_000)+"}", nil)
	var err error
	if got := allocated(func() { _, err = read(b) }); got > 5*uint64(len(b)) {
		t.Errorf("%d bytes were allocated for a header of %d", got, len(b))
	}
	if err == nil || !strings.Contains(err.Error(), "header: byte ") {
		t.Errorf("got %v", err)
	}
}

func TestReadErrorsName(t *testing.T) {
	r, err := read(encode(t, nil, sample()))
	if err != nil {
		t.Fatal(err)
	}
	for says, call := range map[string]func() error{
		"tensor none is missing":   func() error { _, err := r.Float32("none"); return err },
		"tokens: dtype is I32":     func() error { _, err := r.Float32("tokens"); return err },
		"blocks.0.q: shape is [2 ": func() error { _, err := r.Float32("blocks.0.q", 3, 2); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want it to say %q", err, says)
		}
	}
}

// Every byte of the file is covered by a checksum, and the error tells whose.
func TestEveryFlippedByteIsNamed(t *testing.T) {
	good := encode(t, map[string]string{"trefoil.state": "{}"}, sample())
	r, err := read(good)
	if err != nil {
		t.Fatal(err)
	}
	owner := func(i int) string {
		for _, info := range r.Tensors() {
			if int64(i) >= info.Offset && int64(i) < info.Offset+info.Size {
				return "tensor " + info.Name
			}
		}
		return "header"
	}
	for i := range good {
		for _, mask := range []byte{1, 0x20, 0x80, 0xff} {
			bad := slices.Clone(good)
			bad[i] ^= mask
			r, err := read(bad)
			if err == nil {
				err = r.Verify()
			}
			// A damaged header may show as a tensor out of place.
			if err == nil || !strings.Contains(err.Error(), owner(i)) && owner(i) != "header" {
				t.Fatalf("byte %d ^ %#x, of %s: %v", i, mask, owner(i), err)
			}
		}
	}
}

func TestCutOffFile(t *testing.T) {
	good := encode(t, nil, sample())
	for n := range good {
		if _, err := read(good[:n]); err == nil {
			t.Fatalf("a file cut off after %d of %d bytes was accepted", n, len(good))
		}
	}
}

func TestWriteErrors(t *testing.T) {
	one := []float32{1}
	for says, c := range map[string]struct {
		metadata map[string]string
		tensors  []Tensor
	}{
		"a: the name is taken":    {nil, []Tensor{{"a", []int{1}, one}, {"a", []int{1}, one}}},
		"__metadata__: the name":  {nil, []Tensor{{"__metadata__", []int{1}, one}}},
		"a: shape [2] of F32":     {nil, []Tensor{{"a", []int{2}, one}}},
		"of type []string":        {nil, []Tensor{{"a", []int{1}, []string{"x"}}}},
		"trefoil.crc32c.a is res": {map[string]string{"trefoil.crc32c.a": "1"}, nil},
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
	size := len(encode(t, nil, sample()))
	for n := 0; n < size; n += 7 {
		if err := Write(&failingWriter{n}, nil, sample()); !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := os.WriteFile(path, encode(t, nil, sample()), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := f.Int32("tokens"); err != nil || x[2] != 1<<30 {
		t.Errorf("%v, %v", x, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	os.WriteFile(path, []byte("not a tensor file"), 0o644)
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the error does not name the file: %v", err)
	}
}

func TestFloat16IsExact(t *testing.T) {
	for h := range 1 << 16 {
		exponent, fraction := h>>10&31, float64(h&1023)
		want := math.Ldexp(1+fraction/1024, exponent-15)
		switch exponent {
		case 0:
			want = math.Ldexp(fraction/1024, -14)
		case 31:
			want = math.Inf(1)
			if fraction != 0 {
				want = math.NaN()
			}
		}
		if h>>15 == 1 {
			want = -want
		}
		got := float64(float16(uint16(h)))
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("%#04x: %v, want %v", h, got, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(encode(f, map[string]string{"k": "v"}, sample()))
	f.Add(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, make([]byte, 8)))
	f.Add(file(`{"a":{"dtype":"BF16","shape":[0,9223372036854775807],"data_offsets":[0,0]}}`, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := read(b)
		if err != nil {
			return
		}
		total := 0
		for _, info := range r.Tensors() {
			if x, err := r.Bytes(info.Name); err == nil {
				total += len(x)
			}
			r.Float32(info.Name)
			r.Int32(info.Name)
		}
		if total > len(b) {
			t.Errorf("%d bytes of tensors in a file of %d", total, len(b))
		}
	})
}
