package export

import (
	"strings"

	"trefoil/arch"
)

// turned reports whether an architecture of GGUF has the rows of a parameter in
// another order: llama.cpp's llama rotates pairs of neighbours in queries and
// keys, all others pairs of halves, as Trefoil does.
func turned(architecture string, p arch.Parameter) bool {
	return architecture == llama && (strings.HasSuffix(p.Name, ".q") || strings.HasSuffix(p.Name, ".k"))
}

// neighbours reorders the rows of a matrix [rows, columns], in heads of width
// rows, from pairs of halves to pairs of neighbours: row j*width/2 + i of a
// head becomes row 2i+j.
func neighbours[T any](w []T, columns, width int) []T {
	return reorder(w, columns, width, func(row int) int { return row%(width/2)*2 + row/(width/2) })
}

// halves is the inverse of neighbours.
func halves[T any](w []T, columns, width int) []T {
	return reorder(w, columns, width, func(row int) int { return row%2*(width/2) + row/2 })
}

// reorder moves each row of a head to row to(row) of that head.
func reorder[T any](w []T, columns, width int, to func(row int) int) []T {
	out := make([]T, len(w))
	for r := range len(w) / columns {
		at := r/width*width + to(r%width)
		copy(out[at*columns:(at+1)*columns], w[r*columns:(r+1)*columns])
	}
	return out
}
