package kernel

// AddRows adds each row of x: [len(ids), dim] to the row of dst: [any, dim]
// that its id names. Rows of one id are added in their order.
func AddRows[F Float](dst, x []F, ids []int32, dim int) {
	x = x[:len(ids)*dim]
	const columns = 128
	chunks((dim+columns-1)/columns, max(1, grain/(columns*max(1, len(ids)))), func(from, to int) {
		lo, hi := from*columns, min(dim, to*columns)
		for r, id := range ids {
			row := dst[int(id)*dim+lo : int(id)*dim+hi]
			add(row, row, x[r*dim+lo:r*dim+hi])
		}
	})
}

// CopyRows copies the row of table: [any, dim] that each id names to a row of
// y: [len(ids), dim].
func CopyRows[F Float](y, table []F, ids []int32, dim int) {
	chunks(len(ids), 1+grain/max(1, dim), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			copy(y[r*dim:(r+1)*dim], table[int(ids[r])*dim:])
		}
	})
}
