//go:build !purego

package kernel

//go:generate sh -c "cd _asm && go run . -out ../float_gemm_amd64.s -stubs ../float_gemm_amd64.go -pkg kernel float_gemm"
//go:generate sh -c "cd _asm && go run . -out ../float_elementwise_amd64.s -stubs ../float_elementwise_amd64.go -pkg kernel float_elementwise"
//go:generate sh -c "cd _asm && go run . -out ../float_exp_amd64.s -stubs ../float_exp_amd64.go -pkg kernel float_exp"
//go:generate sh -c "cd _asm && go run . -out ../float_rows_amd64.s -stubs ../float_rows_amd64.go -pkg kernel float_rows"

var vectorLevels = [...]*vectorKernels{AVX2: &avx2Kernels, AVX512: &avx512Kernels, VNNI: &avx512Kernels}

var avx2Kernels = vectorKernels{
	gemmTiles: gemmTiles{
		rows: 6, cols: 16, full: gemmTile6x16AVX2, half: gemmTile6x8AVX2,
		transpose8: transpose8AVX2, copyRows: copyRowsAVX2, rowTimesColumns: rowTimesColumnsAVX2,
	},

	add:        addAVX2,
	combine:    combineAVX2,
	scale:      scaleAVX2,
	dot:        dotAVX2,
	sumSquares: sumSquaresAVX2,
	maximum:    maximumAVX2,
	finite:     finiteAVX2,
	adamW:      adamWAVX2,

	expSum:          expSumAVX2,
	sumExp:          sumExpAVX2,
	siluGate:        siluGateAVX2,
	siluGateGrad:    siluGateGradAVX2,
	softmaxRows:     softmaxRowsAVX2,
	softmaxGradRows: softmaxGradRowsAVX2,

	relu2Gate:     relu2GateAVX2,
	relu2GateGrad: relu2GateGradAVX2,
	normalize:     normalizeAVX2,
	weightedDot:   weightedDotAVX2,
	rmsNormGrad:   rmsNormGradAVX2,
	squares4:      squares4AVX2,
	weightedDots4: weightedDots4AVX2,
	rmsNormGrad4:  rmsNormGrad4AVX2,
	rope:          ropeAVX2,
}

var avx512Kernels = vectorKernels{
	gemmTiles: gemmTiles{
		rows: 8, cols: 32, full: gemmTile8x32AVX512, half: gemmTile8x16AVX512,
		transpose8: transpose8AVX2, copyRows: copyRowsAVX2, rowTimesColumns: rowTimesColumnsAVX2,
	},

	add:        addAVX512,
	combine:    combineAVX512,
	scale:      scaleAVX512,
	dot:        dotAVX512,
	sumSquares: sumSquaresAVX512,
	maximum:    maximumAVX512,
	finite:     finiteAVX512,
	adamW:      adamWAVX512,

	expSum:          expSumAVX512,
	sumExp:          sumExpAVX512,
	siluGate:        siluGateAVX512,
	siluGateGrad:    siluGateGradAVX512,
	softmaxRows:     softmaxRowsAVX512,
	softmaxGradRows: softmaxGradRowsAVX512,

	relu2Gate:     relu2GateAVX512,
	relu2GateGrad: relu2GateGradAVX512,
	normalize:     normalizeAVX512,
	weightedDot:   weightedDotAVX512,
	rmsNormGrad:   rmsNormGradAVX512,
	squares4:      squares4AVX512,
	weightedDots4: weightedDots4AVX512,
	rmsNormGrad4:  rmsNormGrad4AVX512,
	rope:          ropeAVX512,
}
