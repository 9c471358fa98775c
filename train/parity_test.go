package train

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/internal/safetensors"
	"trefoil/quant"
	"trefoil/schedule"
)

// Training makes the steps of an independent implementation: testdata/parity.py
// trained the same model in PyTorch, from the same weights on the same batches.
// All 40 losses of a float32 model are equal up to rounding. In a ternary one
// the order of a sum now and then moves a weight or an activation to the next
// code, from where on the two trainings are two draws of the same thing: its
// first steps are compared closely, and the mean of all of them loosely.
func TestTrainingEqualsPyTorch(t *testing.T) {
	golden, err := safetensors.Open("testdata/parity.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	var losses map[string][]float64
	if err := json.Unmarshal([]byte(golden.Metadata("losses")), &losses); err != nil {
		t.Fatal(err)
	}
	blend := make([]schedule.Phase, 2)
	for i, lambda := range []schedule.Lambda{{Shape: schedule.Linear, From: 0, To: 1}, {Shape: schedule.Step, From: 1, To: 1}} {
		blend[i].SetDefaults()
		blend[i].Name, blend[i].Share, blend[i].Lambda = lambda.Shape, 0.5, lambda
	}
	for _, c := range []struct {
		name, optimizer string
		bits            float64
		gradientBits    int
		phases          []schedule.Phase
		first, mean     float64 // bounds of the difference: in each of the first five steps, in the mean of all
	}{
		{"float32-adamw", config.AdamW, schedule.Float, 32, nil, 2e-6, 2e-6},
		{"float32-muon", config.Muon, schedule.Float, 32, nil, 2e-6, 2e-6},
		{"b158-adamw", config.AdamW, schedule.TernaryBits, 32, nil, 2e-3, 0.04},
		{"b158-adamw", config.AdamW, schedule.TernaryBits, 16, nil, 2e-3, 0.04},
		{"b158-muon", config.Muon, schedule.TernaryBits, 32, nil, 2e-3, 0.04},
		{"b158-muon", config.Muon, schedule.TernaryBits, 16, nil, 2e-3, 0.04},
		{"blend-adamw", config.AdamW, schedule.TernaryBits, 32, blend, 2e-3, 0.04},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := schedule.Quantization{
				Weights:     schedule.Weights{Bits: c.bits, Scale: quant.AbsMean},
				Activations: schedule.Activations{Bits: 8},
				Estimator:   quant.Identity, GradientBits: c.gradientBits, Noise: quant.Noise{Kind: quant.NoNoise}, Phases: c.phases,
			}
			if c.bits == schedule.Float {
				q.Activations.Bits = schedule.Float
			}
			want := losses[c.name]
			got := parityLosses(t, golden, q, c.optimizer, len(want))
			first, sum := 0.0, 0.0
			for i := range want {
				if d := got[i] - want[i]; i < 5 {
					first = max(first, math.Abs(d))
				}
				sum += (got[i] - want[i]) / float64(len(want))
			}
			if first > c.first || math.Abs(sum) > c.mean || slices.ContainsFunc(got, math.IsNaN) {
				t.Errorf("losses differ by up to %.2g in the first five steps (bound %g), by %.2g in the mean (bound %g)\ngot  %.4f\nwant %.4f",
					first, c.first, sum, c.mean, got, want)
			}
		})
	}
}

// parityLosses trains the model of testdata/parity.py and returns the loss of
// every step.
func parityLosses(t *testing.T, golden *safetensors.File, q schedule.Quantization, optimizer string, steps int) []float64 {
	t.Helper()
	const batch = 4
	c := arch.Config{
		Vocab: 24, Dim: 32, Layers: 2, Heads: 4, KVHeads: 2, FF: 56, Context: 16,
		Activation: arch.SiLU, RopeBase: 10000, NormEps: 1e-5,
	}
	windows, err := golden.Int32("batches", steps, batch, c.Context+1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNetwork(c, q, batch, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var names []string
	for _, l := range n.Model.Linears() {
		names = append(names, l.Weight.Name)
	}
	plan, err := q.Plan(names, steps)
	if err != nil {
		t.Fatal(err)
	}
	var model []G.ValueGrad
	for _, p := range n.Model.Parameters() {
		weights, err := golden.Float32(p.Name, p.Shape...)
		if err != nil {
			t.Fatal(err)
		}
		copy(p.Data(), weights)
		model = append(model, p.Node)
	}
	o := NewOptimizer(config.Train{Optimizer: optimizer, Beta1: 0.9, Beta2: 0.95, Clip: 1, WeightDecay: 0.1}, n.Model.Parameters())
	rate := schedule.LearningRate{Schedule: schedule.Linear, Steps: steps, Warmup: 8}
	var losses []float64
	for step := range steps {
		for row := range batch {
			window := windows[(step*batch+row)*(c.Context+1):]
			copy(n.Inputs[row*c.Context:(row+1)*c.Context], window)
			copy(n.Targets[row*c.Context:(row+1)*c.Context], window[1:])
		}
		n.Quantize(plan.At(step), step)
		if err := n.Learn(); err != nil {
			t.Fatal(err)
		}
		losses = append(losses, n.Report.Sum/float64(n.Report.Tokens))
		factor, _ := rate.At(step)
		o.LR, o.MuonLR = 4e-3*factor, 2e-2*factor
		if err := o.Step(model); err != nil {
			t.Fatal(err)
		}
	}
	return losses
}
