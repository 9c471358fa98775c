package train

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/internal/kernel"
	"trefoil/layers"
)

// Optimizer updates the parameters of a model by their gradients. It is a
// [G.Solver]: AdamW with decoupled weight decay (Loshchilov and Hutter 2019,
// arXiv:1711.05101, algorithm 2) or, for the matrices inside blocks, Muon
// (see muon.go); the norm of the whole gradient is clipped before.
// Embedding and matrices decay, gains of norms do not.
type Optimizer struct {
	// LR and MuonLR are the learning rates of the next step, WeightDecay its
	// decay: a schedule sets them.
	LR, MuonLR, WeightDecay float64
	// Norm is the norm of the gradient before clipping, of the last step.
	Norm float64

	beta1, beta2, clip float64
	muonBlock          int
	steps              int
	states             []*state
	gradients          [][]float32  // of the present step
	blocks             []*muonBlock // of all matrices
	orthogonalizers    orthogonalizers
}

var _ G.Solver = (*Optimizer)(nil)

// state is what the optimizer remembers of one parameter.
type state struct {
	name       string
	rows, cols int
	decays     bool
	mean       []float32 // of the gradient; muon's momentum
	square     []float32 // of the squared gradient; nil for muon
	blocks     []*muonBlock
}

const adamEps = 1e-8

// NewOptimizer returns an optimizer for the parameters, in the order in which
// Step will get them.
func NewOptimizer(t config.Train, parameters []*layers.Parameter) *Optimizer {
	o := &Optimizer{
		LR: t.LR, MuonLR: t.MuonLR, WeightDecay: t.WeightDecay,
		beta1: t.Beta1, beta2: t.Beta2, clip: t.Clip, muonBlock: t.MuonBlock,
	}
	for _, p := range parameters {
		s := &state{name: p.Name, decays: p.Kind != arch.Norm, mean: make([]float32, p.Size())}
		if t.Optimizer == config.Muon && p.Kind == arch.Linear && len(p.Shape) > 1 {
			s.rows, s.cols = p.Shape[0], p.Size()/p.Shape[0]
			s.blocks = muonBlocks(s.rows, s.cols, o.muonBlock)
			o.blocks = append(o.blocks, s.blocks...)
		} else {
			s.square = make([]float32, p.Size())
		}
		o.states = append(o.states, s)
	}
	o.gradients = make([][]float32, len(o.states))
	return o
}

// NonFinite is the error of a gradient that is not a number, or infinite. The
// parameters are as they were.
type NonFinite struct{ Parameter string }

func (e *NonFinite) Error() string {
	return fmt.Sprintf("the gradient of %s is not finite", e.Parameter)
}

// Step updates the parameters in place. A gradient that is not finite is an
// error that leaves all parameters as they are.
func (o *Optimizer) Step(model []G.ValueGrad) error {
	if len(model) != len(o.states) {
		return fmt.Errorf("optimizer: got %d parameters, want %d", len(model), len(o.states))
	}
	sum := 0.0
	for i, m := range model {
		v, err := m.Grad()
		if err != nil {
			return fmt.Errorf("optimizer: %s: %w", o.states[i].name, err)
		}
		o.gradients[i] = numbers(v)
		sum += kernel.SumSquares(o.gradients[i])
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return o.blame()
	}
	o.Norm = math.Sqrt(sum)
	scale := 1.0
	if o.clip > 0 && o.Norm > o.clip {
		scale = o.clip / o.Norm
	}
	o.steps++
	for i, m := range model {
		s, w, g := o.states[i], numbers(m.Value()), o.gradients[i]
		decay := 0.0
		if s.decays {
			decay = o.WeightDecay
		}
		if s.square == nil {
			o.aim(s, w, g, decay)
			continue
		}
		kernel.AdamW(w, s.mean, s.square, g, kernel.AdamWStep{
			LR: o.LR, Beta1: o.beta1, Beta2: o.beta2, Eps: adamEps,
			WeightDecay: decay, GradScale: scale, Step: o.steps,
		})
	}
	o.muon(float32(scale))
	return nil
}

// numbers returns the elements of a tensor of float32. Its method Data would
// take new memory for the interface.
func numbers(v G.Value) []float32 { return v.(*tensor.Dense).Float32s() }

// blame finds the first gradient, in the order of the backward pass, that is
// not finite, or too large to be squared.
func (o *Optimizer) blame() error {
	i := len(o.gradients) - 1
	for i > 0 && isFinite(kernel.SumSquares(o.gradients[i])) {
		i--
	}
	return &NonFinite{o.states[i].name}
}
