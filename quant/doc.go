// Package quant says what a quantizer is: which integer codes stand for a
// tensor, and by which scale. It works on plain slices and knows no graph.
//
// A [Config] describes a quantizer; its zero value is the weight quantizer of
// BitNet b1.58. [New] checks it and returns a [Scalar], which fills a
// [Tensor] with codes, scales and zero points:
//
//	q, err := quant.New(quant.Config{Bits: 4, Granularity: quant.PerGroup, Group: 64})
//	var t quant.Tensor
//	err = q.QuantizeInto(&t, w, 256, 1024) // w: 256 x 1024 float32, row-major
//	err = t.Dequantize(y)
//
// The value of a code is always (code - zero) * scale, with one scale for a
// tensor, a channel, a token, a group or a block.
//
// # The rules of BitNet b1.58
//
// Two rules make BitNet b1.58 (Ma et al. 2024, arXiv:2402.17764, section 2:
// equations 1 to 3 for the weights, and without numbers, by reference to
// equations 4 and 5 of BitNet, arXiv:2310.11453, for the activations):
//
//	weights      gamma = max(mean|W|, 1e-5)     code = clamp(round(w/gamma), -1, 1)
//	activations  scale = max(max|x|, 1e-5)/127  code = clamp(round(x/scale), -128, 127)
//
// with one gamma for a weight matrix and one scale for a token, and rounding
// half to even: Config{} and Config{Bits: 8, Granularity: PerToken}. The paper
// adds a small number to what it divides by, gamma + epsilon; here, as in the
// authors' code, gamma is at least 1e-5. The exact float32 operations behind
// both, and the fixed order in which mean|W| is summed, are those of
// [trefoil/internal/kernel.AbsMean], [trefoil/internal/kernel.Ternarize] and
// [trefoil/internal/kernel.QuantizeRows]: training, export and inference
// compute the same, so they agree bit for bit.
//
// # What else there is
//
//   - [Scale] names the rules for the scale or the range of a group, [Rounding]
//     the ways to round, [Granularity] who shares a scale.
//   - [LSQForward], [SEQForward], [PACTForward] and their Backward are the
//     quantizers whose scale is learned; [Scalar.Encode] takes learned or
//     calibrated scales, and [Scalar.WithScales] makes them the quantizer's
//     own. [Estimator] is the derivative of the others.
//   - [Noise] disturbs weights as quantization would.
//   - [SplitColumns], [SmoothScales] and [Hadamard] deal with outliers.
//   - [Compare] measures, [Check] validates, [Mixed] gives layers quantizers by
//     pattern, [Scalar.QuantizeBatch] shares buffers among tensors.
//   - [Scalar.QuantizeInput] reads float16 and bfloat16 too, and can be stopped,
//     as [Tensor.DequantizeContext] can; [Scalar.QuantizePieces] hands codes out
//     as they are made.
//
// # Strange numbers
//
// NaN and infinities are errors, whatever the rule; so are scales that overflow
// their type, and those with which the value of a code overflows float32. A
// group of zeros, or of denormals, has the scale that belongs to the bound 1e-5.
// The results depend on nothing but the input and the configuration: not on the
// number of threads, nor on what else is quantized.
package quant
