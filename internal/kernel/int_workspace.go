package kernel

import "unsafe"

// rowGrain returns how many rows of cols elements make one task.
func rowGrain(cols int) int { return max(1, grain/max(1, cols)) }

// workspace holds the buffers of one call of an integer kernel, or of one task
// of it. They grow to what the largest needs and are used again.
type workspace struct {
	list    *freeList[workspace]
	float32 []float32
	float64 []float64
	bytes   []byte
	int8    []int8
	int16   []int16
	int32   []int32
	offsets []int32
}

// Calls pack whole operands and tasks only a few rows, so that they have lists
// of their own: a task should not hold on to what a call has grown.
var callSpaces, taskSpaces freeList[workspace]

func callSpace() *workspace { return takeSpace(&callSpaces) }
func taskSpace() *workspace { return takeSpace(&taskSpaces) }

func takeSpace(list *freeList[workspace]) *workspace {
	w := list.take()
	w.list = list
	return w
}

// release gives the buffers back: nobody may use them any more.
func (w *workspace) release() { w.list.put(w) }

// cacheLine is the alignment of packed operands, in bytes: a vector load that
// straddles two lines costs twice.
const cacheLine = 64

// grow returns a slice of n elements that begins on a cache line, in *buf if
// that is large enough. The contents are arbitrary.
func grow[T any](buf *[]T, n int) []T {
	if cap(*buf) < n {
		*buf = alignedSlice[T](n)
	}
	return (*buf)[:n]
}

func alignedSlice[T any](n int) []T {
	size := int(unsafe.Sizeof(*new(T)))
	s := make([]T, n+cacheLine/size)
	off := int(uintptr(unsafe.Pointer(unsafe.SliceData(s))) % cacheLine)
	skip := (cacheLine - off) % cacheLine / size
	return s[skip : skip+n : skip+n]
}

// floats returns n elements of the buffer for F.
func floats[F Float](s *workspace, n int) []F {
	if f, ok := any(&s.float32).(*[]F); ok {
		return grow(f, n)
	}
	return grow(any(&s.float64).(*[]F), n)
}
