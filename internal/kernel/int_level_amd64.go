//go:build !purego

package kernel

//go:generate sh -c "cd _asm && go run . -out ../int_ternary_amd64.s -stubs ../int_ternary_amd64.go -pkg kernel int_ternary"
//go:generate sh -c "cd _asm && go run . -out ../int_grad_amd64.s -stubs ../int_grad_amd64.go -pkg kernel int_grad"
//go:generate sh -c "cd _asm && go run . -out ../int_quantize_amd64.s -stubs ../int_quantize_amd64.go -pkg kernel int_quantize"
//go:generate sh -c "cd _asm && go run . -out ../counts_amd64.s -stubs ../counts_amd64.go -pkg kernel counts"

var integerLevels = [...]*integerKernels{AVX2: &avx2Integers, AVX512: &avx512Integers, VNNI: &vnniIntegers}

var avx2Integers = integerKernels{
	ternary:           ternaryTiles{block: panelBlock, cols: 16, rows: []int{4, 2, 1}, tile: ternaryTileAVX2},
	unpacked:          ternaryTiles{block: 4 * panelBlock, cols: 16, rows: []int{6}, tile: unpackedTileAVX2},
	unpackPanel:       unpackPanelAVX2,
	grad:              wordTiles{cols: 16, rows: 6, tile: gradTileAVX2},
	packFour:          packFourAVX2,
	sumBytes:          sumBytesAVX2,
	interleaveBytes:   interleaveBytesAVX2,
	interleaveWords:   interleaveWordsAVX2,
	scaleTile:         scaleTileAVX2,
	addScaledSums:     addScaledSumsAVX2,
	foldTile:          foldTileAVX2,
	minMaxKeys:        minMaxKeysAVX2,
	absMax:            absMaxAVX2,
	absMaxScaled:      absMaxScaledAVX2,
	addAbsLanes:       addAbsLanesAVX2,
	quantize8:         quantize8AVX2,
	quantize16:        quantize16AVX2,
	quantizeColumns16: quantizeColumns16AVX2,
	dequantize8:       dequantize8AVX2,
	blend8:            blend8AVX2,
	prefetch:          prefetchAVX2,
	encodeHalf:        encodeHalfAVX2,
	decodeHalf:        decodeHalfAVX2,
}

var avx512Integers = integerKernels{
	ternary:           ternaryTiles{block: panelBlock, cols: 32, rows: []int{12, 8, 4, 2, 1}, tile: ternaryTileAVX512},
	unpacked:          ternaryTiles{block: 4 * panelBlock, cols: 32, rows: []int{12}, tile: unpackedTileAVX512},
	unpackPanel:       unpackPanelAVX512,
	grad:              wordTiles{cols: 32, rows: 12, tile: gradTileAVX512},
	packFour:          packFourAVX2,
	sumBytes:          sumBytesAVX2,
	interleaveBytes:   interleaveBytesAVX2,
	interleaveWords:   interleaveWordsAVX2,
	scaleTile:         scaleTileAVX512,
	addScaledSums:     addScaledSumsAVX512,
	foldTile:          foldTileAVX512,
	minMaxKeys:        minMaxKeysAVX512,
	absMax:            absMaxAVX512,
	absMaxScaled:      absMaxScaledAVX512,
	addAbsLanes:       addAbsLanesAVX512,
	quantize8:         quantize8AVX512,
	quantize16:        quantize16AVX512,
	quantizeColumns16: quantizeColumns16AVX512,
	dequantize8:       dequantize8AVX512,
	blend8:            blend8AVX512,
	prefetch:          prefetchAVX2,
	encodeHalf:        encodeHalfAVX2,
	decodeHalf:        decodeHalfAVX2,
}

// vnniIntegers are the AVX-512 kernels, but for the inner products.
var vnniIntegers = func() integerKernels {
	k := avx512Integers
	k.ternary.tile, k.unpacked.tile = ternaryTileVNNI, unpackedTileVNNI
	k.grad.tile = gradTileVNNI
	return k
}()
