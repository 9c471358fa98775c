package config

import (
	"trefoil/data"
	"trefoil/quant"
	"trefoil/schedule"
)

// Default returns the configuration of a small model of Go code: ternary
// weights and 8-bit activations, reached by way of a blend that grows over the
// first three tenths of the run.
func Default() Config {
	corpus := data.DefaultConfig()
	corpus.Tokenizer.Vocab = 2048
	return Config{
		Name: "gocode",
		Seed: 1337,
		Data: corpus,
		Model: Model{
			Dim: 256, Layers: 4, Heads: 4, KVHeads: 2, FF: 768, Context: 256,
			Activation: "silu", RopeBase: 10000, NormEps: 1e-5, SubNorms: true, TiedHead: true,
		},
		Train: Train{
			Steps: 550, Batch: 8, Accumulate: 1, Optimizer: Muon,
			LR: 4e-3, MuonLR: 0.01, MuonBlock: 128, Schedule: schedule.Linear, Warmup: 40, Floor: 0, Decay: 0.4, Drop: 0.66,
			WeightDecay: 0.1, Beta1: 0.9, Beta2: 0.99, Clip: 1,
			EvalEvery: 50, EvalBatches: 8,
		},
		Quantization: schedule.Quantization{
			Weights:      schedule.Weights{Bits: schedule.TernaryBits, Scale: quant.AbsMean},
			Activations:  schedule.Activations{Bits: 8},
			Estimator:    quant.Identity,
			GradientBits: 16,
			Noise:        quant.Noise{Kind: quant.NoNoise, Strength: 1, Block: 8, Share: 0.5},
			Phases: []schedule.Phase{
				{Name: "blend", Share: 0.3, Lambda: schedule.Lambda{Shape: schedule.Linear, From: 0, To: 1}},
				{Name: "ternary", Share: 0.7, Lambda: schedule.Lambda{Shape: schedule.Step, From: 0, To: 1}},
			},
		},
	}
}
