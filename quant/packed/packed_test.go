package packed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"trefoil/arch"
	"trefoil/quant"
)

// sample is a model with a tensor of each type; it need not make sense as a
// network.
func sample() *Model {
	r := rand.New(rand.NewPCG(1, 2))
	codes := make([]int8, 3*7)
	for i := range codes {
		codes[i] = int8(r.IntN(3) - 1)
	}
	return &Model{
		Config: Config{
			Model: arch.Config{
				Vocab: 5, Dim: 8, Layers: 1, Heads: 2, KVHeads: 1, FF: 12, Context: 16,
				Activation: arch.SiLU, RopeBase: 10000, NormEps: 1e-5,
			},
			Quantization: Quantization{WeightScale: "absmean", Percentile: 99.9, CalibrationTokens: 64},
			Provenance:   Provenance{Run: "tiny", Step: 30, Loss: 1.25},
		},
		Tokenizer: []byte(`{"model":{"type":"BPE"}}`),
		Tensors: []Tensor{
			{Name: "embedding", Type: Float32, Shape: []int{2, 3}, Values: []float32{1, -0.5, 0, 1e-40, math.MaxFloat32, 0.1}},
			{
				Name: "blocks.0.attention.q", Type: Ternary, Shape: []int{3, 7}, Scale: 0.012345678, Codes: codes,
				Activation: &Activation{Bits: 8, AbsMax: 3.3333333, Percentile: 2.7},
			},
			{Name: "norm", Type: Float16, Shape: []int{3}, Values: []float32{1, -2.5, 0x1p-24}},
			{
				Name: "blocks.0.ffn.up", Type: Codes(Bits3), Shape: []int{3, 8}, Matrix: threeBits(),
				Activation: &Activation{Bits: 8, AbsMax: 3, Percentile: 2},
			},
		},
	}
}

// threeBits is a matrix with two scales a row.
func threeBits() *Matrix {
	codes := make([]int8, 24)
	for i := range codes {
		codes[i] = int8(i%8 - 4)
	}
	m, err := NewMatrix(Bits3, 3, 8, codes, Scales{Granularity: "group", Group: 4, Values: []float32{1, -0.5, 0, 0.1, 1e-38, 3}})
	if err != nil {
		panic(err)
	}
	return m
}

func encode(t testing.TB, m *Model) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := Encode(&b, m)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(b.Len()) {
		t.Errorf("Encode wrote %d bytes and said %d", b.Len(), n)
	}
	return b.Bytes()
}

func TestRoundTripIsExact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.trefoil")
	size, err := Write(path, sample())
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(); err != nil {
		t.Error(err)
	}
	m, err := f.Model()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(m, sample()) { // also after Close
		t.Errorf("got %+v\nwant %+v", m, sample())
	}
	if info, _ := os.Stat(path); info.Size() != size {
		t.Errorf("the file has %d bytes, Write said %d", info.Size(), size)
	}
}

// The layout is checked against the package comment with nothing of the
// package's own code.
func TestLayout(t *testing.T) {
	b := encode(t, sample())
	if string(b[:8]) != "trefoil\n" || binary.LittleEndian.Uint32(b[8:]) != 1 {
		t.Errorf("the file begins with %q", b[:12])
	}
	if got := binary.LittleEndian.Uint64(b[16:]); got != uint64(len(b)) {
		t.Errorf("size field %d, file %d", got, len(b))
	}
	at, n := binary.LittleEndian.Uint64(b[48:]), binary.LittleEndian.Uint64(b[56:])
	if at%64 != 0 || string(b[at:at+n]) != `{"model":{"type":"BPE"}}` {
		t.Errorf("tokenizer at %d: %q", at, b[at:at+n])
	}
	f, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range f.Index() {
		if info.Offset%64 != 0 {
			t.Errorf("%s begins at %d", info.Name, info.Offset)
		}
	}
	q, codes := f.Index()[1], sample().Tensors[1].Codes
	if q.Length != 5 { // 21 codes
		t.Fatalf("21 ternary codes take %d bytes", q.Length)
	}
	for i, c := range codes {
		digit := int(b[q.Offset+int64(i/5)]) / []int{81, 27, 9, 3, 1}[i%5] % 3
		if digit-1 != int(c) {
			t.Errorf("code %d is %d in the file, want %d", i, digit-1, c)
		}
	}
	if got := binary.LittleEndian.Uint16(b[f.Index()[2].Offset+2:]); got != 0xc100 { // -2.5
		t.Errorf("-2.5 in half precision is %#x", got)
	}
}

func TestSameModelSameBytes(t *testing.T) {
	if !bytes.Equal(encode(t, sample()), encode(t, sample())) {
		t.Error("two files of one model differ")
	}
}

// Every byte belongs to something that the error names.
func TestEveryFlippedByteIsNamed(t *testing.T) {
	good := encode(t, sample())
	f, err := Decode(good)
	if err != nil {
		t.Fatal(err)
	}
	owner := func(at int64) string {
		if at < headerSize {
			return "header"
		}
		for i, s := range f.header.sections {
			if at < s.offset {
				return "padding before section " + sectionNames[i]
			}
			if at < s.offset+s.length {
				return "section " + sectionNames[i]
			}
		}
		for _, info := range f.index {
			if at < info.Offset {
				return "padding before tensor " + info.Name
			}
			if at < info.Offset+info.Length {
				return "tensor " + info.Name
			}
		}
		return "nothing"
	}
	for i := range good {
		for _, mask := range []byte{1, 0x80, 0xff} {
			bad := slices.Clone(good)
			bad[i] ^= mask
			f, err := Decode(bad)
			if err == nil {
				err = f.Verify()
			}
			if want := owner(int64(i)) + ": "; err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("byte %d ^ %#x: got %v, want it to say %q", i, mask, err, want)
			}
		}
	}
}

func TestCutOffAndExtendedFiles(t *testing.T) {
	good := encode(t, sample())
	for n := range good {
		if _, err := Decode(good[:n]); err == nil || !strings.Contains(err.Error(), "header: ") {
			t.Fatalf("cut off after %d bytes: %v", n, err)
		}
	}
	if _, err := Decode(append(slices.Clone(good), 0)); err == nil {
		t.Error("a byte too many was accepted")
	}
}

// reseal makes the checksums right again after a deliberate change.
func reseal(b []byte) []byte {
	for i := range sectionCount {
		row := b[sectionsAt+i*sectionRow:]
		at, n := binary.LittleEndian.Uint64(row), binary.LittleEndian.Uint64(row[8:])
		if at < uint64(len(b)) && n <= uint64(len(b))-at {
			binary.LittleEndian.PutUint32(row[16:], checksum(b[at:at+n]))
		}
	}
	binary.LittleEndian.PutUint32(b[crcAt:], checksum(b[:crcAt]))
	return b
}

// Numbers that lie, under checksums that are right.
func TestForgedFiles(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte {
			if len(old) != len(new) || bytes.Count(b, []byte(old)) == 0 {
				t.Fatalf("cannot replace %q by %q", old, new)
			}
			return reseal(bytes.Replace(b, []byte(old), []byte(new), 1))
		}
	}
	for name, c := range map[string]struct {
		forge func([]byte) []byte
		says  string
	}{
		"version":        {func(b []byte) []byte { b[8] = 3; return reseal(b) }, "version 3 of the format is not supported, only 1 to 2"},
		"version 0":      {func(b []byte) []byte { b[8] = 0; return reseal(b) }, "version 0"},
		"section length": {func(b []byte) []byte { b[sectionsAt+8+7] = 0x7f; return reseal(b) }, "section config: offset"},
		"section offset": {func(b []byte) []byte { b[sectionsAt+sectionRow+7] = 0xff; return reseal(b) }, "section tokenizer: offset"},
		"model":          {replace(`"dim":8`, `"dim":9`), "section config: model: dim"},
		"config JSON":    {replace(`{"model":{"vocab"`, `["model":{"vocab"`), "section config: "},
		"shape":          {replace(`"shape":[3,7]`, `"shape":[9,9]`), "tensor blocks.0.attention.q: 5 bytes"},
		"negative":       {replace(`"shape":[3,7]`, `"shape":[3,-]`), "section index: "},
		"zero":           {replace(`"shape":[3,7]`, `"shape":[3,0]`), "dimension"},
		"type":           {replace(`"type":"ternary"`, `"type":"quinary"`), "quinary"},
		"scales":         {replace(`"scales":6`, `"scales":5`), "5 scales for shape [3 8]"},
		"no scales":      {replace(`"scales":6`, `"scales":0`), "0 scales for shape [3 8]"},
		"other groups":   {replace(`"scales":6`, `"scales":8`), "tensor blocks.0.ffn.up: "},
		"name twice":     {replace(`"name":"norm","type":"float16"`, `"name":"norm","type":"float15"`), "float15"},
	} {
		if _, err := Decode(c.forge(encode(t, sample()))); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want it to say %q", name, err, c.says)
		}
	}
}

// Scales of a type are stored as that, which the version says; files without
// them stay of version 1.
func TestScaleTypesInFiles(t *testing.T) {
	for kind, size := range map[quant.ScaleType]int64{quant.Float16: 2, quant.PowerOfTwo: 1} {
		values := []float32{1, 0.5, 0x1p-14, 2, 0.25, 1024}
		codes := make([]int8, 24)
		for i := range codes {
			codes[i] = int8(i%8 - 4)
		}
		matrix, err := NewMatrix(Bits3, 3, 8, codes, Scales{Granularity: "group", Group: 4, Values: values, Type: kind})
		if err != nil {
			t.Fatal(err)
		}
		m := sample()
		m.Tensors[3].Matrix = matrix
		b := encode(t, m)
		if got := binary.LittleEndian.Uint32(b[8:]); got != 2 {
			t.Errorf("%s: version %d, want 2", kind, got)
		}
		f, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		info := f.Index()[3]
		if info.Length != 6*size+96 || info.ScaleType != kind {
			t.Errorf("%s: %d bytes of scales %q", kind, info.Length, info.ScaleType)
		}
		stored := b[info.Offset:]
		want := []byte{0, 0x3c, 0, 0x38} // 1 and 0.5
		if kind == quant.PowerOfTwo {
			want = []byte{127, 126, 113, 128, 125, 137}
		}
		if !bytes.HasPrefix(stored, want) {
			t.Errorf("%s: stored as %v, want %v...", kind, stored[:6], want)
		}
		if back, err := f.Model(); err != nil || !reflect.DeepEqual(back, m) {
			t.Errorf("%s: read as %+v (%v)", kind, back, err)
		}
		old := slices.Clone(b)
		old[8] = 1
		if _, err := Decode(reseal(old)); err == nil || !strings.Contains(err.Error(), "tensor blocks.0.ffn.up: type bits3 with scales of type") {
			t.Errorf("%s in version 1: %v", kind, err)
		}
		old[8] = 2
		old[info.Offset+1] = 0xfc // an infinity, or not positive, as float16; 2^125 as a power
		old[info.Offset] = 0xff   // an infinity as a power
		f, err = Decode(reseal(old))
		if err != nil {
			t.Fatal(err)
		}
		if f.index[3].CRC = checksum(old[info.Offset : info.Offset+info.Length]); f.Verify() == nil {
			t.Errorf("%s: a scale that is no positive number was read", kind)
		}
	}
}

func TestNoTensors(t *testing.T) {
	m := sample()
	m.Tensors = nil
	if f, err := Decode(encode(t, m)); err != nil || f.Verify() != nil {
		t.Error(err)
	}
}

func TestByteThatIsNoTrits(t *testing.T) {
	b := encode(t, sample())
	f, _ := Decode(b)
	info := &f.index[1]
	b[info.Offset] = 243
	info.CRC = checksum(b[info.Offset : info.Offset+info.Length])
	if _, err := f.Load(info.Name); err == nil || !strings.Contains(err.Error(), "tensor blocks.0.attention.q") {
		t.Errorf("got %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	nan := float32(math.NaN())
	for says, change := range map[string]func(*Model){
		"tensor norm: element 1 is 65520":          func(m *Model) { m.Tensors[2].Values[1] = 65520 },
		"tensor embedding: element 2 is NaN":       func(m *Model) { m.Tensors[0].Values[2] = nan },
		"tensor blocks.0.attention.q: its scale":   func(m *Model) { m.Tensors[1].Scale = nan },
		"tensor norm: shape [4] has 4 elements":    func(m *Model) { m.Tensors[2].Shape = []int{4} },
		"tensor norm: type \"int8\"":               func(m *Model) { m.Tensors[2].Type = "int8" },
		"tensor embedding: the name is taken":      func(m *Model) { m.Tensors[2].Name = "embedding" },
		"tensor blocks.0.attention.q: activations": func(m *Model) { m.Tensors[1].Activation.Bits = 9 },
		"type bits4 of shape [3 8]":                func(m *Model) { m.Tensors[3].Type = "bits4" },
		"type bits3 of shape [8 3]":                func(m *Model) { m.Tensors[3].Shape = []int{8, 3} },
		"static activation scales 0 and 2.7":       func(m *Model) { m.Tensors[1].Activation.AbsMax = 0 },
		"section config: model: ":                  func(m *Model) { m.Config.Model.Heads = 3 },
	} {
		m := sample()
		change(m)
		if _, err := Encode(io.Discard, m); err == nil || !strings.Contains(err.Error(), says) {
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

func TestFullDisk(t *testing.T) {
	size := len(encode(t, sample()))
	for n := 0; n < size; n += 13 {
		if _, err := Encode(&failingWriter{n}, sample()); !errors.Is(err, errFull) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestWriteKeepsOldFileOnFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.trefoil")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := sample()
	m.Tensors[0].Values[0] = float32(math.Inf(1))
	if _, err := Write(path, m); err == nil {
		t.Fatal("an infinite weight was written")
	}
	if b, _ := os.ReadFile(path); string(b) != "old" {
		t.Errorf("the file now holds %q", b)
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{"empty": "", "text": strings.Repeat("text ", 100)} {
		path := filepath.Join(folder, name)
		os.WriteFile(path, []byte(content), 0o644)
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "not a .trefoil file") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(folder); err == nil {
		t.Error("a folder was opened")
	}
	if _, err := Open(filepath.Join(folder, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestRandomSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 8 {
		m := sample()
		m.Tokenizer = make([]byte, r.IntN(300))
		for i := range r.IntN(40) {
			codes := make([]int8, 1+r.IntN(2*chunk))
			for j := range codes {
				codes[j] = int8(r.IntN(3) - 1)
			}
			m.Tensors = append(m.Tensors, Tensor{
				Name: strings.Repeat("x", i+1), Type: Ternary, Shape: []int{len(codes)}, Scale: r.Float32(), Codes: codes,
			})
		}
		f, err := Decode(encode(t, m))
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Model()
		if err != nil || !slices.EqualFunc(got.Tensors, m.Tensors, func(a, b Tensor) bool { return reflect.DeepEqual(a, b) }) {
			t.Fatalf("%d tensors did not come back: %v", len(m.Tensors), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	good := encode(f, sample())
	f.Add(good)
	f.Add(reseal(bytes.Replace(slices.Clone(good), []byte(`"shape":[3,7]`), []byte(`"shape":[7,3]`), 1)))
	f.Add(good[:headerSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, b := range [][]byte{b, reseal(append(slices.Clone(b), make([]byte, max(0, headerSize-len(b)))...))} {
			file, err := Decode(b)
			if err != nil {
				continue
			}
			file.Verify()
			m, err := file.Model()
			if err != nil {
				continue
			}
			for _, tensor := range m.Tensors {
				if n := len(tensor.Codes) + len(tensor.Values); n > 5*len(b) {
					t.Errorf("%d elements out of %d bytes", n, len(b))
				}
			}
		}
	})
}
