package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachIntLevel runs test at every level above Portable that this machine has,
// with 1, 2 and 3 threads.
func eachIntLevel(t *testing.T, test func(t *testing.T)) {
	levels := []Level{}
	for l := AVX2; l <= Best(); l++ {
		levels = append(levels, l)
	}
	if len(levels) == 0 {
		levels = append(levels, Portable)
	}
	for _, l := range levels {
		for threads := 1; threads <= 3; threads++ {
			t.Run(fmt.Sprintf("%v/%d", l, threads), func(t *testing.T) {
				defer SetLevel(SetLevel(l))
				defer SetThreads(SetThreads(threads))
				test(t)
			})
		}
	}
}

// portably runs f at the portable level on one thread.
func portably(f func()) {
	defer SetLevel(SetLevel(Portable))
	defer SetThreads(SetThreads(1))
	f()
}

// fenced is a slice with guard values on both sides.
type fenced[T comparable] struct {
	all   []T
	s     []T
	guard T
}

const fences = 67

// guard is the guard value of floats, where nothing else is needed.
const guard = -7777

func newFenced[T comparable](n int, guard T) fenced[T] {
	all := make([]T, n+2*fences)
	for i := range all {
		all[i] = guard
	}
	return fenced[T]{all, all[fences : fences+n : fences+n], guard}
}

func fencedCopy[T comparable](s []T, guard T) fenced[T] {
	g := newFenced(len(s), guard)
	copy(g.s, s)
	return g
}

func (g fenced[T]) check(t *testing.T, name string) {
	t.Helper()
	for i, v := range g.all {
		if i -= fences; (i < 0 || i >= len(g.s)) && v != g.guard {
			t.Fatalf("%s: wrote %v at index %d of %d", name, v, i, len(g.s))
		}
	}
}

// same fails unless got and want are equal, NaNs being equal to each other.
func same[T comparable](t *testing.T, name string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", name, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s[%d] = %v, want %v", name, i, got[i], want[i])
		}
	}
}

func random8(rng *rand.Rand, n, lo, hi int) []int8 {
	s := make([]int8, n)
	for i := range s {
		s[i] = int8(lo + rng.IntN(hi-lo+1))
	}
	return s
}

func gaussian[F Float](rng *rand.Rand, n int) []F {
	s := make([]F, n)
	for i := range s {
		s[i] = F(rng.NormFloat64())
	}
	return s
}

// random is gaussian between guard values.
func random[F Float](rng *rand.Rand, n int) fenced[F] {
	return fencedCopy(gaussian[F](rng, n), guard)
}

// heavyTailed has a few values far above the others, as gradients do.
func heavyTailed(rng *rand.Rand, n int) []float32 {
	s := gaussian[float32](rng, n)
	for i := range s {
		s[i] /= float32(math.Sqrt(rng.Float64() + 1e-4))
	}
	return s
}

// awkward sizes: none, one, primes, and both sides of every tile and panel.
var sizes = []int{0, 1, 2, 3, 7, 11, 12, 13, 16, 17, 31, 32, 33, 47, 64, 65, 97, 127, 130, 255, 256, 257, 263, 300, 521}

func pick(rng *rand.Rand) int { return sizes[rng.IntN(len(sizes))] }
