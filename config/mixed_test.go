package config

import (
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"trefoil/quant"
)

func TestParseMixed(t *testing.T) {
	want := quant.Mixed{
		{Layers: "*.attention.?", Quantizer: quant.Config{Bits: 4, Granularity: quant.PerGroup, Group: 64, Scale: quant.MSE}},
		{Layers: "blocks.0.*", Quantizer: quant.Config{Bits: 8, Granularity: quant.PerBlock, Block: quant.Block{2, 3}}},
		{Layers: "*"},
	}
	text, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseMixed("plan.yaml", text)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s is read as %+v (%v)", text, got, err)
	}
	if empty, err := ParseMixed("plan.yaml", nil); err != nil || len(empty) > 0 {
		t.Errorf("nothing is read as %+v (%v)", empty, err)
	}
}

// What yaml.Unmarshal would skip is an error, with its line and the remedy.
func TestParseMixedRefuses(t *testing.T) {
	const text = `- layers: "*.ffn.down"
  quantizer: {bts: 4}
- layers: "["
  quantizer:
    bits: 1.6
- layers: "*"
  quantizer: {bits: 4, scale: lsq, rounding: floor}
`
	_, err := ParseMixed("plan.yaml", []byte(text))
	if err == nil || !strings.Contains(err.Error(), `plan.yaml:2: [0].quantizer.bts: is not a field`) || !strings.Contains(err.Error(), "bits") {
		t.Errorf("a field that is not known: %v", err)
	}
	for _, want := range []string{"plan.yaml:3: [1].layers: \"[\" is not a pattern", "plan.yaml:5: [1].quantizer.bits: 1.6 is not supported", "plan.yaml:7: [2].quantizer.rounding: the gradients of lsq"} {
		_, err := ParseMixed("plan.yaml", []byte(strings.Replace(text, "bts", "bits", 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := ParseMixed("plan.yaml", []byte("layers: x")); err == nil || !strings.Contains(err.Error(), "plan.yaml:1") {
		t.Errorf("a mapping: %v", err)
	}
}
