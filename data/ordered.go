package data

import (
	"context"
	"runtime"
	"sync"
)

// ordered runs work on all cores for everything that produce emits, and consumes the
// results in that order. Only a few results for each core are in memory at a time. It
// ends with the first error of any of the three, or that of ctx. Only consume runs on
// the goroutine of the caller.
func ordered[T, R any](ctx context.Context, produce func(emit func(T) error) error, work func(T) (R, error), consume func(R) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	type job struct {
		in  T
		out chan R
	}
	cores := runtime.GOMAXPROCS(0)
	jobs := make(chan job, 2*cores)
	results := make(chan chan R, 2*cores)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)

	running.Go(func() {
		defer close(results)
		defer close(jobs)
		err := produce(func(in T) error {
			j := job{in, make(chan R, 1)}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case results <- j.out:
				jobs <- j // a job for each result: there is room, or a worker takes one
				return nil
			}
		})
		if err != nil {
			cancel(err)
		}
	})
	for range cores {
		running.Go(func() {
			for j := range jobs {
				out, err := work(j.in)
				if err != nil {
					cancel(err)
				}
				j.out <- out
			}
		})
	}
	for out := range results {
		result := <-out
		if ctx.Err() != nil {
			break
		}
		if err := consume(result); err != nil {
			cancel(err)
			break
		}
	}
	return context.Cause(ctx)
}
