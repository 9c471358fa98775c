//go:build !purego

package kernel

//go:generate sh -c "cd _asm && go run . -out ../int_dot_amd64.s -stubs ../int_dot_amd64.go -pkg kernel int_dot"

var dotTiles = [...]dotTile{AVX2: dotTileAVX2, AVX512: dotTileAVX512, VNNI: dotTileVNNI}
