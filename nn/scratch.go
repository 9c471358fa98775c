package nn

import "sync"

var scratch sync.Map // element type -> *sync.Pool of []T

// borrow returns n elements of scratch memory, their contents undefined, and
// a function that gives them back.
func borrow[T any](n int) (s []T, release func()) {
	var zero T
	p, ok := scratch.Load(zero)
	if !ok {
		p, _ = scratch.LoadOrStore(zero, new(sync.Pool))
	}
	pool := p.(*sync.Pool)
	held, _ := pool.Get().(*[]T)
	if held == nil || cap(*held) < n {
		held = new([]T)
		*held = make([]T, n)
	}
	return (*held)[:n], func() { pool.Put(held) }
}
