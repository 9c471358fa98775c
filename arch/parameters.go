package arch

import (
	"fmt"
	"slices"
	"strings"
)

// A Kind says what a parameter does, and so how it is quantized and decayed.
type Kind int

const (
	Embedding Kind = iota // [vocab, dim]: the embedding and the head; stays in float
	Norm                  // [dim], the gain of an RMSNorm; stays in float
	Linear                // [out, in], a projection of a block; becomes ternary
)

func (k Kind) String() string {
	return [...]string{"embedding", "norm", "linear"}[k]
}

// A Parameter is one tensor that training learns.
type Parameter struct {
	Name  string // as in checkpoints and packed files
	Shape []int  // row-major; a linear's is [out, in]
	Kind  Kind
}

// Size is the number of elements.
func (p Parameter) Size() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Names of the parameters outside the blocks.
const (
	EmbeddingName = "embedding" // also the head, unless it is untied
	NormName      = "norm"
	HeadName      = "head" // of a model with an untied head
)

// A Block holds the names of one block's parameters.
type Block struct {
	AttentionNorm, Q, K, V, AttentionSubNorm, O string
	FFNNorm, Gate, Up, FFNSubNorm, Down         string
}

// BlockNames returns the names of the parameters of block i, counted from 0.
func BlockNames(i int) Block {
	attention, ffn := fmt.Sprintf("blocks.%d.attention.", i), fmt.Sprintf("blocks.%d.ffn.", i)
	return Block{
		AttentionNorm: attention + "norm",
		Q:             attention + "q",
		K:             attention + "k",
		V:             attention + "v",

		AttentionSubNorm: attention + "sub_norm",
		O:                attention + "o",

		FFNNorm:    ffn + "norm",
		Gate:       ffn + "gate",
		Up:         ffn + "up",
		FFNSubNorm: ffn + "sub_norm",
		Down:       ffn + "down",
	}
}

// Parameters lists the parameters of a valid configuration, in the order in
// which the model uses them.
func (c Config) Parameters() []Parameter {
	norm := func(name string, dim int) Parameter { return Parameter{name, []int{dim}, Norm} }
	linear := func(name string, out, in int) Parameter { return Parameter{name, []int{out, in}, Linear} }

	list := []Parameter{{EmbeddingName, []int{c.Vocab, c.Dim}, Embedding}}
	for i := range c.Layers {
		b := BlockNames(i)
		list = append(list,
			norm(b.AttentionNorm, c.Dim),
			linear(b.Q, c.QDim(), c.Dim),
			linear(b.K, c.KVDim(), c.Dim),
			linear(b.V, c.KVDim(), c.Dim),
			norm(b.AttentionSubNorm, c.QDim()),
			linear(b.O, c.Dim, c.QDim()),
			norm(b.FFNNorm, c.Dim),
			linear(b.Gate, c.FF, c.Dim),
			linear(b.Up, c.FF, c.Dim),
			norm(b.FFNSubNorm, c.FF),
			linear(b.Down, c.Dim, c.FF),
		)
	}
	if c.NoSubNorms {
		list = slices.DeleteFunc(list, func(p Parameter) bool { return strings.HasSuffix(p.Name, ".sub_norm") })
	}
	list = append(list, norm(NormName, c.Dim))
	if c.UntiedHead {
		list = append(list, Parameter{HeadName, []int{c.Vocab, c.Dim}, Embedding})
	}
	return list
}

// ParameterCount is the number of elements of all parameters together.
func (c Config) ParameterCount() int {
	n := 0
	for _, p := range c.Parameters() {
		n += p.Size()
	}
	return n
}
