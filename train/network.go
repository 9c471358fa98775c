package train

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/layers"
	"trefoil/nn"
	"trefoil/quant"
	"trefoil/schedule"
)

// Network is a model in a graph with two programs: one that computes the loss
// and the gradients of a batch, and one that stops at the loss. Both work in
// the same memory.
type Network struct {
	Model *layers.Transformer
	Batch int

	// Inputs and Targets are the token ids [batch*context] of the next run.
	Inputs, Targets []int32
	// Report is the loss of the last run.
	Report nn.LossReport

	logits, loss     *G.Node
	forward, learner G.VM
}

// NewNetwork builds a model for batches of the given size. Layers that q wants
// quantized at some time have quantizers, which are off: see
// [Network.Quantize].
func NewNetwork(c arch.Config, q schedule.Quantization, batch int, seed uint64) (*Network, error) {
	g := G.NewGraph()
	quantized := q.Weights.Bits != schedule.Float || q.Activations.Bits != schedule.Float
	m, err := layers.NewTransformer(g, c, quantized, seed)
	if err != nil {
		return nil, err
	}
	if quantized {
		for _, l := range m.Linears() {
			l.Weights.Estimator = q.Estimator
			l.Activations.GradientBits = q.GradientBits
		}
	}
	n := &Network{Model: m, Batch: batch}
	var inputs, targets *G.Node
	inputs, n.Inputs = layers.NewIDs(g, "inputs", batch*c.Context)
	targets, n.Targets = layers.NewIDs(g, "targets", batch*c.Context)
	if n.logits, err = m.Forward(inputs, batch); err != nil {
		return nil, err
	}
	if n.loss, err = nn.CrossEntropy(n.logits, targets, &n.Report); err != nil {
		return nil, err
	}
	leaves := G.Nodes{inputs, targets}
	var learned G.Nodes
	for _, p := range m.Parameters() {
		learned = append(learned, p.Node)
	}
	leaves = append(leaves, learned...)
	if _, err := G.Grad(n.loss, learned...); err != nil {
		return nil, fmt.Errorf("differentiating the loss: %w", err)
	}
	if err := distinctHashes(g); err != nil {
		return nil, err
	}
	program, locations, err := G.CompileFunction(g, leaves, G.Nodes{n.loss})
	if err != nil {
		return nil, fmt.Errorf("compiling the forward program: %w", err)
	}
	n.forward = G.NewTapeMachine(g, G.WithPrecompiled(program, locations))
	n.learner = G.NewTapeMachine(g)
	return n, nil
}

// distinctHashes guards against Gorgonia's merging of nodes whose 32-bit
// hashes happen to be equal.
func distinctHashes(g *G.ExprGraph) error {
	seen := make(map[uint32]*G.Node)
	for _, n := range g.AllNodes() {
		if other, ok := seen[n.Hashcode()]; ok && other != n {
			return fmt.Errorf("two nodes of the graph, %v and %v, have one hash: change the run's layers or names", other, n)
		}
		seen[n.Hashcode()] = n
	}
	return nil
}

// Close ends the graph's machines.
func (n *Network) Close() error {
	if err := n.forward.Close(); err != nil {
		return err
	}
	return n.learner.Close()
}

// Learn computes the loss and the gradients of Inputs and Targets.
func (n *Network) Learn() error { return run(n.learner) }

// Evaluate computes the loss of Inputs and Targets without gradients.
func (n *Network) Evaluate() error { return run(n.forward) }

func run(vm G.VM) error {
	defer vm.Reset()
	return vm.RunAll()
}

// Logits returns the logits [batch*context, vocab] of the last Evaluate. The
// next run overwrites them.
func (n *Network) Logits() []float32 { return n.logits.Value().Data().([]float32) }

// Quantize makes the next runs compute as the states say, one for each linear
// layer in the order of [layers.Transformer.Linears]; step draws the noise.
// Layers that share an input share its quantizer: it goes as far as the least
// quantized of them.
func (n *Network) Quantize(states []schedule.State, step int) {
	i := 0
	for _, b := range n.Model.Blocks {
		for _, joined := range b.Inputs() {
			least := states[i]
			for _, l := range joined {
				s := states[i]
				i++
				least.Lambda = min(least.Lambda, s.Lambda)
				least.Activations.Bits = max(least.Activations.Bits, s.Activations.Bits)
				if l.Weights != nil {
					setWeights(l.Weights, s, step)
				}
			}
			if a := joined[0].Activations; a != nil {
				a.Bits, a.Lambda = least.Activations.Bits, least.Lambda
			}
		}
	}
}

func setWeights(q *nn.WeightQuantizer, s schedule.State, step int) {
	q.Scale, q.Lambda, q.Step = s.Weights.Scale, s.Lambda, uint64(step)
	q.Noise = s.Noise
	if s.Weights.Bits == schedule.Float {
		q.Lambda, q.Noise = 0, quant.Noise{}
	}
}

// withoutNoise returns the states as evaluation wants them.
func withoutNoise(states []schedule.State) []schedule.State {
	quiet := append([]schedule.State(nil), states...)
	for i := range quiet {
		quiet[i].Noise = quant.Noise{}
	}
	return quiet
}
