package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
)

// SiLUGate returns the node silu(gate) * up, silu(v) = v / (1 + e^-v)
// (SwiGLU; Shazeer 2020, arXiv:2002.05202, equation 5): x is
// [tokens, 2 width], gate and up side by side; the result is [tokens, width].
func SiLUGate(x *G.Node) (*G.Node, error) {
	return gate("SiLUGate", x, kernel.SiLUGate[float32], kernel.SiLUGate[float64],
		kernel.SiLUGateGrad[float32], kernel.SiLUGateGrad[float64])
}

// ReLU2Gate returns the node relu(gate)^2 * up (squared ReLU; So et al. 2021,
// arXiv:2109.08668, section 4.2), with the shapes of [SiLUGate].
func ReLU2Gate(x *G.Node) (*G.Node, error) {
	return gate("ReLU2Gate", x, kernel.ReLU2Gate[float32], kernel.ReLU2Gate[float64],
		kernel.ReLU2GateGrad[float32], kernel.ReLU2GateGrad[float64])
}

type (
	gateForward[F kernel.Float]  func(y, x []F, rows, width int)
	gateBackward[F kernel.Float] func(dx, dy, x []F, rows, width int)
)

func gate(name string, x *G.Node, f32 gateForward[float32], f64 gateForward[float64], b32 gateBackward[float32], b64 gateBackward[float64]) (*G.Node, error) {
	if !isMatrix(x) || x.Shape()[1]%2 != 0 {
		return nil, shapeError(name, "a matrix [tokens, 2 width]", x)
	}
	return byType(name, x,
		func() (*G.Node, error) { return newGate(name, x, f32, b32) },
		func() (*G.Node, error) { return newGate(name, x, f64, b64) })
}

func newGate[F kernel.Float](name string, x *G.Node, forward gateForward[F], backward gateBackward[F]) (*G.Node, error) {
	rows, width := x.Shape()[0], x.Shape()[1]/2
	o, y := newOp[F](name, rows, width)
	o.run = func(in []G.Value) error {
		forward(y, values[F](in[0]), rows, width)
		return nil
	}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		back, dx := newOp[F](fmt.Sprint(name, "Grad"), rows, 2*width)
		back.run = func(in []G.Value) error {
			backward(dx, values[F](in[0]), values[F](in[1]), rows, width)
			return nil
		}
		gradX, err := back.apply(grad, in[0], out)
		return G.Nodes{gradX}, err
	}
	return o.apply(x)
}
