// Package nn holds the operations of BitNet transformers and convolutional
// networks as nodes of a Gorgonia graph, each with its gradient.
//
// A quantized layer is integers times scales, in training as in inference.
// [FakeQuantWeight] and [FakeQuantActivation] therefore do more than round:
// their nodes hold the integer codes, and [Linear], which multiplies the two,
// multiplies the codes and scales once:
//
//	y[t,o] = float(sum_i x_code[t,i] * w_code[o,i]) * (scale[t] * gamma)
//
// The sum is exact, so the packed model computes the same bits. What breaks
// the integers, a blend that has not reached 1 or noise, takes the product of
// the float values in the same node.
//
// [FakeQuant] takes any quantizer of trefoil/quant. Where it is symmetric, with
// one scale for a tensor, a row or a group of weights, its codes are multiplied
// in the same way. [Conv2D] is the product with the windows of images, whose
// codes it takes from those of the images.
//
// Rounding has a zero derivative almost everywhere. The fake-quant nodes use
// a straight-through estimator instead ([trefoil/quant.Estimator]).
//
// Operations are whole: attention with its rotary embedding, a norm, a gate
// and the loss are one node each, backed by trefoil/internal/kernel. They
// take float32 nodes, and float64 nodes for checking gradients. Arguments of
// the wrong shape are an error when the graph is built; the message names the
// operation and the shapes.
//
// # Rules of the graph
//
// An operation owns the tensor that it returns, and the next run overwrites
// it; after [ShareMemory] the gradients of the same run overwrite what the
// forward pass no longer needs. Several graphs may share weights (create their nodes with
// [gorgonia.WithValue] on one tensor). A tape machine must be Reset after
// each RunAll. The lambda, noise and bits of a quantizer are read at each
// run, so a trainer changes them between runs without building a new graph.
package nn
