package quant

import (
	"maps"
	"slices"
)

// Scale names the rule that gives a group of elements its scale. In the
// formulas W is the group, n its size and top the largest code.
//
// The rules for binary and ternary grids give the scale; those for uniform
// grids give the range [lo, hi] of values that the codes cover. A symmetric
// grid covers the bound a = max(|lo|, |hi|) with scale = a/top; an affine one
// has scale = (hi-lo)/(levels-1) and the zero point that makes 0 exact. Every
// scale of a binary or ternary grid, every bound and every width hi-lo is at
// least 1e-5, so that a group of zeros has a scale.
type Scale string

// Rules for binary and ternary grids.
const (
	// AbsMean is mean|W|: with ternary codes BitNet b1.58
	// (arXiv:2402.17764, equations 1 to 3, but the scale is at least 1e-5
	// where the paper adds an epsilon), code = clamp(round(w/scale), -1, 1);
	// with binary ones XNOR-Net (arXiv:1603.05279, equation 6), code = 1
	// where w > 0 and -1 elsewhere. XNOR-Net gives w = 0 the code 1; -1 is
	// what BitNet gives it (arXiv:2310.11453, equation 2).
	AbsMean Scale = "absmean"
	// Median is the lower median of |W| (arXiv:2411.05882, section 3), less
	// moved by outliers than the mean.
	Median Scale = "median"
	// RMS is sqrt(mean W^2), the other usual size of a distribution: it
	// makes more zeros than absmean. It is no paper's rule.
	RMS Scale = "rms"
	// TWN sets |w| <= 0.7 mean|W| to 0 and gives the rest the mean of their
	// magnitudes (Li et al. 2016, arXiv:1605.04711, section on the
	// threshold-based ternary function): the least squared error, nearly,
	// for uniform and normal weights.
	TWN Scale = "twn"
	// TTQ sets |w| <= Config.Threshold max|W| to 0 and gives the rest the
	// mean of their magnitudes (Zhu et al. 2017, arXiv:1612.01064,
	// equation 9; its two scales start out equal).
	TTQ Scale = "ttq"
	// Optimal is the threshold and scale of the least squared error of all:
	// with |W| sorted downwards and S_k the sum of the first k, it keeps the
	// k that maximises S_k^2/k (arXiv:1605.04711, the exact problem of the
	// same section).
	Optimal Scale = "optimal"
	// Centred is BitNet's first binary rule (Wang et al. 2023,
	// arXiv:2310.11453, equations 1 to 3, and beta of equation 12 for the
	// scale): code = 1 where w > mean W and -1 elsewhere, scale = mean|W|.
	Centred Scale = "centred"
)

// Rules whose scale is learned: what they give is where learning begins, and
// [Scalar.Encode] takes what it has arrived at.
const (
	// LSQ begins at 2 mean|W| / sqrt(top) (Esser et al. 2020,
	// arXiv:1902.08153, section 2.1, unnumbered).
	LSQ Scale = "lsq"
	// SEQ is the stretched elastic quantizer of ParetoQ (arXiv:2502.02631,
	// section on the stretched elastic quantizer), which spreads its levels
	// evenly over [-alpha, alpha] and has no zero at 2 bits and more; alpha
	// begins at max|W|. The scale of the codes is 2 alpha/3 for a ternary
	// grid, alpha/2^bits otherwise.
	SEQ Scale = "seq"
)

// Rules for uniform grids.
const (
	// AbsMax covers max|W|, so that nothing is clipped: the activations of
	// BitNet (arXiv:2310.11453, equations 4 and 5) and b1.58, with a scale
	// for each token (arXiv:2402.17764, section 2, unnumbered).
	AbsMax Scale = "absmax"
	// MinMax covers min(W, 0) to max(W, 0) (arXiv:1712.05877, section 3.1,
	// unnumbered).
	MinMax Scale = "minmax"
	// Percentile covers all but 100-Config.Percentile per cent of the values,
	// half of the rest at each end if the grid is affine (Wu et al. 2020,
	// arXiv:2004.09602, section on calibration, unnumbered).
	Percentile Scale = "percentile"
	// MSE covers the range whose quantization has the least squared error,
	// searched over a histogram (Choukroun et al. 2019, arXiv:1902.06822,
	// section 3).
	MSE Scale = "mse"
	// KL covers the bound whose quantized histogram diverges least from the
	// histogram of |W| (Migacz 2017, 8-bit inference with TensorRT,
	// GTC S7310, the slides of the calibration algorithm, unnumbered).
	KL Scale = "kl"
	// Entropy covers the bound whose codes have the largest entropy, so that
	// every bit carries as much as it can (Qin et al. 2020,
	// arXiv:1909.10788, section on Libra parameter binarization, which has
	// it for one bit).
	Entropy Scale = "entropy"
	// Sigma covers mean W +- Config.Sigmas standard deviations. That the
	// range is a multiple of the deviation is the rule of Lin et al. 2016,
	// arXiv:1511.06393, section 3.
	Sigma Scale = "sigma"
	// ACIQGaussian and ACIQLaplace cover mean W +- the bound that has the
	// least expected squared error if W is normal, or Laplace distributed
	// (Banner et al. 2019, arXiv:1810.05723, section on analytical
	// clipping): see [ACIQ].
	ACIQGaussian Scale = "aciq-gaussian"
	ACIQLaplace  Scale = "aciq-laplace"
	// Static takes the scales and zero points of [Scalar.WithScales], or
	// those that are in the Tensor: the ones of calibration.
	Static Scale = "static"
)

// A rule tells what a scale rule is for.
type rule struct {
	grids     []gridKind
	threshold bool // a threshold decides about the code 0
}

var rules = map[Scale]rule{
	AbsMean:      {grids: []gridKind{binaryGrid, ternaryGrid}},
	Median:       {grids: []gridKind{ternaryGrid}},
	RMS:          {grids: []gridKind{ternaryGrid}},
	TWN:          {grids: []gridKind{ternaryGrid}, threshold: true},
	TTQ:          {grids: []gridKind{ternaryGrid}, threshold: true},
	Optimal:      {grids: []gridKind{ternaryGrid}, threshold: true},
	Centred:      {grids: []gridKind{binaryGrid}},
	LSQ:          {grids: []gridKind{ternaryGrid, uniformGrid}},
	SEQ:          {grids: []gridKind{ternaryGrid, uniformGrid}},
	AbsMax:       {grids: []gridKind{ternaryGrid, uniformGrid}},
	MinMax:       {grids: []gridKind{uniformGrid, affineGrid}},
	Percentile:   {grids: []gridKind{uniformGrid, affineGrid}},
	MSE:          {grids: []gridKind{uniformGrid, affineGrid}},
	KL:           {grids: []gridKind{uniformGrid}},
	Entropy:      {grids: []gridKind{uniformGrid, affineGrid}},
	Sigma:        {grids: []gridKind{uniformGrid, affineGrid}},
	ACIQGaussian: {grids: []gridKind{uniformGrid, affineGrid}},
	ACIQLaplace:  {grids: []gridKind{uniformGrid, affineGrid}},
	Static:       {grids: []gridKind{binaryGrid, ternaryGrid, uniformGrid, affineGrid}},
}

// Scales lists the rules in alphabetical order.
func Scales() []Scale { return slices.Sorted(maps.Keys(rules)) }

// ScalesFor lists the rules for a grid of that many bits.
func ScalesFor(bits float64, s Scheme) []Scale {
	kind := gridOf(bits, s)
	return slices.DeleteFunc(Scales(), func(s Scale) bool { return !slices.Contains(rules[s].grids, kind) })
}

// minScale keeps the scale of an all-zero group away from zero, as the
// reference implementations do.
const minScale = 1e-5
