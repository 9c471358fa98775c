package quant

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"trefoil/internal/kernel"
)

func TestMixedPrecision(t *testing.T) {
	const text = `
- layers: "*.attention.?"
  quantizer: {bits: 4, granularity: group, group: 64, scale: mse}
- layers: blocks.0.*
  quantizer: {bits: 8, scheme: affine, granularity: channel, block: [2, 3], scale_type: power-of-two}
- layers: blocks.*
  quantizer: {}
`
	var m Mixed
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&m); err != nil {
		t.Fatal(err)
	}
	if m[1].Quantizer.Block != [2]int{2, 3} || m[1].Quantizer.ScaleType != PowerOfTwo {
		t.Errorf("read as %+v", m[1])
	}
	quantizers, err := m.Build([]string{"blocks.0.attention.q", "blocks.0.ffn.up", "blocks.1.ffn.up", "embedding"})
	if err != nil {
		t.Fatal(err)
	}
	for name, bits := range map[string]float64{"blocks.0.attention.q": 4, "blocks.0.ffn.up": 8, "blocks.1.ffn.up": Ternary} {
		if got := quantizers[name].Config().Bits; got != bits {
			t.Errorf("%s has %v bits, want %v", name, got, bits)
		}
	}
	if quantizers["embedding"] != nil {
		t.Error("a layer that no pattern matches has a quantizer")
	}
	again, err := yaml.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back Mixed
	if blocks := strings.Count(string(again), "block:"); blocks != 1 {
		t.Errorf("written as\n%s with %d blocks, want that of the second rule alone", again, blocks)
	}
	if err := yaml.Unmarshal(again, &back); err != nil || !slices.Equal(m, back) {
		t.Errorf("written as\n%s and read as %+v (%v)", again, back, err)
	}
}

func TestMixedPrecisionErrors(t *testing.T) {
	_, err := Mixed{
		{"blocks.*", Config{}},
		{"blocks.0.*", Config{}}, // the first rule has it
		{"[", Config{}},
		{"embedding", Config{Bits: 9}},
		{"head", Config{}},
	}.Build([]string{"blocks.0.q", "embedding"})
	for _, want := range []string{
		`[1].layers: "blocks.0.*" decides about no layer: earlier rules take all it matches, such as blocks.0.q`, `[2].layers: "[" is not a pattern`,
		"[3].quantizer: quantizer: bits: 9", `[4].layers: "head" decides about no layer: it matches none, as blocks.0.q`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := (Mixed{{"*", Config{}}}).Build([]string{"a/b/c"}); err == nil || !strings.Contains(err.Error(), "a * stops at a slash") {
		t.Errorf("a star for slashes: %v", err)
	}
}

func TestCheckPattern(t *testing.T) {
	for pattern, ok := range map[string]bool{"blocks.0.*": true, "*.[qk]": true, "head": true, "": false, "[": false, "a.[b": false, `\`: false} {
		if err := CheckPattern(pattern); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	if _, err := (Mixed{{"a.[b", Config{}}}).Build(nil); err == nil || !strings.Contains(err.Error(), `[0].layers: "a.[b" is not a pattern`) {
		t.Errorf("without layers: %v", err)
	}
}

// The tensors of a batch are those of single calls, in shared buffers that the
// next batch uses again.
func TestBatch(t *testing.T) {
	half := make([]uint16, 60)
	kernel.EncodeFloat16(half, normal(60, 2))
	wide := make([]float32, 60)
	kernel.DecodeFloat16(wide, half)
	inputs := []Input{{Float32: normal(24, 1), Shape: []int{4, 6}}, {Float16: half, Shape: []int{2, 5, 6}}}
	values := [][]float32{inputs[0].Float32, wide}
	for _, c := range []Config{{}, {Bits: 4, Scheme: Affine, Granularity: PerToken}} {
		q, b := mustNew(t, c), new(Batch)
		last := 0
		report := func(done, total int) {
			if total != 84 {
				t.Errorf("total %d, want 84", total)
			}
			last = done
		}
		for range 2 {
			if err := q.QuantizeBatch(context.Background(), b, inputs, report); err != nil {
				t.Fatal(err)
			}
		}
		if last != 84 {
			t.Errorf("progress ends at %d", last)
		}
		for i, in := range inputs {
			want := mustQuantize(t, c, values[i], in.Shape...)
			got := b.Tensors[i]
			if !slices.Equal(got.Codes, want.Codes) || !slices.Equal(got.Scales, want.Scales) || !slices.Equal(got.Zeros, want.Zeros) {
				t.Errorf("%+v: tensor %d differs", c, i)
			}
		}
		if &b.Tensors[0].Codes[0] != &b.codes[0] || cap(b.Tensors[0].Codes) != 24 {
			t.Error("the codes do not lie in the shared buffer")
		}
		run := func() { _ = q.QuantizeBatch(context.Background(), b, inputs, nil) }
		if n := testing.AllocsPerRun(10, run); n >= 1 {
			t.Errorf("%+v: %v allocations", c, n)
		}
	}
	flat := []Input{{Float32: inputs[0].Float32}}
	if b := new(Batch); mustNew(t, Config{}).QuantizeBatch(context.Background(), b, flat, nil) != nil || !slices.Equal(b.Tensors[0].Shape, []int{24}) {
		t.Errorf("without a shape: %+v", b.Tensors)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := mustNew(t, Config{}).QuantizeBatch(cancelled, new(Batch), inputs, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := mustNew(t, Config{}).QuantizeBatch(context.Background(), new(Batch), []Input{{Float32: normal(5, 1), Shape: []int{4}}}, nil); err == nil || !strings.Contains(err.Error(), "input 0 of 1") {
		t.Errorf("a wrong shape: %v", err)
	}
	both := []Input{inputs[0], {Float32: wide, BFloat16: half, Shape: []int{60}}}
	if err := mustNew(t, Config{}).QuantizeBatch(context.Background(), new(Batch), both, nil); err == nil || !strings.Contains(err.Error(), "input 1 of 2: quantizing: an input of several types") {
		t.Errorf("two types: %v", err)
	}
}
