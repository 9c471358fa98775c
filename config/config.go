// Package config is the configuration of a training run: one YAML file, read
// strictly, checked as a whole, and written back with the meaning of every
// field beside it.
//
// [Default] is the configuration of a run that nobody configured; a file names
// only what differs from it, and assignments such as "train.steps=30" come
// after the file. A mistake is reported with its place and a remedy, and all
// mistakes at once:
//
//	gocode.yaml:12: quantization.weights.bits: 1.6 is not supported: use 1.58 (ternary) or 32 (float32); other bits are for layers in quantization.mixed
//	-set train.step=30: train.step: is not a field: did you mean steps?
//
// The range of a value is checked beside the component that it configures (the
// Validate methods of the parts); this package adds the line.
package config

import (
	"trefoil/arch"
	"trefoil/data"
	"trefoil/schedule"
)

// Config is everything that a run depends on.
type Config struct {
	Name         string                `yaml:"name" doc:"name of the run, and of its folder in runs"`
	Seed         uint64                `yaml:"seed" doc:"seed of all that is random: same seed, same bits"`
	Data         data.Config           `yaml:"data" doc:"what the model learns"`
	Model        Model                 `yaml:"model" doc:"shape of the model; its vocabulary is the tokenizer's"`
	Train        Train                 `yaml:"train" doc:"optimization and evaluation"`
	Quantization schedule.Quantization `yaml:"quantization" doc:"number formats, and the way to them"`
}

// Model is an [arch.Config] without the vocabulary, which is the tokenizer's.
type Model struct {
	Dim        int     `yaml:"dim" doc:"width of the residual stream"`
	Layers     int     `yaml:"layers" doc:"number of blocks"`
	Heads      int     `yaml:"heads" doc:"query heads; dim/heads is their width"`
	KVHeads    int     `yaml:"kv_heads" doc:"key and value heads; divides heads"`
	FF         int     `yaml:"ff" doc:"width of the feed-forward"`
	Context    int     `yaml:"context" doc:"longest sequence, in tokens"`
	Activation string  `yaml:"activation" doc:"gate of the feed-forward: silu or relu2"`
	RopeBase   float64 `yaml:"rope_base" doc:"base of the rotary frequencies"`
	NormEps    float64 `yaml:"norm_eps" doc:"added to the mean square in RMSNorm"`

	HeadDim  int    `yaml:"head_dim" doc:"width of a head; 0 is dim/heads"`
	SubNorms bool   `yaml:"sub_norms" doc:"BitNet's norms before the output and the down projection"`
	TiedHead bool   `yaml:"tied_head" doc:"the embedding is the head too"`
	Rows     int    `yaml:"embedding_rows" doc:"rows of the embedding, if an imported model has more than its tokenizer has ids; else 0"`
	From     string `yaml:"from" doc:"run folder whose weights training starts from; empty for random ones"`
}

// Arch returns the architecture for a tokenizer of vocab ids.
func (m Model) Arch(vocab int) arch.Config {
	return arch.Config{
		Vocab: max(vocab, m.Rows), Dim: m.Dim, Layers: m.Layers, Heads: m.Heads, KVHeads: m.KVHeads, FF: m.FF, Context: m.Context,
		Activation: arch.Activation(m.Activation), RopeBase: m.RopeBase, NormEps: m.NormEps,
		HeadWidth: m.HeadDim, NoSubNorms: !m.SubNorms, UntiedHead: !m.TiedHead,
	}
}

// Optimizers.
const (
	AdamW = "adamw" // every parameter by AdamW
	Muon  = "muon"  // matrices of the blocks by Muon, the rest by AdamW
)

// Train is how the parameters are found.
type Train struct {
	Steps      int    `yaml:"steps" doc:"updates of the parameters"`
	Batch      int    `yaml:"batch" doc:"sequences of model.context tokens in one pass"`
	Accumulate int    `yaml:"accumulate" doc:"passes whose gradients make one update"`
	Optimizer  string `yaml:"optimizer" doc:"muon (matrices of the blocks; the rest by adamw) or adamw"`

	LR        float64 `yaml:"lr" doc:"peak learning rate of adamw"`
	MuonLR    float64 `yaml:"muon_lr" doc:"peak learning rate of muon"`
	MuonBlock int     `yaml:"muon_block" doc:"rows (of a tall matrix, columns) that muon makes orthogonal together; 0 for all, the published algorithm: blocks hurt float32 runs: see experiments/progressive"`
	Schedule  string  `yaml:"schedule" doc:"of the learning rate: linear, cosine, wsd, two-stage or constant"`
	Warmup    int     `yaml:"warmup" doc:"steps in which the learning rate rises to its peak; the schedule's own course counts from step 0"`
	Floor     float64 `yaml:"floor" doc:"share of the peak to which the schedule falls"`
	Decay     float64 `yaml:"decay" doc:"share of the run in which the wsd schedule falls"`
	Drop      float64 `yaml:"drop" doc:"factor of the two-stage schedule from half of the run on"`

	WeightDecay float64 `yaml:"weight_decay" doc:"decoupled weight decay of the matrices"`
	Beta1       float64 `yaml:"beta1" doc:"decay of adamw's mean of the gradient"`
	Beta2       float64 `yaml:"beta2" doc:"decay of adamw's mean of its square"`
	Clip        float64 `yaml:"clip" doc:"longest norm of the whole gradient; 0 never clips"`

	EvalEvery   int `yaml:"eval_every" doc:"steps between evaluations, checkpoints and new curves"`
	EvalBatches int `yaml:"eval_batches" doc:"batches of the fixed held-out windows"`
}

// LearningRate returns the course of the learning rate and the weight decay.
func (t Train) LearningRate() schedule.LearningRate {
	return schedule.LearningRate{
		Schedule: t.Schedule, Steps: t.Steps, Warmup: t.Warmup,
		Floor: t.Floor, Decay: t.Decay, Drop: t.Drop,
	}
}
