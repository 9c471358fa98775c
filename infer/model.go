// Package infer runs a frozen model: a .trefoil file, or tensors in memory.
// It needs no graph and allocates little: embeddings, norms and ternary
// products go straight to the kernels that training used, in the same order,
// and so give the same bits.
//
//	model, err := infer.Open("runs/gocode/model.trefoil")
//	tokenizer, err := data.ParseTokenizer(model.Tokenizer())
//	prompt := tokenizer.Encode(nil, []byte("func ")) // []int32
//	sampler := infer.NewSampler(infer.Sampling{Temperature: 0.8, Seed: 1})
//	for id, err := range model.NewSession().Generate(ctx, prompt, 200, sampler) {
//		text := tokenizer.Decode([]int32{id}) // may end inside a character
//		...
//	}
//
// Ids and text are the business of trefoil/data: the model carries the file
// of its tokenizer, and nothing here reads it.
//
// A [Model] is read-only: any number of goroutines may share it, each with a
// [Session] of its own.
//
// # How a linear layer computes
//
// Ternary weights and an input of 2 to 8 bits: the input is quantized, integer
// codes are multiplied, the sum is scaled once by (input scale * gamma). In
// all other cases the product is a float32 one: of the input as it is (32
// bits) or rounded to its codes times their scale, with the weights as they
// are or, for ternary ones, gamma * code. Projections that read the same input
// (q, k and v; gate and up) are one product: if one of them is float32, all
// are.
//
// # The end of the context
//
// A model was trained on sequences of at most arch.Config.Context tokens. A
// session that is full forgets: see [WindowStart].
package infer

import (
	"fmt"
	"slices"

	"trefoil/arch"
	"trefoil/quant/packed"
)

// Activations says where the scales of quantized activations come from.
type Activations int

const (
	Dynamic          Activations = iota // max|x| of each token, as in training
	StaticAbsMax                        // the largest |x| that calibration saw
	StaticPercentile                    // a quantile of |x| in calibration
)

func (a Activations) String() string {
	return [...]string{"dynamic", "static absmax", "static percentile"}[a]
}

// A Tap sees the linear layer of that name work: x [rows, in] is its input
// before quantization, y [rows, out] its output. Both are valid during the
// call only.
type Tap func(name string, x, y []float32, rows int)

// A Model is a network that is ready to run.
type Model struct {
	config      packed.Config
	tokenizer   []byte
	embedding   []float32 // [vocab, dim]
	headWeights []float32 // [vocab, dim]: the embedding, unless the head is untied
	norm        []float32 // [dim]
	blocks      []block
	rope        *rope
	activations Activations
	tap         Tap
	watch       func(tokens int) error
}

type block struct {
	attentionNorm, ffnNorm       []float32 // [dim]
	attentionSubNorm, ffnSubNorm []float32 // [qDim], [ff]; nil in a model without

	qkv, o, gateUp, down *projection
}

// Open loads the model of a .trefoil file.
func Open(path string) (*Model, error) {
	f, err := packed.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for _, info := range f.Index() {
		names = append(names, info.Name)
	}
	m, err := build(f.Config(), names, f.Load)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m.tokenizer = f.Tokenizer()
	return m, nil
}

// New makes a model of tensors in memory. It keeps float tensors without a
// copy; they must not change.
func New(content *packed.Model) (*Model, error) {
	var names []string
	for _, t := range content.Tensors {
		names = append(names, t.Name)
	}
	m, err := build(content.Config, names, func(name string) (*packed.Tensor, error) {
		if t := content.Find(name); t != nil {
			return t, nil
		}
		return nil, fmt.Errorf("tensor %s is missing", name)
	})
	if err != nil {
		return nil, err
	}
	m.tokenizer = content.Tokenizer
	return m, nil
}

// Load makes a model of tensors that load gives, one at a time: of ternary ones
// the model keeps packed codes, so that those of a single projection are in
// memory besides. There is no tokenizer.
func Load(config packed.Config, load func(name string) (*packed.Tensor, error)) (*Model, error) {
	var names []string
	for _, p := range config.Model.Parameters() {
		names = append(names, p.Name)
	}
	return build(config, names, load)
}

// build loads all parameters by name. names lists what there is.
func build(config packed.Config, names []string, load func(string) (*packed.Tensor, error)) (*Model, error) {
	c := config.Model
	if err := c.Validate(); err != nil {
		return nil, err
	}
	l := &loader{load: load, shapes: map[string][]int{}}
	for _, p := range c.Parameters() {
		l.shapes[p.Name] = p.Shape
		if !slices.Contains(names, p.Name) { // before anything large is allocated
			return nil, fmt.Errorf("tensor %s is missing", p.Name)
		}
	}
	m := &Model{config: config, embedding: l.floats(arch.EmbeddingName), norm: l.floats(arch.NormName)}
	m.headWeights = m.embedding
	if c.UntiedHead {
		m.headWeights = l.floats(arch.HeadName)
	}
	for i := range c.Layers {
		n := arch.BlockNames(i)
		m.blocks = append(m.blocks, block{
			attentionNorm:    l.floats(n.AttentionNorm),
			attentionSubNorm: l.floats(n.AttentionSubNorm),
			ffnNorm:          l.floats(n.FFNNorm),
			ffnSubNorm:       l.floats(n.FFNSubNorm),

			qkv:    l.projection(n.Q, n.K, n.V),
			o:      l.projection(n.O),
			gateUp: l.projection(n.Gate, n.Up),
			down:   l.projection(n.Down),
		})
	}
	if l.err != nil {
		return nil, l.err
	}
	m.rope = &rope{config: c}
	return m, nil
}

// Config returns the description of the model.
func (m *Model) Config() packed.Config { return m.config }

// Tokenizer returns the model's tokenizer.json; nil if it has none.
func (m *Model) Tokenizer() []byte { return m.tokenizer }

// WithActivations returns a view of the model with activation scales from
// another source. Static ones must be in the file, and need a model that
// quantizes its activations.
func (m *Model) WithActivations(a Activations) (*Model, error) {
	quantized := false
	for _, b := range m.blocks {
		for _, p := range []*projection{b.qkv, b.o, b.gateUp, b.down} {
			quantized = quantized || p.quantizesInput()
			if a != Dynamic && p.quantizesInput() && p.activation.AbsMax == 0 {
				return nil, fmt.Errorf("tensor %s has no static activation scales: export the run again, with calibration", p.parts[0].name)
			}
		}
	}
	if a != Dynamic && !quantized {
		return nil, fmt.Errorf("the model's activations are float32, so there are no %s scales to use: use dynamic", a)
	}
	view := *m
	view.activations = a
	return &view, nil
}

// WithTap returns a view of the model that shows its linear layers to tap.
func (m *Model) WithTap(tap Tap) *Model {
	view := *m
	view.tap = tap
	return &view
}

// WithWatch returns a view of the model whose Loss tells watch, now and then,
// how many tokens it has evaluated, and ends with the error that watch returns.
func (m *Model) WithWatch(watch func(tokens int) error) *Model {
	view := *m
	view.watch = watch
	return &view
}

// A loader loads tensors and keeps the first error.
type loader struct {
	load   func(string) (*packed.Tensor, error)
	shapes map[string][]int
	err    error
}

// tensor returns a tensor of the right shape, or an empty one after an error.
func (l *loader) tensor(name string) *packed.Tensor {
	if l.err != nil {
		return &packed.Tensor{}
	}
	t, err := l.load(name)
	if err == nil && !slices.Equal(t.Shape, l.shapes[name]) {
		err = fmt.Errorf("tensor %s: shape is %v, want %v", name, t.Shape, l.shapes[name])
	}
	if err != nil {
		l.err = err
		return &packed.Tensor{}
	}
	return t
}

// floats returns the elements of a tensor that is not quantized, nil of one
// that the model does not have.
func (l *loader) floats(name string) []float32 {
	if _, has := l.shapes[name]; !has {
		return nil
	}
	t := l.tensor(name)
	if l.err == nil && t.Type == packed.Ternary {
		l.err = fmt.Errorf("tensor %s: only linear layers can be ternary", name)
	}
	return t.Values
}
