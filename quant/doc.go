// Package quant says what a quantizer is: which integer codes stand for a
// tensor, and by which scale. It works on plain slices and knows no graph.
//
// Two rules make BitNet b1.58 (Ma et al. 2024, arXiv:2402.17764, section 2):
//
//	weights      gamma = max(mean|W|, 1e-5)     code = clamp(round(w/gamma), -1, 1)
//	activations  scale = max(max|x|, 1e-5)/127  code = clamp(round(x/scale), -128, 127)
//
// with one gamma for a weight matrix and one scale for a token, and rounding
// half to even. The exact float32 operations behind both, and the fixed order
// in which mean|W| is summed, are those of [trefoil/internal/kernel.AbsMean],
// [trefoil/internal/kernel.Ternarize] and
// [trefoil/internal/kernel.QuantizeRows]: training, export and inference call
// the same functions, so they agree bit for bit.
package quant
