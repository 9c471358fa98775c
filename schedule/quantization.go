package schedule

import (
	"errors"
	"fmt"
	"math"

	"trefoil/quant"
)

// Bits of a number that is not quantized.
const Float = 32

// TernaryBits is how a ternary weight is written in a configuration: log2(3),
// rounded.
const TernaryBits = 1.58

// Weights says how the weights of a linear layer are quantized.
type Weights struct {
	Bits  float64     `yaml:"bits" doc:"1.58 (ternary) or 32 (float32)"`
	Scale quant.Scale `yaml:"scale" doc:"scale of a ternary tensor: absmean or median"`
}

// Activations says how the input of a linear layer is quantized.
type Activations struct {
	Bits int `yaml:"bits" doc:"bits of a linear layer's input, one scale a token: 2 to 8, or 32 (float32)"`
}

// Phase is one part of a run, in the order of the run. It sets the layers that
// it names; the others stay as the phase before left them, and before the
// first phase every layer is float32 (lambda 0).
type Phase struct {
	Name   string   `yaml:"name" doc:"name of the phase, for the log and the plots"`
	Share  float64  `yaml:"share" doc:"share of the run's steps; the shares of all phases add up to 1"`
	Layers []string `yaml:"layers" doc:"patterns of the linear layers that it sets, as blocks.0.*; [] for all"`
	Lambda Lambda   `yaml:"lambda" doc:"blend of float32 (0) and quantized (1) in the named layers"`

	Weights     *Weights     `yaml:"weights" doc:"in place of quantization.weights; what is left out stays; to mixed layers only bits 32 applies"`
	Activations *Activations `yaml:"activations" doc:"in place of quantization.activations"`
	Noise       *quant.Noise `yaml:"noise" doc:"in place of quantization.noise; what is left out stays"`
}

// SetDefaults gives a new phase what a configuration may leave out: all layers
// are quantized from its first step on.
func (p *Phase) SetDefaults() {
	p.Lambda = Lambda{Shape: Step, From: 0, To: 1}
}

// Quantization is the goal of a run and the way there. Without phases every
// layer is quantized from the first step on.
type Quantization struct {
	Weights      Weights         `yaml:"weights" doc:"weights of the linear layers"`
	Activations  Activations     `yaml:"activations" doc:"inputs of the linear layers"`
	Estimator    quant.Estimator `yaml:"estimator" doc:"straight-through estimator: identity, clipped or tanh; mixed layers have their grid's own"`
	GradientBits int             `yaml:"gradient_bits" doc:"bits of the gradient in the backward products: 16 (integer) or 32 (float32)"`
	Noise        quant.Noise     `yaml:"noise" doc:"noise injected into the weights"`
	Mixed        quant.Mixed     `yaml:"mixed" doc:"other quantizers for the weights of single layers: the first pattern that matches a layer decides; [] for none"`
	Phases       []Phase         `yaml:"phases" doc:"way to the quantized network; [] quantizes everything from step 0"`
}

// Quantizes reports whether any number of the network is to be quantized.
func (q Quantization) Quantizes() bool {
	return q.Weights.Bits != Float || q.Activations.Bits != Float || len(q.Mixed) > 0
}

// Validate checks what can be known without the model; [Quantization.Plan]
// checks the rest.
func (q Quantization) Validate() error {
	errs := []error{
		q.Weights.validate("weights"),
		q.Activations.validate("activations"),
		oneOf("estimator", q.Estimator, quant.Identity, quant.Clipped, quant.Tanh),
		validateNoise("noise", q.Noise),
	}
	if q.GradientBits != 16 && q.GradientBits != Float {
		errs = append(errs, fmt.Errorf("gradient_bits: %d is not supported: use 16 or 32", q.GradientBits))
	}
	for i, r := range q.Mixed {
		errs = append(errs, validateMixed(fmt.Sprintf("mixed[%d]", i), r))
	}
	total := 0.0
	for i, p := range q.Phases {
		errs = append(errs, q.validatePhase(fmt.Sprintf("phases[%d]", i), p))
		total += p.Share
	}
	if len(q.Phases) > 0 && !(math.Abs(total-1) <= shareTolerance) {
		errs = append(errs, fmt.Errorf("phases: the shares add up to %.4g: make them add up to 1", total))
	}
	return errors.Join(errs...)
}

// shareTolerance lets thirds be written as 0.333.
const shareTolerance = 2e-3

func (q Quantization) validatePhase(at string, p Phase) error {
	var errs []error
	if p.Name == "" {
		errs = append(errs, fmt.Errorf("%s.name: is empty: name the phase", at))
	}
	if !(p.Share > 0 && p.Share <= 1) {
		errs = append(errs, fmt.Errorf("%s.share: %v is outside 0..1: give the share of the run's steps", at, p.Share))
	}
	for i, pattern := range p.Layers {
		if err := quant.CheckPattern(pattern); err != nil {
			errs = append(errs, fmt.Errorf("%s.layers[%d]: %w", at, i, err))
		}
	}
	errs = append(errs, p.Lambda.validate(at+".lambda"))

	own := q.in(p, nil) // a mistake that it inherits is reported where it was made
	if p.Weights != nil && q.Weights.validate("") == nil {
		errs = append(errs, own.Weights.validate(at+".weights"))
	}
	if p.Activations != nil && q.Activations.validate("") == nil {
		errs = append(errs, own.Activations.validate(at+".activations"))
	}
	if p.Noise != nil && validateNoise("noise", q.Noise) == nil {
		errs = append(errs, validateNoise(at+".noise", own.Noise))
	}
	return errors.Join(errs...)
}

// validateMixed checks that training and the packed file can have a quantizer.
func validateMixed(at string, r quant.MixedRule) error {
	if err := r.Quantizer.Validate(); err != nil {
		return prefixed(at+".quantizer.", err)
	}
	rule, err := quant.New(r.Quantizer)
	if err != nil {
		return fmt.Errorf("%s.%w", at, err)
	}
	c := rule.Config()
	var errs []error
	if r.Layers == "" {
		errs = append(errs, fmt.Errorf("%s.layers: is empty: write a pattern, as blocks.0.* or *.ffn.down", at))
	}
	if c.Scheme != quant.Symmetric {
		errs = append(errs, fmt.Errorf("%s.quantizer.scheme: %s weights cannot be packed: use symmetric", at, c.Scheme))
	}
	switch c.Scale {
	case quant.Static:
		errs = append(errs, fmt.Errorf("%s.quantizer.scale: static is a scale that is given: use absmax or mse", at))
	case quant.LSQ, quant.SEQ:
		errs = append(errs, fmt.Errorf("%s.quantizer.scale: %s learns scales, which runs of language models do not: use mse", at, c.Scale))
	}
	inner := c.Granularity == quant.PerChannel && c.Axis != 0
	if inner || c.Granularity != quant.PerTensor && c.Granularity != quant.PerChannel && c.Granularity != quant.PerGroup {
		errs = append(errs, fmt.Errorf("%s.quantizer.granularity: scales by %s of axis %d cannot be packed: use tensor, channel with axis 0, or group", at, c.Granularity, c.Axis))
	}
	return errors.Join(errs...)
}

// prefixed puts a path before each of joined errors, which begin with a field.
func prefixed(at string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s%w", at, err)
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, prefixed(at, e))
	}
	return errors.Join(errs...)
}

func (w Weights) validate(at string) error {
	var bits error
	if w.Bits != TernaryBits && w.Bits != Float {
		bits = fmt.Errorf("%s.bits: %v is not supported: use 1.58 (ternary) or 32 (float32); other bits are for layers in quantization.mixed", at, w.Bits)
	}
	return errors.Join(bits, oneOf(at+".scale", w.Scale, quant.AbsMean, quant.Median))
}

func (a Activations) validate(at string) error {
	if a.Bits >= 2 && a.Bits <= 8 || a.Bits == Float {
		return nil
	}
	return fmt.Errorf("%s.bits: %d is not supported: use 2 to 8, or 32 (float32)", at, a.Bits)
}

func validateNoise(at string, n quant.Noise) error {
	if n.Kind == quant.NoNoise {
		return nil
	}
	errs := []error{oneOf(at+".kind", n.Kind, quant.NoiseKinds()...)}
	if !(n.Strength >= 0 && n.Strength <= 16) {
		errs = append(errs, fmt.Errorf("%s.strength: %v is outside 0..16: 1 is as strong as rounding", at, n.Strength))
	}
	if n.Block < 1 && n.Kind == quant.BlockNoise {
		errs = append(errs, fmt.Errorf("%s.block: %d is too few: a block has at least 1 weight", at, n.Block))
	}
	return errors.Join(append(errs, within(at+".share", n.Share, 0, 1))...)
}
