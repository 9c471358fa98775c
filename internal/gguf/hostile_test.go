package gguf

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A builder spells a file out field by field, right or wrong.
type builder struct{ b []byte }

func header(tensors, keys uint64) *builder {
	return (&builder{[]byte(magic)}).u32(version).u64(tensors, keys)
}

func (f *builder) u32(n ...uint32) *builder {
	for _, n := range n {
		f.b = binary.LittleEndian.AppendUint32(f.b, n)
	}
	return f
}

func (f *builder) u64(n ...uint64) *builder {
	for _, n := range n {
		f.b = binary.LittleEndian.AppendUint64(f.b, n)
	}
	return f
}

func (f *builder) str(s string) *builder { f.b = appendString(f.b, s); return f }

// tensor adds an entry; dims are in the order of the file.
func (f *builder) tensor(name string, t Type, offset uint64, dims ...uint64) *builder {
	return f.str(name).u32(uint32(len(dims))).u64(dims...).u32(uint32(t)).u64(offset)
}

// data pads to the alignment and adds n bytes.
func (f *builder) data(n int) *builder {
	f.b = append(f.b, make([]byte, align(int64(len(f.b)), 32)-int64(len(f.b))+int64(n))...)
	return f
}

// nested is an array in arrays, n deep.
func nested(n int) *builder {
	f := header(0, 1).str("k").u32(uint32(Array))
	for range n {
		f.u32(uint32(Array)).u64(1)
	}
	return f.u32(uint32(Uint8)).u64(0)
}

// rejected are files that the reader refuses, with what its error must say.
func rejected() map[string]rejection {
	return map[string]rejection{
		"empty":           {&builder{}, "byte 0"},
		"wrong magic":     {(&builder{[]byte("GGML")}).u32(3).u64(0, 0), `byte 0: "GGML" instead of "GGUF"`},
		"big-endian":      {(&builder{[]byte(magic)}).u32(3<<24).u64(0, 0), "big-endian file: convert it"},
		"version 1":       {(&builder{[]byte(magic)}).u32(1).u64(0, 0), "byte 4: version 1 of GGUF is not supported"},
		"2^63 tensors":    {header(1<<63, 0), "byte 8: 9223372036854775808 tensors cannot lie in a file of 24 bytes: it is cut off"},
		"2^63 keys":       {header(0, 1<<63), "byte 16: 9223372036854775808 metadata keys"},
		"keys cut off":    {header(0, 1).str("general.name").u32(uint32(String)), `metadata key 1 of 1 ("general.name"): byte 48: a string's length takes 8 bytes, but the file ends at byte 48`},
		"long key":        {header(0, 1).u64(1 << 40).data(0), "byte 24: the key's name has a length of 1099511627776 bytes: at most 65535"},
		"long string":     {header(0, 1).str("k").u32(uint32(String)).u64(1 << 62), `("k"): byte 45: a string takes 4611686018427387904 bytes, but the file ends at byte 45`},
		"2^63 elements":   {header(0, 1).str("k").u32(uint32(Array), uint32(String)).u64(1 << 63), "byte 37: an array of 9223372036854775808 elements of string"},
		"wrapping array":  {header(0, 1).str("k").u32(uint32(Array), uint32(Uint64)).u64(1<<61 + 1), "an array of 2305843009213693953 elements of uint64"},
		"unknown value":   {header(0, 1).str("k").u32(77).data(0), "byte 33: values of type 77 are not known"},
		"unknown element": {header(0, 1).str("k").u32(uint32(Array), 77).u64(0), "byte 37: elements of type 77 are not known"},
		"deep arrays":     {nested(100), "more than 4 arrays in each other"},
		"key twice":       {header(0, 2).str("k").u32(uint32(Uint32), 7).str("k").u32(uint32(Uint32), 8), `metadata key 2 of 2 ("k"): byte 41: the key is there twice`},
		"alignment 24":    {header(0, 1).str(alignmentKey).u32(uint32(Uint32), 24), "key general.alignment: 24 is not a power of two"},
		"alignment text":  {header(0, 1).str(alignmentKey).u32(uint32(String)).str("32"), "key general.alignment: string instead of an integer"},
		"no dimensions":   {header(1, 0).str("w").u32(9).data(99), `tensor 1 of 1 ("w"): byte 33: 9 dimensions`},
		"2^63 rows":       {header(1, 0).tensor("w", F32, 0, 1, 1<<63).data(0), `tensor 1 of 1 ("w"): byte 45: a dimension of 9223372036854775808`},
		"product":         {header(1, 0).tensor("w", F32, 0, 1<<40, 1<<40).data(0), `("w"): byte 53: shape [1099511627776 1099511627776] is too large`},
		"unknown type":    {header(1, 0).tensor("w", 99, 0, 4).data(16), `("w"): byte 45: type 99 of tensors is not known`},
		"ragged rows":     {header(1, 0).tensor("w", TQ1_0, 0, 200, 3).data(600), `("w"): byte 53: rows of 200 elements do not divide into the blocks of 256 that TQ1_0 has: [F16] would fit`},
		"offset":          {header(1, 0).tensor("w", F32, 8, 2).data(64), `("w"): byte 49: offset 8 is not a multiple of the alignment, 32`},
		"beyond the end":  {header(1, 0).tensor("w", F32, 32, 16).data(64), "tensor w: 64 bytes at offset 32 of the data, which begins at byte 64, reach beyond the file's end at byte 128"},
		"far beyond":      {header(1, 0).tensor("w", F32, math.MaxInt64&^31, 16).data(64), "tensor w: 64 bytes at offset 9223372036854775776"},
		"overlap":         {header(2, 0).tensor("v", F32, 0, 16).tensor("w", F32, 32, 8).data(64), "tensor w: begins at byte 128, but tensor v ends at byte 160: they overlap"},
		"tensor twice":    {header(2, 0).tensor("w", F32, 0, 8).tensor("w", F32, 32, 8).data(64), `tensor 2 of 2 ("w"): byte 57: the tensor is there twice`},
		"no data":         {header(1, 0).tensor("w", F32, 0, 1), "tensor w: 4 bytes at offset 0"},
	}
}

type rejection struct {
	file *builder
	says string
}

func TestRejects(t *testing.T) {
	for name, c := range rejected() {
		if _, err := read(c.file.b); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want it to say %q", name, err, c.says)
		}
	}
}

// Nothing that a small file says makes the reader allocate much.
func TestAllocatesNoMoreThanTheFileJustifies(t *testing.T) {
	for name, file := range map[string]*builder{
		"tensors":  header(1<<40, 0).data(1000),
		"keys":     header(0, 1<<40).data(1000),
		"string":   header(0, 1).str("k").u32(uint32(String)).u64(1 << 40).data(1000),
		"array":    header(0, 1).str("k").u32(uint32(Array), uint32(String)).u64(1 << 40).data(1000),
		"elements": header(1, 0).tensor("w", TQ1_0, 0, 1<<40).data(1000),
		"zeros":    header(0, 1).str("k").u32(uint32(Array), uint32(Array)).u64(20).data(1000),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := read(file.b)
		if err == nil {
			r.Value("k")
			r.Float32("w")
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
			t.Errorf("%s: %d bytes for a file of %d", name, got, len(file.b))
		}
	}
}

func TestCutOffFile(t *testing.T) {
	good := sample(t)
	r, err := read(good)
	if err != nil {
		t.Fatal(err)
	}
	last := r.Tensors()[len(r.Tensors())-1]
	for n := range last.Offset + last.Size { // padding at the end is not missed
		if _, err := read(good[:n]); err == nil {
			t.Fatalf("a file cut off after %d of %d bytes was accepted", n, len(good))
		}
	}
}

// A flipped bit may go unnoticed, but must not make the reader panic or reach
// out of the file.
func TestFlippedBits(t *testing.T) {
	good := sample(t)
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			use(bad)
		}
	}
}

// use reads all that a file has.
func use(b []byte) (elements int) {
	r, err := read(b)
	if err != nil {
		return 0
	}
	for _, k := range r.Keys() {
		r.Value(k.Name)
		r.Strings(k.Name)
		r.Ints(k.Name)
		r.Float(k.Name)
	}
	for _, info := range r.Tensors() {
		r.Bytes(info.Name)
		r.Scan(info.Name, func(x []float32) error { elements += len(x); return nil })
	}
	return elements
}

// A countingReader counts what is read.
type countingReader struct {
	r io.ReaderAt
	n int64
}

func (c *countingReader) ReadAt(b []byte, at int64) (int, error) {
	c.n += int64(len(b))
	return c.r.ReadAt(b, at)
}

// Opening a file of 10 GB reads its header, and a row of a large vocabulary's
// strings only when asked.
func TestOpensLargeFilesInAMoment(t *testing.T) {
	tokens := make([]string, 150_000)
	for i := range tokens {
		tokens[i] = strings.Repeat("x", i%13)
	}
	path := filepath.Join(t.TempDir(), "large.gguf")
	const rows = 2_500_000_000
	head := header(1, 1).str("tokenizer.ggml.tokens").u32(uint32(Array), uint32(String)).u64(uint64(len(tokens)))
	for _, s := range tokens {
		head.str(s)
	}
	head.tensor("w", F32, 0, 1, rows).data(0)
	if err := os.WriteFile(path, head.b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(head.b))+4*rows); err != nil {
		t.Skipf("no files with holes here: %v", err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	count := &countingReader{r: f}
	begin := time.Now()
	r, err := NewReader(count, int64(len(head.b))+4*rows)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("opening took %v", took)
	}
	if count.n > int64(len(head.b))+readAhead {
		t.Errorf("opening read %d bytes; the header has %d", count.n, len(head.b))
	}
	count.n = 0
	for v, err := range r.Elements("tokenizer.ggml.tokens") {
		if v != "" || err != nil {
			t.Errorf("the first token is %v, %v", v, err)
		}
		break
	}
	if count.n > readAhead {
		t.Errorf("the first token took %d bytes", count.n)
	}
}

// Writing holds a piece of a tensor, whatever its size.
func TestWritesLargeTensorsInPieces(t *testing.T) {
	const rows, length = 1 << 14, 4096
	row := make([]int8, length)
	tensor := Tensor{"w", TQ1_0, []int{rows, length}, func(w *TensorWriter) error {
		for range rows {
			if err := w.Ternary(row, 1); err != nil {
				return err
			}
		}
		return nil
	}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := Write(io.Discard, nil, []Tensor{tensor}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 10<<20 {
		t.Errorf("64 Mi elements took %d bytes of memory in all", got)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(sample(f))
	f.Add(nested(3).b)
	for _, c := range rejected() {
		f.Add(c.file.b)
	}
	f.Add(header(2, 0).tensor("v", TQ2_0, 0, 256, 2).tensor("w", 14, 160, 256, 0).data(132).b)
	f.Fuzz(func(t *testing.T, b []byte) {
		// The densest type has 256 elements in 54 bytes.
		if n := use(b); n > 5*len(b) {
			t.Errorf("%d elements in a file of %d bytes", n, len(b))
		}
	})
}
