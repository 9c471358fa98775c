package schedule

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"trefoil/quant"
)

// ternary is the goal of most runs: b1.58 with 8-bit activations.
func ternary(phases ...Phase) Quantization {
	return Quantization{
		Weights:      Weights{TernaryBits, quant.AbsMean},
		Activations:  Activations{8},
		Estimator:    quant.Identity,
		GradientBits: 16,
		Noise:        quant.Noise{Kind: quant.NoNoise},
		Phases:       phases,
	}
}

// model names the linear layers of a model of n blocks with two layers each.
func model(blocks int) []string {
	var names []string
	for i := range blocks {
		names = append(names, fmt.Sprintf("blocks.%d.attention.q", i), fmt.Sprintf("blocks.%d.ffn.down", i))
	}
	return names
}

func plan(t *testing.T, q Quantization, layers []string, steps int) *Plan {
	t.Helper()
	p, err := q.Plan(layers, steps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// lambdas returns lambda of each layer at a step.
func lambdas(p *Plan, step int) []float64 {
	var all []float64
	for _, s := range p.At(step) {
		all = append(all, s.Lambda)
	}
	return all
}

var now = Lambda{Shape: Step, To: 1}

func TestTernaryFromTheStart(t *testing.T) {
	p := plan(t, ternary(), model(2), 100)
	want := State{Weights{1.58, quant.AbsMean}, Activations{8}, quant.Noise{Kind: quant.NoNoise}, 1}
	for _, step := range []int{0, 50, 100} {
		for i, s := range p.At(step) {
			if s != want {
				t.Errorf("step %d, layer %d: %+v, want %+v", step, i, s, want)
			}
		}
		if !p.Complete(step) || p.Lambda(step) != 1 {
			t.Errorf("step %d: not complete", step)
		}
	}
	if i, name := p.Phase(50); i != 0 || name != "" {
		t.Errorf("phase %d %q", i, name)
	}
	if b := p.Boundaries(); !slices.Equal(b, []int{0}) {
		t.Errorf("boundaries %v", b)
	}
}

func TestFloat32Run(t *testing.T) {
	q := ternary()
	q.Weights.Bits, q.Activations.Bits = Float, Float
	p := plan(t, q, model(2), 100)
	if s := p.At(0)[0]; s.Weights.Bits != 32 || s.Activations.Bits != 32 || s.Lambda != 1 {
		t.Errorf("%+v", s)
	}
}

func TestWarmStart(t *testing.T) {
	p := plan(t, ternary(
		Phase{Name: "float", Share: 0.2, Lambda: Lambda{Shape: Step, To: 0}},
		Phase{Name: "blend", Share: 0.3, Lambda: Lambda{Shape: Linear, From: 0, To: 1}},
		Phase{Name: "ternary", Share: 0.5, Lambda: now},
	), model(2), 1000)
	for _, test := range []struct {
		step   int
		phase  string
		lambda float64
	}{
		{0, "float", 0}, {199, "float", 0}, {200, "blend", 0}, {203, "blend", 0.01},
		{350, "blend", 0.5}, {499, "blend", 299. / 300}, {500, "ternary", 1}, {999, "ternary", 1}, {1000, "ternary", 1},
	} {
		_, name := p.Phase(test.step)
		if name != test.phase || math.Abs(p.Lambda(test.step)-test.lambda) > 1e-12 {
			t.Errorf("step %d: phase %s, lambda %v, want %s, %v", test.step, name, p.Lambda(test.step), test.phase, test.lambda)
		}
		if p.Complete(test.step) != (test.lambda == 1) {
			t.Errorf("step %d: complete is %v at lambda %v", test.step, p.Complete(test.step), test.lambda)
		}
	}
	if b := p.Boundaries(); !slices.Equal(b, []int{0, 200, 500}) {
		t.Errorf("boundaries %v", b)
	}
}

func TestLayerByLayer(t *testing.T) {
	p := plan(t, ternary(
		Phase{Name: "first", Share: 0.333, Layers: []string{"blocks.0.*"}, Lambda: Lambda{Shape: Linear, To: 1}},
		Phase{Name: "second", Share: 0.333, Layers: []string{"blocks.1.attention.q", "blocks.1.ffn.*"}, Lambda: now},
		Phase{Name: "third", Share: 0.333, Layers: []string{"blocks.2.*"}, Lambda: now},
	), model(3), 300)
	for step, want := range map[int][]float64{
		0:   {0, 0, 0, 0, 0, 0},
		50:  {.5, .5, 0, 0, 0, 0},
		100: {1, 1, 1, 1, 0, 0},
		200: {1, 1, 1, 1, 1, 1},
		300: {1, 1, 1, 1, 1, 1},
	} {
		if got := lambdas(p, step); !slices.Equal(got, want) {
			t.Errorf("step %d: lambda %v, want %v", step, got, want)
		}
	}
	if got := p.Lambda(100); math.Abs(got-2./3) > 1e-12 {
		t.Errorf("mean lambda %v, want 2/3", got)
	}
}

func TestPhaseOverrides(t *testing.T) {
	q := ternary(
		Phase{Name: "float weights", Share: 0.5, Lambda: now,
			Weights: &Weights{Bits: Float}, Activations: &Activations{4}, Noise: &quant.Noise{Kind: quant.NoNoise}},
		Phase{Name: "ternary", Share: 0.5, Lambda: now},
	)
	q.Noise = quant.Noise{Kind: quant.GaussianNoise, Strength: 0.5, Block: 1, Share: 1}
	p := plan(t, q, model(1), 10)
	want := State{Weights{Float, quant.AbsMean}, Activations{4}, quant.Noise{Kind: quant.NoNoise, Strength: 0.5, Block: 1, Share: 1}, 1}
	if got := p.At(4)[0]; got != want {
		t.Errorf("first phase: %+v, want %+v", got, want)
	}
	if p.Complete(4) {
		t.Error("complete with float weights")
	}
	if got := p.At(5)[0]; got != p.finals[0] || got.Noise.Kind != quant.GaussianNoise {
		t.Errorf("second phase: %+v", got)
	}
}

func TestAtDoesNotShareStates(t *testing.T) {
	p := plan(t, ternary(), model(1), 10)
	p.At(0)[0].Lambda = 0.25
	if got := p.Lambda(0); got != 1 {
		t.Errorf("a caller's change shows in the plan: lambda %v", got)
	}
}

func TestPlanRefuses(t *testing.T) {
	blend := Lambda{Shape: Linear, From: 0, To: 0.5}
	for _, test := range []struct {
		name   string
		q      Quantization
		steps  int
		errors []string
	}{
		{"an unused pattern", ternary(
			Phase{Name: "a", Share: 0.5, Layers: []string{"blocks.0.*", "blocks.7.*"}, Lambda: now},
			Phase{Name: "b", Share: 0.5, Lambda: now},
		), 10, []string{`phases[0].layers[1]: "blocks.7.*" names no linear layer: the first is blocks.0.attention.q, the last blocks.1.ffn.down`}},
		{"a forgotten layer", ternary(
			Phase{Name: "a", Share: 1, Layers: []string{"blocks.0.*"}, Lambda: now},
		), 10, []string{"phases: layer blocks.1.attention.q would stay float32, for no phase names it: add a pattern"}},
		{"lambda left below 1", ternary(
			Phase{Name: "all", Share: 0.5, Lambda: blend},
			Phase{Name: "half", Share: 0.5, Layers: []string{"*.q"}, Lambda: now},
		), 10, []string{`phases[0]: layer blocks.0.ffn.down would end with lambda 0.5, not 1, as phase "all" leaves it: end with`}},
		{"weights left float", ternary(
			Phase{Name: "a", Share: 1, Lambda: now, Weights: &Weights{Bits: Float}},
		), 10, []string{"phases[0]: layer blocks.0.attention.q would end with weights of 32 bits, not 1.58"}},
		{"another scale", ternary(
			Phase{Name: "a", Share: 1, Lambda: now, Weights: &Weights{Scale: quant.Median}},
		), 10, []string{"phases[0]: layer blocks.0.attention.q would end with weights scaled by median, not absmean"}},
		{"activations left at 4 bits", ternary(
			Phase{Name: "a", Share: 1, Lambda: now, Activations: &Activations{4}},
		), 10, []string{"phases[0]: layer blocks.0.attention.q would end with activations of 4 bits, not 8"}},
		{"a phase without a step", ternary(
			Phase{Name: "a", Share: 0.01, Lambda: now},
			Phase{Name: "b", Share: 0.99, Lambda: now},
		), 10, []string{"phases[0].share: 0.01 of 10 steps is less than one step"}},
		{"no steps", ternary(), 0, []string{"steps: 0"}},
		{"what Validate refuses", ternary(Phase{Name: "a", Share: 0.5, Lambda: now}), 10, []string{"phases: the shares add up to 0.5"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.q.Plan(model(2), test.steps)
			wantErrors(t, err, test.errors...)
		})
	}
}

func TestQuantizationValidate(t *testing.T) {
	bad := Quantization{
		Weights:      Weights{1.6, "max"},
		Activations:  Activations{16},
		Estimator:    "ste",
		GradientBits: 8,
		Noise:        quant.Noise{Kind: quant.BlockNoise, Strength: math.NaN(), Block: 0, Share: 1.5},
		Phases: []Phase{
			{Share: 0, Layers: []string{"["}, Lambda: Lambda{"cubic", -1, 1.5}},
			{Name: "b", Share: 1, Lambda: now, Weights: &Weights{Bits: 4}, Activations: &Activations{9}, Noise: &quant.Noise{Kind: "pink"}},
		},
	}
	wantErrors(t, bad.Validate(),
		"weights.bits: 1.6", "weights.scale: \"max\"", "activations.bits: 16", "estimator: \"ste\"", "gradient_bits: 8",
		"noise.strength: NaN", "noise.block: 0", "noise.share: 1.5",
		"phases[0].name", "phases[0].share: 0", "phases[0].layers[0]: \"[\"",
		"phases[0].lambda.shape: \"cubic\"", "phases[0].lambda.from: -1", "phases[0].lambda.to: 1.5",
	)

	overrides := ternary(Phase{Name: "b", Share: 1, Lambda: now,
		Weights: &Weights{Bits: 4}, Activations: &Activations{9}, Noise: &quant.Noise{Kind: "pink"}})
	wantErrors(t, overrides.Validate(),
		"phases[0].weights.bits: 4", "phases[0].activations.bits: 9", "phases[0].noise.kind: \"pink\"")
}

// A layer of quantization.mixed has its quantizer's bits, whatever the phases
// say of the others, but can stay float32 for a while.
func TestMixedLayers(t *testing.T) {
	q := ternary(
		Phase{Name: "float", Share: 0.5, Lambda: now, Weights: &Weights{Bits: Float}},
		Phase{Name: "quantized", Share: 0.5, Lambda: now},
	)
	q.Mixed = quant.Mixed{{Layers: "*.down", Quantizer: quant.Config{Bits: 4, Scale: quant.MSE}}}
	p := plan(t, q, model(2), 10)
	four := Weights{4, quant.MSE}
	for step, want := range map[int][2]Weights{0: {{Float, quant.AbsMean}, {Float, quant.MSE}}, 9: {q.Weights, four}} {
		for i, s := range p.At(step) {
			if s.Weights != want[i%2] {
				t.Errorf("step %d, layer %d: %+v, want %+v", step, i, s.Weights, want[i%2])
			}
		}
	}
	if p.Complete(4) || !p.Complete(9) {
		t.Error("complete before the layers are quantized, or never")
	}
	q.Weights.Bits, q.Phases = Float, nil
	if got := plan(t, q, model(1), 10).At(3); got[0].Weights.Bits != Float || got[1].Weights != four {
		t.Errorf("without phases: %+v", got)
	}
}

func TestMixedMistakes(t *testing.T) {
	for want, r := range map[string]quant.MixedRule{
		`mixed[0].layers: "x" decides about no layer`:    {Layers: "x"},
		"mixed[0].layers: is empty":                      {},
		"mixed[0].quantizer.bits: 9 is not supported":    {Layers: "*", Quantizer: quant.Config{Bits: 9}},
		"mixed[0].quantizer.scheme: affine weights":      {Layers: "*", Quantizer: quant.Config{Bits: 4, Scheme: quant.Affine}},
		"mixed[0].quantizer.scale: lsq learns scales":    {Layers: "*", Quantizer: quant.Config{Bits: 4, Scale: quant.LSQ}},
		"mixed[0].quantizer.scale: static is a scale":    {Layers: "*", Quantizer: quant.Config{Bits: 4, Scale: quant.Static}},
		"mixed[0].quantizer.granularity: scales by":      {Layers: "*", Quantizer: quant.Config{Bits: 4, Granularity: quant.PerChannel, Axis: 1}},
		"mixed[0].quantizer.granularity: scales by bloc": {Layers: "*", Quantizer: quant.Config{Bits: 4, Granularity: quant.PerBlock, Block: [2]int{2, 2}}},
	} {
		q := ternary()
		q.Mixed = quant.Mixed{r}
		if _, err := q.Plan(model(1), 10); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want it to begin with %q", err, want)
		}
	}
}
