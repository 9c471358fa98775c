package kernel

// Add computes dst = a + b. dst may be a or b.
func Add[F Float](dst, a, b []F) {
	chunks(len(dst), grain, func(lo, hi int) {
		add(dst[lo:hi], a[lo:hi], b[lo:hi])
	})
}

func add[F Float](dst, a, b []F) {
	if v := vector[F](); v != nil {
		v.add(f32(dst), f32(a), f32(b))
		return
	}
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

// Combine computes dst = a*x + b*y. dst may be x or y.
func Combine[F Float](dst []F, a F, x []F, b F, y []F) {
	if len(dst) <= grain { // without a function that captures
		combine(dst, a, x[:len(dst)], b, y[:len(dst)])
		return
	}
	chunks(len(dst), grain, func(lo, hi int) { combine(dst[lo:hi], a, x[lo:hi], b, y[lo:hi]) })
}

func combine[F Float](dst []F, a F, x []F, b F, y []F) {
	if v := vector[F](); v != nil {
		v.combine(f32(dst), f32(x), f32(y), float32(a), float32(b))
		return
	}
	for i := range dst {
		dst[i] = a*x[i] + b*y[i]
	}
}

// Scale computes dst *= s.
func Scale[F Float](dst []F, s F) {
	if len(dst) <= grain {
		scale(dst, s)
		return
	}
	chunks(len(dst), grain, func(lo, hi int) { scale(dst[lo:hi], s) })
}

func scale[F Float](dst []F, s F) {
	if v := vector[F](); v != nil {
		v.scale(f32(dst), float32(s))
		return
	}
	for i := range dst {
		dst[i] *= s
	}
}

// FirstNonFinite returns the index of the first infinity or NaN in x, or -1.
func FirstNonFinite[F Float](x []F) int {
	buf := callSpace()
	defer buf.release()
	first := grow(&buf.int32, (len(x)+sumBlock-1)/sumBlock)
	Parallel(len(first), func(b int) {
		first[b] = int32(firstNonFinite(x[b*sumBlock : min(len(x), (b+1)*sumBlock)]))
	})
	for b, i := range first {
		if i >= 0 {
			return b*sumBlock + int(i)
		}
	}
	return -1
}

func firstNonFinite[F Float](x []F) int {
	if v := vector[F](); v != nil && v.finite(f32(x)) {
		return -1
	}
	for i, v := range x {
		if v-v != 0 {
			return i
		}
	}
	return -1
}

// sumBlock is the number of elements whose squares are summed in one go. It
// fixes the order of the sum.
const sumBlock = 32768

// SumSquares returns the sum of x^2, added up in float64 in an order that
// depends on the length of x only.
func SumSquares[F Float](x []F) float64 {
	if len(x) <= sumBlock { // without a function that captures
		return sumSquares(x)
	}
	buf := callSpace()
	defer buf.release()
	partial := grow(&buf.float64, (len(x)+sumBlock-1)/sumBlock)
	Parallel(len(partial), func(b int) {
		partial[b] = sumSquares(x[b*sumBlock : min(len(x), (b+1)*sumBlock)])
	})
	var sum float64
	for _, s := range partial {
		sum += s
	}
	return sum
}

func sumSquares[F Float](x []F) (sum float64) {
	if v := vector[F](); v != nil {
		return v.sumSquares(f32(x))
	}
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}
