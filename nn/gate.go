package nn

import (
	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// SiLUGate returns the node silu(gate) * up, silu(v) = v / (1 + e^-v)
// (SwiGLU; Shazeer 2020, arXiv:2002.05202, equation 5): x is
// [tokens, 2 width], gate and up side by side; the result is [tokens, width].
func SiLUGate(x *G.Node) (*G.Node, error) {
	return gate(x, gateKernels[float32]{"SiLUGate", kernel.SiLUGate[float32], kernel.SiLUGateGrad[float32]},
		gateKernels[float64]{"SiLUGate", kernel.SiLUGate[float64], kernel.SiLUGateGrad[float64]})
}

// ReLU2Gate returns the node relu(gate)^2 * up (squared ReLU; So et al. 2021,
// arXiv:2109.08668, section 4.2), with the shapes of [SiLUGate].
func ReLU2Gate(x *G.Node) (*G.Node, error) {
	return gate(x, gateKernels[float32]{"ReLU2Gate", kernel.ReLU2Gate[float32], kernel.ReLU2GateGrad[float32]},
		gateKernels[float64]{"ReLU2Gate", kernel.ReLU2Gate[float64], kernel.ReLU2GateGrad[float64]})
}

// gateKernels is a gate: x, dx [rows, 2 width], y, dy [rows, width].
type gateKernels[F kernel.Float] struct {
	name     string
	forward  func(y, x []F, rows, width int)
	backward func(dx, dy, x []F, rows, width int)
}

func gate(x *G.Node, f32 gateKernels[float32], f64 gateKernels[float64]) (*G.Node, error) {
	if !isMatrix(x) || x.Shape()[1]%2 != 0 {
		return nil, shapeError(f32.name, "a matrix [tokens, 2 width]", x)
	}
	return byType(f32.name, x,
		func() (*G.Node, error) { return newGate(x, f32) },
		func() (*G.Node, error) { return newGate(x, f64) })
}

func newGate[F kernel.Float](x *G.Node, k gateKernels[F]) (*G.Node, error) {
	rows, width := x.Shape()[0], x.Shape()[1]/2
	o, y := newOp[F](k.name, rows, width)
	o.run = func(in []G.Value) error {
		k.forward(y.data, values[F](in[0]), rows, width)
		return nil
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		back, dx := newOp[F](k.name+"Grad", rows, 2*width)
		back.run = func(in []G.Value) error {
			k.backward(dx.data, values[F](in[0]), values[F](in[1]), rows, width)
			return nil
		}
		back.waits = G.Nodes{out}
		gradX, err := back.apply(grad, in[0])
		return G.Nodes{gradX}, err
	}
	return o.apply(x)
}
