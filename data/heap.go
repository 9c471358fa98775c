package data

// ordering is a type whose values come before one another.
type ordering[T any] interface{ before(T) bool }

var (
	_ ordering[candidate]  = candidate{}
	_ ordering[queuedPair] = queuedPair{}
)

// heap is a binary heap: pop returns the element that comes before all others.
type heap[T ordering[T]] []T

func (h *heap[T]) push(x T) {
	*h = append(*h, x)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if !s[i].before(s[up]) {
			return
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
}

func (h *heap[T]) pop() T {
	s := *h
	top, last := s[0], len(s)-1
	s[0] = s[last]
	s = s[:last]
	*h = s
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return top
		}
		if right := down + 1; right < last && s[right].before(s[down]) {
			down = right
		}
		if !s[down].before(s[i]) {
			return top
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
}
