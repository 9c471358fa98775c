package train

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/layers"
	"trefoil/nn"
)

// Graph is a loss with two programs: one computes it and the gradients of a
// batch, and one stops at the loss. Both work in the same memory; the first
// leaves only the gradients there (see [nn.ShareMemory]).
type Graph struct {
	// Report is the loss of the last run.
	Report *nn.LossReport

	parameters       []*layers.Parameter
	loss             *G.Node
	forward, learner G.VM
}

// NewGraph compiles a loss, which reads the inputs and the parameters, and
// which fills the report at each run.
func NewGraph(loss *G.Node, report *nn.LossReport, parameters []*layers.Parameter, inputs ...*G.Node) (*Graph, error) {
	g := loss.Graph()
	var learned G.Nodes
	for _, p := range parameters {
		learned = append(learned, p.Node)
	}
	gradients, err := G.Grad(loss, learned...)
	if err != nil {
		return nil, fmt.Errorf("differentiating the loss: %w", err)
	}
	if err := distinctHashes(g); err != nil {
		return nil, err
	}
	if err := nn.ShareMemory(loss, gradients...); err != nil {
		return nil, err
	}
	program, locations, err := G.CompileFunction(g, append(inputs, learned...), G.Nodes{loss})
	if err != nil {
		return nil, fmt.Errorf("compiling the forward program: %w", err)
	}
	return &Graph{
		Report: report, parameters: parameters, loss: loss,
		forward: G.NewTapeMachine(g, G.WithPrecompiled(program, locations)),
		learner: G.NewTapeMachine(g),
	}, nil
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

// Parameters lists what training learns, in the order of checkpoints.
func (g *Graph) Parameters() []*layers.Parameter { return g.parameters }

// Learn computes the loss and the gradients of the batch at hand.
func (g *Graph) Learn() error { return run(g.learner) }

// Evaluate computes the loss of the batch at hand without gradients.
func (g *Graph) Evaluate() error { return run(g.forward) }

func run(vm G.VM) error {
	defer vm.Reset()
	return vm.RunAll()
}

// Close ends the graph's machines.
func (g *Graph) Close() error {
	if err := g.forward.Close(); err != nil {
		return err
	}
	return g.learner.Close()
}
