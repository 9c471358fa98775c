package train

import (
	"slices"
	"testing"

	G "gorgonia.org/gorgonia"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/internal/kernel"
	"trefoil/nn"
	"trefoil/quant"
)

// While quantization blends in, all values that training computes with have
// the bits of the plain loop, one rounding an operation.
func TestBlendHasTheBitsOfAPlainLoop(t *testing.T) {
	a := arch.Config{Vocab: 53, Dim: 44, Layers: 2, Heads: 2, KVHeads: 1, FF: 79, Context: 37,
		Activation: arch.SiLU, RopeBase: 1e4, NormEps: 1e-5}
	q := config.Default().Quantization
	for level := kernel.Portable; level <= kernel.Best(); level++ {
		t.Run(level.String(), func(t *testing.T) {
			defer kernel.SetLevel(kernel.SetLevel(level))
			n, err := NewNetwork(a, q, 3, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			step := stepOf(t, n, q, config.Muon)
			for range 3 {
				step()
			}
			if err := n.Evaluate(); err != nil {
				t.Fatal(err)
			}
			lambda, checked := float32(n.Model.Linears()[0].Weights.Lambda), 0
			for _, node := range n.loss.Graph().AllNodes() {
				if want := blendedByLoop(node, lambda); want != nil {
					checked++
					if got := node.Value().Data().([]float32); !slices.Equal(got, want) {
						t.Errorf("%v: got %v..., want %v...", node, got[:3], want[:3])
					}
				}
			}
			if !(0.3 < lambda && lambda < 0.4) {
				t.Errorf("lambda is %v, not in the middle of the blend", lambda)
			}
			if want := 2 * (7 + 4); checked != want { // matrices, and the inputs that they share
				t.Errorf("%d nodes of fake-quantization, want %d", checked, want)
			}
		})
	}
}

// blendedByLoop returns the values of a node of fake-quantization, nil for
// others.
func blendedByLoop(n *G.Node, lambda float32) (y []float32) {
	if n.Op() == nil {
		return nil
	}
	name := n.Op().String()
	if name != "FakeQuantWeight" && name != "FakeQuantActivation" {
		return nil
	}
	x := slices.Clone(nn.Operands(n)[0].Value().Data().([]float32))
	codes, rows, cols := make([]int8, len(x)), n.Shape()[0], n.Shape()[1]
	scales := make([]float32, rows)
	if name == "FakeQuantWeight" {
		gamma := quant.Ternarize(codes, x, quant.AbsMean)
		for r := range scales {
			scales[r] = gamma
		}
	} else {
		kernel.QuantizeRows(codes, scales, x, rows, cols, 127)
	}
	for i, c := range codes {
		value := float32(float32(c) * scales[i/cols])
		y = append(y, x[i]+float32(lambda*float32(value-x[i])))
	}
	return y
}
