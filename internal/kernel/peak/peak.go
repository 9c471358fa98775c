// Package peak measures how many products a second the processor's
// multiplying instructions can do when nothing but registers takes part: what
// benchmarks of package kernel compare themselves with.
package peak

import "time"

// An Instruction multiplies and adds up packed numbers.
type Instruction struct {
	Name     string
	Products int // that one instruction does
	run      func(n int)
}

// instructionsARun is what one call of Instruction.run executes for n = 1.
const instructionsARun = 12

// Measure returns the products a second of one thread: the best of many short
// runs, since whatever disturbs one only slows it down.
func (i Instruction) Measure() float64 {
	const n, runs = 20_000, 100
	best := time.Duration(1 << 62)
	for range runs {
		start := time.Now()
		i.run(n)
		best = min(best, time.Since(start))
	}
	return float64(n*instructionsARun*i.Products) / best.Seconds()
}
