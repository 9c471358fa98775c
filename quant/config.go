package quant

import (
	"errors"
	"fmt"
	"slices"
)

// Ternary is how the bits of a ternary code are written: log2(3), rounded.
const Ternary = 1.58

// Config describes a scalar quantizer. Its zero value is the weight quantizer
// of BitNet b1.58: ternary codes, absmean scale, one scale a tensor, half to
// even, float32 scale. The empty string stands for the first name of each
// list below.
type Config struct {
	// Bits of a code: 1, 1.58 (ternary; 0 means the same) or 2 to 8.
	Bits float64 `yaml:"bits" json:"bits" doc:"bits of a code: 1, 1.58 (ternary) or 2 to 8"`
	// Scheme is symmetric about zero, or affine with a zero point.
	Scheme Scheme `yaml:"scheme,omitempty" json:"scheme,omitempty" doc:"symmetric, or affine with a zero point"`
	// Scale is the rule that gives a group its scale. Empty means absmean
	// for 1 and 1.58 bits, absmax for more, minmax for the affine scheme.
	Scale Scale `yaml:"scale,omitempty" json:"scale,omitempty" doc:"rule for the scales: absmean, absmax, mse and others; empty for the usual one"`
	// Granularity says which elements share a scale.
	Granularity Granularity `yaml:"granularity,omitempty" json:"granularity,omitempty" doc:"which weights share a scale: tensor, channel, token, group or block"`
	// Axis of the granularity channel; negative counts from the last.
	Axis int `yaml:"axis,omitempty" json:"axis,omitempty" doc:"axis of the channels"`
	// Group is the number of elements of a group, which divides the last
	// dimension.
	Group int `yaml:"group,omitempty" json:"group,omitempty" doc:"weights of a group, which divides a row"`
	// Block is the height and width of a block, which divide the last two
	// dimensions.
	Block Block `yaml:"block,omitempty,flow" json:"block,omitzero" doc:"height and width of a block"`
	// Codes is full (-128 to 127 for 8 bits) or narrow (-127 to 127).
	Codes Codes `yaml:"codes,omitempty" json:"codes,omitempty" doc:"full, or narrow: as many codes below zero as above"`
	// ScaleType is the type that a scale is rounded to.
	ScaleType ScaleType `yaml:"scale_type,omitempty" json:"scale_type,omitempty" doc:"type that a scale is rounded to: float32, float16 or power-of-two"`
	// Rounding of a value to a code.
	Rounding Rounding `yaml:"rounding,omitempty" json:"rounding,omitempty" doc:"of a value to a code; empty for half to even"`
	// Seed of stochastic rounding, which depends on Tensor.Draw besides.
	Seed uint64 `yaml:"seed,omitempty" json:"seed,omitempty" doc:"of stochastic rounding"`
	// Percentile that the rule percentile keeps, in per cent; 0 means 99.9.
	Percentile float64 `yaml:"percentile,omitempty" json:"percentile,omitempty" doc:"what the rule percentile keeps, in per cent; 0 means 99.9"`
	// Sigmas is the k of the rule sigma; 0 means 3.
	Sigmas float64 `yaml:"sigmas,omitempty" json:"sigmas,omitempty" doc:"k of the rule sigma; 0 means 3"`
	// Threshold is the t of the rule ttq; 0 means 0.05.
	Threshold float64 `yaml:"threshold,omitempty" json:"threshold,omitempty" doc:"t of the rule ttq; 0 means 0.05"`
}

// Block is the height and width of a block of elements that share a scale.
type Block [2]int

// IsZero reports whether there is no block: YAML and JSON leave it out then.
func (b Block) IsZero() bool { return b == Block{} }

// Scheme says where a grid has its zero.
type Scheme string

const (
	// Symmetric grids have code 0 at the value 0: x = code * scale.
	Symmetric Scheme = "symmetric"
	// Affine grids have a zero point: x = (code - zero) * scale
	// (Jacob et al. 2018, arXiv:1712.05877, equation 1).
	Affine Scheme = "affine"
)

// Codes says whether a uniform grid uses its lowest code.
type Codes string

const (
	// Full uses all 2^bits codes.
	Full Codes = "full"
	// Narrow leaves out the lowest, so that a symmetric grid has as many
	// codes below zero as above (arXiv:1712.05877, section 3.1).
	Narrow Codes = "narrow"
)

// ScaleType is the number type of a scale.
type ScaleType string

const (
	// Float32 keeps the scale as computed.
	Float32 ScaleType = "float32"
	// Float16 rounds the scale to binary16, half to even; at least its
	// smallest positive number.
	Float16 ScaleType = "float16"
	// PowerOfTwo rounds the scale up to a power of two, so that a product
	// with it is a shift and no value is clipped that was not before
	// (Jain et al. 2020, arXiv:1903.08066, equation 4).
	PowerOfTwo ScaleType = "power-of-two"
)

// Schemes lists the schemes.
func Schemes() []Scheme { return []Scheme{Symmetric, Affine} }

// CodeRanges lists the ranges of codes.
func CodeRanges() []Codes { return []Codes{Full, Narrow} }

// ScaleTypes lists the types of a scale.
func ScaleTypes() []ScaleType { return []ScaleType{Float32, Float16, PowerOfTwo} }

// resolved fills in what the empty values of c stand for.
func (c Config) resolved() Config {
	if c.Bits == 0 {
		c.Bits = Ternary
	}
	first(&c.Scheme, Symmetric)
	first(&c.Granularity, PerTensor)
	first(&c.Codes, Full)
	first(&c.ScaleType, Float32)
	first(&c.Rounding, HalfEven)
	switch {
	case c.Scheme == Affine:
		first(&c.Scale, MinMax)
	case c.Bits < 2:
		first(&c.Scale, AbsMean)
	default:
		first(&c.Scale, AbsMax)
	}
	first(&c.Percentile, 99.9)
	first(&c.Sigmas, 3)
	first(&c.Threshold, 0.05)
	return c
}

// first sets *v to what its zero value stands for.
func first[T comparable](v *T, meaning T) {
	if *v == *new(T) {
		*v = meaning
	}
}

// Validate reports everything about the configuration that makes no sense
// whatever the tensor's shape.
func (c Config) Validate() error {
	c = c.resolved()
	bits := c.validateBits()
	return errors.Join(
		bits,
		oneOf("scheme", c.Scheme, Schemes()),
		oneOf("codes", c.Codes, CodeRanges()),
		oneOf("scale_type", c.ScaleType, ScaleTypes()),
		oneOf("rounding", c.Rounding, Roundings()),
		c.validateGranularity(),
		c.validateScale(bits == nil),
		c.validateNumbers(),
	)
}

func (c Config) validateBits() error {
	switch {
	case c.Bits != 1 && c.Bits != Ternary && !slices.Contains([]float64{2, 3, 4, 5, 6, 7, 8}, c.Bits):
		return fmt.Errorf("bits: %v is not supported: use 1, 1.58 or 2 to 8", c.Bits)
	case c.Bits < 2 && c.Scheme == Affine:
		return fmt.Errorf("scheme: a grid of %v bits cannot be affine: use symmetric, or 2 bits or more", c.Bits)
	case c.Bits < 2 && c.Codes == Narrow:
		return fmt.Errorf("codes: a grid of %v bits has no narrow range: use full", c.Bits)
	}
	return nil
}

// validateScale checks the rule, and whether it suits the grid if that is one.
func (c Config) validateScale(isGrid bool) error {
	rule, ok := rules[c.Scale]
	if !ok {
		return fmt.Errorf("scale: %q is not known: use one of %q", string(c.Scale), Scales())
	}
	if !isGrid {
		return nil
	}
	grid := gridOf(c.Bits, c.Scheme)
	if !slices.Contains(rule.grids, grid) {
		return fmt.Errorf("scale: %s is no rule for %s grids: use one of %q", c.Scale, grid, ScalesFor(c.Bits, c.Scheme))
	}
	var errs []error
	if (rule.threshold || grid == binaryGrid) && c.Rounding != HalfEven {
		errs = append(errs, fmt.Errorf("rounding: with the scale %s at %v bits a threshold decides, not %s rounding: leave it out", c.Scale, c.Bits, c.Rounding))
	}
	if c.Scale == SEQ && (c.Bits == 8 || c.Codes == Narrow) {
		errs = append(errs, errors.New("scale: seq has 2 to 7 bits and the full range: use lsq"))
	}
	if learned := c.Scale == LSQ || c.Scale == SEQ; learned && c.Rounding != HalfEven {
		errs = append(errs, fmt.Errorf("rounding: the gradients of %s are those of rounding half to even, not %s: leave it out", c.Scale, c.Rounding))
	} else if learned && c.ScaleType != Float32 {
		errs = append(errs, fmt.Errorf("scale_type: scales that %s learns are float32, not %s: leave it out", c.Scale, c.ScaleType))
	}
	return errors.Join(errs...)
}

// validateNumbers checks the arguments of the rules that have one.
func (c Config) validateNumbers() error {
	var errs []error
	if !(c.Percentile > 0 && c.Percentile <= 100) {
		errs = append(errs, fmt.Errorf("percentile: %v is outside 0..100: 99.9 keeps all but one value in a thousand", c.Percentile))
	}
	if !(c.Sigmas > 0 && c.Sigmas <= 100) {
		errs = append(errs, fmt.Errorf("sigmas: %v is outside 0..100: 3 is usual", c.Sigmas))
	}
	if !(c.Threshold > 0 && c.Threshold < 1) {
		errs = append(errs, fmt.Errorf("threshold: %v is outside 0..1: 0.05 is usual", c.Threshold))
	}
	return errors.Join(errs...)
}

func oneOf[T ~string](field string, v T, list []T) error {
	if !slices.Contains(list, v) {
		return fmt.Errorf("%s: %q is not known: use one of %q", field, string(v), list)
	}
	return nil
}
