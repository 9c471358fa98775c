package nn

import (
	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// integers is what a fake-quant node shares with the products that read it:
// the integers behind the float values of the last run. The value of an
// element is its code times its scale.
type integers[F kernel.Float] struct {
	codes  []int8 // in the shape of the node
	scales []F    // one, one for each index of the first axis, or one a group
	group  int    // of weights with a scale a group: its size, which divides a row; otherwise 0
	// exact reports whether the node's values are codes times scales and
	// nothing else, so that a product may multiply the codes.
	exact func() bool
	// ternary says that codes are -1, 0 and 1.
	ternary bool
	// gradientBits is the precision of the backward products of what reads
	// the node as activations; nil means float.
	gradientBits func() int
	// maxCode is the largest code of a quantizer of rows whose codes a norm
	// before it may write in this run, 0 where it may not; nil means never.
	maxCode func() int
	// written says that the norm has written codes and scales.
	written bool
}

// integersOf returns the integers behind a node, nil if there are none.
func integersOf[F kernel.Float](n *G.Node) *integers[F] {
	if o, ok := n.Op().(*op); ok {
		c, _ := o.integers.(*integers[F])
		return c
	}
	return nil
}

// scale returns the scale of index i of the first axis.
func (c *integers[F]) scale(i int) F {
	if len(c.scales) == 1 {
		return c.scales[0]
	}
	return c.scales[i]
}

// readers finds the operations that read a fake-quant node, so that float
// values which nobody reads are not computed.
type readers struct {
	node *G.Node
	ops  []G.Op
}

// wantValues reports whether a reader needs the float values in this run. The
// graph is complete when it first runs.
func (r *readers) wantValues() bool {
	if r.ops == nil {
		for it := r.node.Graph().To(r.node.ID()); it.Next(); {
			if reader := it.Node().(*G.Node); !waitsFor(reader, r.node) {
				r.ops = append(r.ops, reader.Op())
			}
		}
	}
	for _, reader := range r.ops {
		if o, ok := reader.(*op); !ok || o.codesOnly == nil || !o.codesOnly() {
			return true
		}
	}
	return len(r.ops) == 0
}
