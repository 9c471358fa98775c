package layers_test

import (
	"fmt"
	"log"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/layers"
)

// A ternary layer learns in anyone's own Gorgonia graph: here to add and to
// subtract its inputs.
func ExampleBitLinear() {
	x := []float32{1, 2, 3, 1, -2, 2, 0.5, -1}
	y := []float32{3, -1, 4, 2, 0, -4, -0.5, 1.5} // a+b, a-b
	matrix := func(g *G.ExprGraph, name string, data []float32) *G.Node {
		dense := tensor.New(tensor.WithShape(len(data)/2, 2), tensor.WithBacking(data))
		return G.NewMatrix(g, tensor.Float32, G.WithShape(len(data)/2, 2), G.WithName(name), G.WithValue(dense))
	}
	g := G.NewGraph()
	layer := layers.NewBitLinear(g, "layer", 2, 2, layers.Init{Seed: 1, Std: 0.5})
	prediction := G.Must(layer.Forward(matrix(g, "x", x)))
	difference := G.Must(G.Sub(prediction, matrix(g, "y", y)))
	loss := G.Must(G.Mean(G.Must(G.Square(difference))))
	if _, err := G.Grad(loss, layer.Weight.Node); err != nil {
		log.Fatal(err)
	}
	machine := G.NewTapeMachine(g)
	defer machine.Close()
	solver := G.NewVanillaSolver(G.WithLearnRate(0.05))
	for range 100 {
		if err := machine.RunAll(); err != nil {
			log.Fatal(err)
		}
		if err := solver.Step([]G.ValueGrad{layer.Weight.Node}); err != nil {
			log.Fatal(err)
		}
		machine.Reset()
	}
	fmt.Printf("loss %.2f, codes %v\n", loss.Value().Data(), layer.Codes())
	// Output: loss 0.00, codes [1 1 1 -1]
}
