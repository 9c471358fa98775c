package layers

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/arch"
)

// Parameter is a tensor that training learns.
type Parameter struct {
	arch.Parameter
	Node *G.Node
}

// Data returns the parameter's values, which the graph shares: what is written
// there, the next run reads.
func (p *Parameter) Data() []float32 { return p.Node.Value().Data().([]float32) }

// Gradient returns the gradient that the last run left. The next run
// overwrites it. It is an error when the graph has no gradient for the
// parameter.
func (p *Parameter) Gradient() ([]float32, error) {
	v, err := p.Node.Grad()
	if err != nil {
		return nil, fmt.Errorf("no gradient for %s: %w", p.Name, err)
	}
	return v.Data().([]float32), nil
}

// newParameter adds a named parameter to the graph with the given values.
func newParameter(g *G.ExprGraph, p arch.Parameter, values []float32) *Parameter {
	dense := tensor.New(tensor.WithShape(p.Shape...), tensor.WithBacking(values))
	node := G.NewTensor(g, tensor.Float32, len(p.Shape), G.WithShape(p.Shape...), G.WithName(p.Name), G.WithValue(dense))
	return &Parameter{p, node}
}

// Init draws the first values of weights: normal with mean 0. Each parameter
// draws from a stream of its own, found by its name.
type Init struct {
	Seed uint64
	Std  float64
}

// InitStd is the standard deviation that transformers usually start with
// (GPT-2, Llama).
const InitStd = 0.02

// tensor adds weights to the graph. It panics on a dimension below 1.
func (in Init) tensor(g *G.ExprGraph, name string, kind arch.Kind, shape ...int) *Parameter {
	if slices.Min(shape) < 1 {
		panic(fmt.Sprintf("layers: %s: weights of shape %v: every dimension must be at least 1", name, shape))
	}
	r := rand.New(rand.NewPCG(in.Seed, nameSeed(name)))
	values := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range values {
		values[i] = float32(r.NormFloat64() * in.Std)
	}
	return newParameter(g, arch.Parameter{Name: name, Shape: shape, Kind: kind}, values)
}

// nameSeed turns a name into a seed.
func nameSeed(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}
