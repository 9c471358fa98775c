package layers

import (
	"fmt"
	"path"

	"trefoil/quant"
)

// Model is what [Swap] walks: anything with layers that can be quantized.
type Model interface {
	// Quantizable lists these layers, in the order of the model.
	Quantizable() []*Quantized
}

// Swap quantizes the layers of a model whose weights' names match a pattern,
// such as "blocks.0.*" (see [path.Match]), and returns their names. It is an
// error if there are none, or if Forward has built them into the graph already.
func Swap(m Model, pattern string, s Spec) (swapped []string, err error) {
	return walk(m, pattern, func(l *Quantized) error { return l.Quantize(s) })
}

// SwapBack makes the layers whose names match a pattern float32 again.
func SwapBack(m Model, pattern string) (swapped []string, err error) {
	return walk(m, pattern, (*Quantized).Dequantize)
}

// Mix quantizes the weights of a model's layers as a table of patterns says:
// see [quant.Mixed]. Inputs, and the layers that no pattern matches, stay as
// they are. It fails where Forward has built a layer into the graph already.
func Mix(m Model, table quant.Mixed) error {
	var names []string
	layers := m.Quantizable()
	for _, l := range layers {
		names = append(names, l.Weight.Name)
	}
	rules, err := table.Build(names)
	if err != nil {
		return err
	}
	for _, l := range layers {
		rule := rules[l.Weight.Name]
		if rule == nil {
			continue
		}
		if err := l.changeable(); err != nil {
			return err
		}
		if err := l.quantizeWeights(l.Weight.Node.Graph(), rule.Config()); err != nil {
			return fmt.Errorf("%s: weights: %w", l.Weight.Name, err)
		}
	}
	return nil
}

func walk(m Model, pattern string, do func(*Quantized) error) (names []string, err error) {
	layers := m.Quantizable()
	for _, l := range layers {
		ok, err := path.Match(pattern, l.Weight.Name)
		if err != nil {
			return names, fmt.Errorf("%q is not a pattern: write one such as blocks.0.*: %w", pattern, err)
		}
		if !ok {
			continue
		}
		if err := do(l); err != nil {
			return names, err
		}
		names = append(names, l.Weight.Name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%q names no layer that can be quantized: %s", pattern, example(layers))
	}
	return names, nil
}

func example(layers []*Quantized) string {
	if len(layers) == 0 {
		return "the model has none"
	}
	return fmt.Sprintf("the first is %s, the last %s", layers[0].Weight.Name, layers[len(layers)-1].Weight.Name)
}

// Quantizable returns the layer itself.
func (q *Quantized) Quantizable() []*Quantized { return []*Quantized{q} }

// Quantizable lists the linear layers inside blocks.
func (m *Transformer) Quantizable() []*Quantized {
	var all []*Quantized
	for _, l := range m.Linears() {
		all = append(all, &l.Quantized)
	}
	return all
}
