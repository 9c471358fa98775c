package quant

import (
	"context"
	"sync"

	"trefoil/internal/kernel"
)

const (
	// block is the number of elements that a statistic takes at a time: that
	// of [kernel.AbsMean], so that absmean has the same bits.
	block = kernel.AbsMeanBlock
	// taskBlocks blocks are a task for one goroutine.
	taskBlocks = 16
	taskSize   = taskBlocks * block
	// stripTasks tasks are done between two looks at the context.
	stripTasks = 64
)

// work is one call of a quantizer: what it works on, and what it works with.
// A group of up to taskSize elements is done in one go by one goroutine;
// larger ones are done one after another, each by all goroutines.
type work struct {
	call   // its source when quantizing
	q      *Scalar
	rule   Scale    // that of q, or static
	encode encoding // that of q, or for static scales
	t      *Tensor
	values []float32 // when dequantizing
	done   int
	half   int // how much of half the large group at hand its statistics have seen

	dst   []int8 // where codes go: those of t, or the strip that is handed out
	first int    // the element of dst[0]
	strip []int8 // what is handed out

	phase phase
	base  int // first task of the strip
	body  func(i int)

	batch int // groups of a task, if they are small
	group int // the large group at hand, its elements and parameters
	view  view
	param params

	want  measure // the statistic at hand, its argument and its parts
	arg   float32
	parts [stripTasks]stats
	sums  [stripTasks][taskBlocks]float64 // of the blocks, for absSum

	mu     sync.Mutex
	err    error
	failed int // the group of err

	shape [1]int
}

type phase int

const (
	quantizing    phase = iota // groups of a task
	dequantizing               // groups of a task
	measuring                  // a piece of a large group
	encodingPiece              // a piece of a large group
	decodingPiece              // a piece of a large group
)

var (
	works     freeList[work]
	scratches freeList[scratch]
)

func takeWork() *work {
	w := works.take()
	if w == nil {
		w = new(work)
		w.body = func(i int) { w.task(w.base + i) }
	}
	return w
}

// release forgets the caller's slices, and keeps the rest for the next call.
func (w *work) release() {
	w.call, w.q, w.t, w.values, w.dst = call{}, nil, nil, nil, nil
	w.view, w.done, w.half, w.first, w.err = view{}, 0, 0, 0, nil
	works.put(w)
}

// scratch is what one goroutine works in.
type scratch struct {
	x      []float32
	codes  []int8
	sums   [taskBlocks]float64
	copy   []float32 // sorted
	keys   []uint32
	counts counts
	totals []total
	hist   Histogram
	bins   []uint64  // of hist
	value  []float32 // points of a search
	weight []float64
}

func takeScratch() *scratch {
	s := scratches.take()
	if s == nil {
		s = &scratch{x: make([]float32, taskSize), codes: make([]int8, taskSize)}
	}
	return s
}

func (s *scratch) release() { scratches.put(s) }

// overGroups quantizes or dequantizes all groups.
func (w *work) overGroups(p phase) error {
	l := w.t.Layout
	if l.Size() <= taskSize {
		w.batch = max(1, taskSize/4/l.Size())
		return w.run(p, (l.Groups+w.batch-1)/w.batch, w.batch*l.Size(), l.Groups*l.Size())
	}
	for g := range l.Groups {
		if err := w.largeGroup(p, g); err != nil {
			return err
		}
	}
	return nil
}

// run does n tasks of a phase, in parallel, with a look at the context before
// every strip of them. A task finishes size elements, but the last may have
// fewer: end are done after it.
func (w *work) run(p phase, n, size, end int) error {
	w.phase = p
	for w.base = 0; w.base < n; w.base += stripTasks {
		if err := w.stopped(); err != nil {
			return err
		}
		tasks := min(stripTasks, n-w.base)
		after := min(end, w.done+tasks*size)
		if w.take != nil {
			w.strip = resize(w.strip, after-w.done)
			w.dst, w.first = w.strip, w.done
		}
		kernel.Parallel(tasks, w.body)
		if w.err != nil {
			return w.err
		}
		if w.take != nil {
			if err := w.take(w.done, w.strip); err != nil {
				return err
			}
		}
		w.done = after
		if w.progress != nil {
			ahead := 0 // what the statistics are worth, less and less
			if p == encodingPiece {
				ahead = w.half * (end - w.done) / w.view.size()
			}
			w.progress(w.done+ahead, w.t.Layout.Groups*w.t.Layout.Size())
		}
	}
	return nil
}

// stopped returns the error of the context, if it has one.
func (w *work) stopped() error {
	if w.ctx != nil && w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	return nil
}

// looked notes that a statistic has seen the first blocks of the large group at
// hand. Its statistics are half of the work, however many there are.
func (w *work) looked(blocks int) {
	if w.progress == nil {
		return
	}
	w.half = max(w.half, min(blocks*block, w.view.size())/2)
	w.progress(w.done+w.half, w.t.Layout.Groups*w.t.Layout.Size())
}

// eachBlock calls body with the blocks of the group v, with a look at the
// context now and then.
func (w *work) eachBlock(s *scratch, v *view, body func(x []float32)) error {
	for i := range v.blocks() {
		if i > 0 && i%(taskBlocks*stripTasks) == 0 {
			if err := w.stopped(); err != nil {
				return err
			}
			w.looked(i)
		}
		body(v.block(s.x, i))
	}
	return nil
}

func (w *work) task(i int) {
	s := takeScratch()
	defer s.release()
	switch w.phase {
	case quantizing, dequantizing:
		for g := i * w.batch; g < min((i+1)*w.batch, w.t.Layout.Groups); g++ {
			if w.phase == dequantizing {
				w.dequantize(g, 0, w.t.Layout.Size())
			} else if err := w.smallGroup(s, g); err != nil {
				w.fail(g, err)
			}
		}
	case measuring:
		w.parts[i-w.base] = w.want.of(s, &w.view, i*taskBlocks, w.arg)
		w.sums[i-w.base] = s.sums
	case encodingPiece:
		w.encodePiece(s, i)
	case decodingPiece:
		w.dequantize(w.group, i*taskSize, min(taskSize, w.t.Layout.Size()-i*taskSize))
	}
}

// fail keeps the error of the first group that has one.
func (w *work) fail(g int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil || g < w.failed {
		w.err, w.failed = err, g
	}
}

func (w *work) smallGroup(s *scratch, g int) error {
	l := w.t.Layout
	v := groupOf(w.src, l, g)
	x := v.read(s.x, 0, l.Size())
	p, err := w.params(s, viewOf(x), g)
	if err != nil {
		return err
	}
	w.store(g, p)
	if l.Runs == 1 {
		w.encodeTo(w.dst[v.start-w.first:][:l.Run], x, p, g*l.Run)
		return nil
	}
	w.encodeTo(s.codes[:len(x)], x, p, g*len(x))
	v.write(w.dst, s.codes[:len(x)], 0)
	return nil
}

func (w *work) largeGroup(p phase, g int) error {
	size := w.t.Layout.Size()
	pieces, end := (size+taskSize-1)/taskSize, (g+1)*size
	w.group = g
	if p == dequantizing {
		return w.run(decodingPiece, pieces, taskSize, end)
	}
	s := takeScratch()
	defer s.release()
	w.view, w.half = groupOf(w.src, w.t.Layout, g), 0
	var err error
	if w.param, err = w.params(s, w.view, g); err != nil {
		return err
	}
	w.store(g, w.param)
	return w.run(encodingPiece, pieces, taskSize, end)
}

func (w *work) encodePiece(s *scratch, i int) {
	lo := i * taskSize
	x := w.view.read(s.x, lo, min(taskSize, w.view.size()-lo))
	place := w.group*w.view.size() + lo
	if w.view.runs == 1 {
		w.encodeTo(w.dst[w.view.start+lo-w.first:][:len(x)], x, w.param, place)
		return
	}
	w.encodeTo(s.codes[:len(x)], x, w.param, place)
	w.view.write(w.dst, s.codes[:len(x)], lo)
}

func (w *work) store(g int, p params) {
	w.t.Scales[g] = p.scale
	if len(w.t.Zeros) > 0 {
		w.t.Zeros[g] = int8(p.zero)
	}
}

// dequantize writes the values of n elements of the group g, from the k-th
// on.
func (w *work) dequantize(g, k, n int) {
	l, scale, zero := w.t.Layout, w.t.Scales[g], int8(0)
	if len(w.t.Zeros) > 0 {
		zero = w.t.Zeros[g]
	}
	for done := 0; done < n; {
		r, o := (k+done)/l.Run, (k+done)%l.Run
		m := min(l.Run-o, n-done)
		lo := l.Start(g) + r*l.Stride + o
		dst, codes := w.values[lo:lo+m], w.t.Codes[lo:lo+m]
		if zero == 0 {
			kernel.DequantizeSpan(dst, codes, scale)
		} else {
			for i, c := range codes {
				dst[i] = float32(int(c)-int(zero)) * scale
			}
		}
		done += m
	}
}
