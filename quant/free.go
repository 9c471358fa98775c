package quant

import "sync"

// A freeList keeps what calls work with for the next call. Unlike a sync.Pool
// it holds on to it through garbage collections, so that a call allocates
// nothing: there are never more items than goroutines that once ran at the
// same time.
type freeList[T any] struct {
	mu   sync.Mutex
	free []*T
}

// take returns an item that nobody uses, nil if there is none.
func (l *freeList[T]) take() *T {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) == 0 {
		return nil
	}
	item := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	return item
}

func (l *freeList[T]) put(item *T) {
	l.mu.Lock()
	l.free = append(l.free, item)
	l.mu.Unlock()
}
