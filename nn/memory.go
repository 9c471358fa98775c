package nn

import (
	"fmt"
	"math/big"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/internal/kernel"
)

// memory is a *buffer[F] of either element type.
type memory interface {
	// dense makes the memory if need be and returns a tensor on it.
	dense(shape tensor.Shape) *tensor.Dense
	size() int
	// moveInto makes the memory a part of another, if that has its element type
	// and is large enough.
	moveInto(host memory) bool
}

// buffer is the memory behind the outputs of one op or, after [ShareMemory], of
// several that are never needed at once.
type buffer[F kernel.Float] struct {
	elements int
	data     []F        // nil before the first run
	host     *buffer[F] // where data is; nil for memory of its own
}

func (b *buffer[F]) size() int { return b.elements }

func (b *buffer[F]) allocate() []F {
	switch {
	case b.data != nil:
	case b.host != nil:
		b.data = b.host.allocate()[:b.elements:b.elements]
	default:
		b.data = make([]F, b.elements)
	}
	return b.data
}

func (b *buffer[F]) dense(shape tensor.Shape) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b.allocate()))
}

func (b *buffer[F]) moveInto(host memory) bool {
	h, ok := host.(*buffer[F])
	if !ok || h.elements < b.elements || b.data != nil {
		return false
	}
	b.host = h
	return true
}

// ShareMemory lets the gradients in the graph of a loss take the memory of
// values that nothing needs any more when they are computed. Call it once,
// after [gorgonia.org/gorgonia.Grad], when the graph is complete, and before
// the first run, with the gradients and other nodes whose values are wanted
// after a run.
//
// A run of the whole graph then destroys what the forward pass computed. A
// program that stops at the loss leaves it whole, but for what a run does not
// write (see [Written]): its values never share.
func ShareMemory(loss *G.Node, keep ...*G.Node) error {
	g := loss.Graph()
	sorted, err := G.Sort(g)
	if err != nil {
		return fmt.Errorf("ShareMemory: %w", err)
	}
	slices.Reverse(sorted) // it begins at the results
	s := sharing{order: make(map[int64]int, len(sorted)), keep: keep}
	for i, n := range sorted {
		s.order[n.ID()] = i
	}
	for _, n := range sorted {
		s.ancestors = append(s.ancestors, s.ancestorsOf(n))
	}
	for _, n := range keep {
		if o, ok := n.Op().(*op); ok {
			o.kept = true
		}
	}
	forward := s.ancestors[s.order[loss.ID()]]
	for i, n := range sorted {
		o, ok := n.Op().(*op)
		if !ok || o.memory == nil {
			continue
		}
		gradient := forward.Bit(i) == 0 && n != loss
		s.place(i, n, o, gradient)
	}
	return nil
}

// sharing is the state of ShareMemory.
type sharing struct {
	order     map[int64]int // of nodes, by their ID
	ancestors []*big.Int    // of each node: bit i for the i-th
	keep      G.Nodes
	hosts     []*host
}

// A host is a memory with its latest tenant.
type host struct {
	memory memory
	latest *G.Node
	// readers of the latest value: when all of them have run the memory is
	// free; never if forever.
	readers []int
	forever bool
}

func (s *sharing) ancestorsOf(n *G.Node) *big.Int {
	all := new(big.Int)
	for _, c := range Operands(n) {
		i := s.order[c.ID()]
		all.Or(all, s.ancestors[i])
		all.SetBit(all, i, 1)
	}
	return all
}

// place finds a memory for the value of node i: its own or, for a gradient,
// that of the value which it overwrites, or the smallest that is free and large
// enough.
func (s *sharing) place(i int, n *G.Node, o *op, gradient bool) {
	m := o.memory
	readers, forever := s.readers(n)
	if gradient && !forever {
		var best *host
		for _, h := range s.hosts {
			switch {
			case h.memory.size() < m.size() || !s.free(h, i, o.over):
			case h.latest == o.over:
				best = h
			case best == nil || best.latest != o.over && h.memory.size() < best.memory.size():
				best = h
			}
		}
		if best != nil && m.moveInto(best.memory) {
			best.latest, best.readers = n, readers
			return
		}
	}
	s.hosts = append(s.hosts, &host{m, n, readers, forever})
}

// free reports whether all that read the value in h have run when node i does,
// in whatever order the graph runs. Of a value that it may overwrite, node i
// may be a reader itself.
func (s *sharing) free(h *host, i int, over *G.Node) bool {
	return !h.forever && !slices.ContainsFunc(h.readers, func(r int) bool {
		return s.ancestors[i].Bit(r) == 0 && !(r == i && h.latest == over)
	})
}

// readers lists the nodes that read a node's value; forever says that somebody
// outside of the graph may. Gorgonia's own operations may return their operand,
// overwritten: who reads their result reads the operand.
func (s *sharing) readers(n *G.Node) (all []int, forever bool) {
	forever = slices.Contains(s.keep, n)
	for it := n.Graph().To(n.ID()); it.Next(); {
		r := it.Node().(*G.Node)
		if waitsFor(r, n) {
			continue
		}
		all = append(all, s.order[r.ID()])
		if _, ours := r.Op().(*op); !ours {
			behind, outside := s.readers(r)
			all, forever = append(all, behind...), forever || outside
		}
	}
	return all, forever || len(all) == 0
}

// Written reports whether the last run computed the values of a node. One of
// fake-quantization, or a norm before it, does not where products multiply its
// codes.
func Written(n *G.Node) bool {
	o, ok := n.Op().(*op)
	return !ok || !o.unwritten
}

// descends reports whether n is computed from another node.
func descends(n, from *G.Node) bool {
	seen := map[int64]bool{}
	var visit func(n *G.Node) bool
	visit = func(n *G.Node) bool {
		if n == from {
			return true
		}
		if seen[n.ID()] {
			return false
		}
		seen[n.ID()] = true
		return slices.ContainsFunc(Operands(n), visit)
	}
	return visit(n)
}

// waitsFor reports whether a node runs after n without reading its value.
func waitsFor(reader, n *G.Node) bool {
	o, ok := reader.Op().(*op)
	return ok && slices.Contains(o.waits, n)
}

// Operands lists the nodes that a node is computed from, in order, and those
// that it only waits for.
func Operands(n *G.Node) G.Nodes {
	var nodes G.Nodes
	for it := n.Graph().From(n.ID()); it.Next(); {
		nodes = append(nodes, it.Node().(*G.Node))
	}
	return nodes
}

// onlyRead reports whether the readers, which may then overwrite n's value, are
// all that read it, and an op of this package made it. The graph is complete
// when it first runs.
func onlyRead(n *G.Node, readers ...*op) bool {
	o, ok := n.Op().(*op)
	if !ok || o.memory == nil || o.kept {
		return false
	}
	for it := n.Graph().To(n.ID()); it.Next(); {
		reader := it.Node().(*G.Node)
		r, ours := reader.Op().(*op)
		if !ours || !slices.Contains(readers, r) && !waitsFor(reader, n) {
			return false
		}
	}
	return true
}
