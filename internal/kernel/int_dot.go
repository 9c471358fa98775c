package kernel

// A dotTile multiplies 1 or dotTileRows rows of x with dotTileOuts rows of w;
// n is a positive multiple of dotTileStep. It is documented where the assembly
// is declared.
type dotTile func(sums *int32, lds int, x *int8, ldx, rows int, w *int8, ldw, n int)

const (
	dotTileRows = 2
	dotTileOuts = 4
	dotTileStep = 32
)

// DotCodes multiplies rows of x with outs rows of w, n codes of each:
//
//	sums[r*lds+o] = sum over i < n of x[r*ldx+i]*w[o*ldw+i]
//
// lds is at least outs+3: what a row of sums has beyond outs is overwritten.
// Sums are exact while they fit an int32: up to n = 131071 whatever the codes.
// It runs on one thread.
func DotCodes(sums []int32, lds int, x []int8, ldx, rows int, w []int8, ldw, outs, n int) {
	if rows == 0 || outs == 0 {
		return
	}
	sums, x, w = sums[:rows*lds], x[:(rows-1)*ldx+n], w[:(outs-1)*ldw+n]
	whole := 0
	if tile := dotTiles[Active()]; tile != nil && n >= dotTileStep {
		whole = n &^ (dotTileStep - 1)
		dotTilesOf(tile, sums, lds, x, ldx, rows, w, ldw, outs, whole)
	} else {
		clear(sums)
	}
	if whole == n {
		return
	}
	for r := range rows {
		for o := range outs {
			sums[r*lds+o] += dot8(x[r*ldx+whole:r*ldx+n], w[o*ldw+whole:o*ldw+n])
		}
	}
}

// dotTilesOf sums the first n codes, whole steps. An output that is left over
// by fours is multiplied four times, the others' places being filled in later.
func dotTilesOf(tile dotTile, sums []int32, lds int, x []int8, ldx, rows int, w []int8, ldw, outs, n int) {
	for o := 0; o < outs; {
		count, stride := dotTileOuts, ldw
		if o+dotTileOuts > outs {
			count, stride = 1, 0
		}
		for r := 0; r < rows; r += dotTileRows {
			tile(&sums[r*lds+o:][:dotTileOuts][0], lds, &x[r*ldx], ldx, min(dotTileRows, rows-r), &w[o*ldw], stride, n)
		}
		o += count
	}
}
