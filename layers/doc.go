// Package layers builds the layers of quantized networks in a Gorgonia graph. A
// layer owns its parameters and their names; its Forward method adds the
// operations of trefoil/nn to the graph.
//
// [BitLinear] and its siblings stand alone: they can be used in any Gorgonia
// graph, as the example shows. [Transformer] is the model that trefoil/arch
// describes, built of them.
//
// [Swap] quantizes layers of a model by name, in any way that trefoil/quant
// knows, and [SwapBack] makes them float32 again; Freeze returns a layer
// packed, with the bits that it has in the graph. [ConvNet] is a network to
// classify images.
//
// A layer that is quantized keeps its quantizers in exported fields. The graph
// reads them at each run, so a trainer may change them between two runs.
package layers
