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

// Network is a language model in a graph, with its loss.
type Network struct {
	*Graph
	Model *layers.Transformer
	Batch int

	// Inputs and Targets are the token ids [batch*context] of the next run.
	Inputs, Targets []int32

	logits *G.Node
}

// NewNetwork builds a model for batches of the given size. Layers that q wants
// quantized at some time have quantizers, which are off: see
// [Network.Quantize].
func NewNetwork(c arch.Config, q schedule.Quantization, batch int, seed uint64) (*Network, error) {
	var report nn.LossReport
	n, loss, ids, err := newLoss(c, q, batch, seed, &report)
	if err != nil {
		return nil, err
	}
	n.Graph, err = NewGraph(loss, &report, n.Model.Parameters(), ids...)
	return n, err
}

// newLoss returns a network without its programs, and the nodes of its loss
// and of the ids that it reads.
func newLoss(c arch.Config, q schedule.Quantization, batch int, seed uint64, report *nn.LossReport) (n *Network, loss *G.Node, ids G.Nodes, err error) {
	g := G.NewGraph()
	quantized := q.Quantizes()
	m, err := layers.NewTransformer(g, c, quantized, seed)
	if err != nil {
		return nil, nil, nil, err
	}
	if quantized {
		for _, l := range m.Linears() {
			l.Weights.Estimator = q.Estimator
			l.Activations.GradientBits = q.GradientBits
		}
		if err := layers.Mix(m, q.Mixed); err != nil {
			return nil, nil, nil, fmt.Errorf("quantization.mixed: %w", err)
		}
	}
	n = &Network{Model: m, Batch: batch}
	var inputs, targets *G.Node
	inputs, n.Inputs = layers.NewIDs(g, "inputs", batch*c.Context)
	targets, n.Targets = layers.NewIDs(g, "targets", batch*c.Context)
	if n.logits, err = m.Forward(inputs, batch); err != nil {
		return nil, nil, nil, err
	}
	loss, err = nn.CrossEntropy(n.logits, targets, report)
	return n, loss, G.Nodes{inputs, targets}, err
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
