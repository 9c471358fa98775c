package nn

import (
	"encoding/binary"
	"fmt"
	"hash"
	"hash/fnv"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/internal/kernel"
)

// op is the one implementation of Gorgonia's Op and SDOp in this package. An
// operation is a closure that fills out, and a closure that builds the nodes
// of its gradient.
type op struct {
	name   string
	serial uint64 // makes every op's hash unique: Gorgonia merges nodes of equal hashes
	inputs []kind
	output kind
	shape  tensor.Shape

	// out is what Do returns after run has filled it: a dense tensor, or a
	// pointer to a Gorgonia scalar.
	out G.Value
	// memory is what out is made on when the op first runs; nil if out was
	// there from the beginning.
	memory memory
	run    func(in []G.Value) error
	// waits are the last inputs: nodes that the op runs after without reading
	// their values.
	waits G.Nodes
	// over is an input that the op may overwrite with its output, element by
	// element; nil for none.
	over *G.Node
	// kept says that the value is wanted after a run: see ShareMemory.
	kept bool
	// unwritten says that the last run left out's values alone, since nobody
	// reads them.
	unwritten bool

	// diff returns the gradient for each input; nil for inputs without one.
	// A nil diff marks an op that has no derivative.
	diff func(in G.Nodes, out, grad *G.Node) (G.Nodes, error)
	// hasGradient tells which inputs get a gradient; nil means all.
	hasGradient []bool

	// tied is the *tied[F] of an embedding, nil for other ops; hasHead says
	// that it is in use.
	tied    any
	hasHead bool
	// integers is the *integers[F] behind the float values of a fake-quant
	// node; nil for other ops.
	integers any
	// codesOnly tells of an op that reads fake-quant nodes whether the next
	// run leaves their float values alone; nil means that it never does.
	codesOnly func() bool
}

// kind is the type of a node: number of dimensions, 0 for a scalar, and
// element type.
type kind struct {
	dims int
	of   tensor.Dtype
}

func (k kind) hmType() hm.Type {
	if k.dims == 0 {
		return k.of
	}
	return G.TensorType{Dims: k.dims, Of: k.of}
}

func kindOf(n *G.Node) kind { return kind{n.Dims(), n.Dtype()} }

var (
	_ G.Op   = (*op)(nil)
	_ G.SDOp = (*op)(nil)

	serials atomic.Uint64
)

func (o *op) Arity() int           { return len(o.inputs) }
func (o *op) ReturnsPtr() bool     { return false }
func (o *op) CallsExtern() bool    { return false }
func (o *op) OverwritesInput() int { return -1 }
func (o *op) String() string       { return o.name }

// Type returns a new function type at each call: Gorgonia returns types to a
// pool after use.
func (o *op) Type() hm.Type {
	types := make([]hm.Type, 0, len(o.inputs)+1)
	for _, k := range o.inputs {
		types = append(types, k.hmType())
	}
	return hm.NewFnType(append(types, o.output.hmType())...)
}

func (o *op) InferShape(...G.DimSizer) (tensor.Shape, error) { return o.shape.Clone(), nil }

func (o *op) WriteHash(h hash.Hash) {
	h.Write(binary.LittleEndian.AppendUint64([]byte(o.name), o.serial))
}

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// Do runs the operation. A panic would kill the process, for Gorgonia calls
// Do on a goroutine of its own: it becomes an error.
func (o *op) Do(in ...G.Value) (v G.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", o.name, r)
		}
	}()
	if o.out == nil {
		o.out = o.memory.dense(o.shape)
	}
	o.unwritten = false
	if err := o.run(in); err != nil {
		return nil, fmt.Errorf("%s: %w", o.name, err)
	}
	return o.out, nil
}

func (o *op) DiffWRT(inputs int) []bool {
	if o.hasGradient != nil {
		return o.hasGradient
	}
	all := o.diff != nil
	return slices.Repeat([]bool{all}, inputs)
}

func (o *op) SymDiff(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
	if o.diff == nil {
		return nil, fmt.Errorf("%s has no derivative", o.name)
	}
	return o.diff(in, out, grad)
}

// apply adds the operation to the graph of its inputs.
func (o *op) apply(in ...*G.Node) (*G.Node, error) {
	in = append(in, o.waits...)
	o.serial = serials.Add(1)
	o.inputs = make([]kind, len(in))
	for i, n := range in {
		o.inputs[i] = kindOf(n)
	}
	n, err := G.ApplyOp(o, in...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.name, err)
	}
	return n, nil
}

// newOp returns an op with a dense output of the given shape and of F's type;
// y is the memory behind the output.
func newOp[F kernel.Float](name string, shape ...int) (o *op, y *buffer[F]) {
	y = &buffer[F]{elements: tensor.Shape(shape).TotalSize()}
	return &op{name: name, shape: tensor.Shape(shape), memory: y, output: kind{len(shape), dtypeOf[F]()}}, y
}

// newOpOn returns an op whose output is data.
func newOpOn[F kernel.Float](name string, data []F, shape ...int) *op {
	dense := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	return &op{name: name, shape: tensor.Shape(shape), out: dense, output: kind{len(shape), dense.Dtype()}}
}

func dtypeOf[F kernel.Float]() tensor.Dtype {
	if _, ok := any(F(0)).(float64); ok {
		return tensor.Float64
	}
	return tensor.Float32
}

// pick adds a node that hands out data, a side result of the op behind node.
func pick[F kernel.Float](node *G.Node, name string, data []F, shape ...int) (*G.Node, error) {
	o := newOpOn(name, data, shape...)
	o.run = func([]G.Value) error { return nil }
	o.waits = G.Nodes{node}
	return o.apply()
}

// values returns the numbers of a dense tensor. Its method Data would take new
// memory for the interface.
func values[T kernel.Float | int32](v G.Value) (data []T) {
	dense, ok := v.(*tensor.Dense)
	if !ok || dense.IsScalar() || dense.Dtype().Type != reflect.TypeFor[T]() {
		panic(fmt.Sprintf("got %T of %v, want %T", v.Data(), v.Shape(), data))
	}
	switch data := any(&data).(type) {
	case *[]float32:
		*data = dense.Float32s()
	case *[]float64:
		*data = dense.Float64s()
	case *[]int32:
		*data = dense.Int32s()
	}
	return data
}

// byType calls the instance of a generic constructor for the element type of n.
func byType(name string, n *G.Node, f32, f64 func() (*G.Node, error)) (*G.Node, error) {
	switch n.Dtype() {
	case tensor.Float32:
		return f32()
	case tensor.Float64:
		return f64()
	}
	return nil, fmt.Errorf("%s: element type %v is not supported: use float32 or float64", name, n.Dtype())
}

// shapeError says which operation got which shapes, and what it wants.
func shapeError(name, want string, nodes ...*G.Node) error {
	got := make([]string, len(nodes))
	for i, n := range nodes {
		if got[i] = "a nil node"; n != nil {
			got[i] = fmt.Sprintf("%s %v", n.Name(), n.Shape())
		}
	}
	return fmt.Errorf("%s: got %s; want %s", name, strings.Join(got, " and "), want)
}

// isMatrix reports whether n has two dimensions, none of them empty.
func isMatrix(n *G.Node) bool {
	return n.Dims() == 2 && n.Shape()[0] > 0 && n.Shape()[1] > 0
}

// isBatch reports whether n has two dimensions or more, none of them empty.
func isBatch(n *G.Node) bool { return n.Dims() >= 2 && !slices.Contains(n.Shape(), 0) }

// isImages reports whether n has the four dimensions of images or of the
// weights of a convolution.
func isImages(n *G.Node) bool { return n.Dims() == 4 && isBatch(n) }

// sameType reports whether all nodes have one element type.
func sameType(nodes ...*G.Node) bool {
	for _, n := range nodes {
		if n.Dtype() != nodes[0].Dtype() {
			return false
		}
	}
	return true
}
