package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// eachLevel runs a test at every level that this machine has.
func eachLevel(t *testing.T, test func(t *testing.T, l Level)) {
	for l := Portable; l <= min(Best(), AVX512); l++ {
		t.Run(l.String(), func(t *testing.T) {
			defer SetLevel(SetLevel(l))
			test(t, l)
		})
	}
}

var gemms = []struct {
	name string
	f32  func(c, a, b []float32, m, n, k int, add bool)
	f64  func(c, a, b []float64, m, n, k int, add bool)
}{
	{"NN", GemmNN[float32], GemmNN[float64]},
	{"NT", GemmNT[float32], GemmNT[float64]},
	{"TN", GemmTN[float32], GemmTN[float64]},
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// near fails unless |got - want| <= bound for each element.
func near(t *testing.T, what string, got []float32, want []float64, bound float64) {
	t.Helper()
	for i, w := range want {
		if d := math.Abs(float64(got[i]) - w); !(d <= bound) {
			t.Fatalf("%s: element %d is %v, want %v (bound %g)", what, i, got[i], w, bound)
		}
	}
}

// TestGemm compares with the product in float64; a sum of k products of
// standard normals is off by some k * 2^-24 times their size at most.
func TestGemm(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		r := rand.New(rand.NewPCG(1, 2))
		shapes := [][3]int{{0, 3, 2}, {3, 0, 2}, {3, 2, 0}, {1, 1, 1}, {1, 300, 64}, {64, 65, 32}, {7, 31, 193}, {250, 130, 400}, {500, 20, 33}}
		for range 60 {
			shapes = append(shapes, [3]int{r.IntN(70), r.IntN(100), r.IntN(60)})
		}
		for _, s := range shapes {
			checkGemm(t, r, s[0], s[1], s[2])
		}
		defer SetThreads(SetThreads(1)) // one rectangle of several blocks, which are copied
		checkGemm(t, r, blockM+9, copyCols+1, blockK+1)
	})
}

func FuzzGemm(f *testing.F) {
	f.Add(uint8(9), uint8(33), uint16(257), uint64(1))
	f.Fuzz(func(t *testing.T, m, n uint8, k uint16, seed uint64) {
		for l := Portable; l <= min(Best(), AVX512); l++ {
			defer SetLevel(SetLevel(l))
			checkGemm(t, rand.New(rand.NewPCG(seed, 0)), int(m), int(n), int(k%600))
		}
	})
}

func checkGemm(t *testing.T, r *rand.Rand, m, n, k int) {
	t.Helper()
	for _, g := range gemms {
		for _, add := range []bool{false, true} {
			a, b, c := random[float32](r, m*k), random[float32](r, k*n), random[float32](r, m*n)
			want := widen(c.s)
			g.f64(want, widen(a.s), widen(b.s), m, n, k, add)
			g.f32(c.s, a.s, b.s, m, n, k, add)
			what := fmt.Sprintf("%s %dx%dx%d add=%v", g.name, m, n, k, add)
			near(t, what, c.s, want, 1e-5*(1+math.Sqrt(float64(k))))
			c.check(t, what)
		}
	}
}

// TestGemmChain checks the contract on bits: every row of a product equals
// the product of that row alone, with any number of threads.
func TestGemmChain(t *testing.T) {
	eachLevel(t, func(t *testing.T, l Level) {
		defer SetThreads(SetThreads(1))
		r := rand.New(rand.NewPCG(3, 4))
		const m, n = 261, 129
		for _, k := range []int{45, 421, 424} {
			a, b, before := gaussian[float32](r, m*k), gaussian[float32](r, k*n), gaussian[float32](r, m*n)
			for _, g := range gemms {
				for _, add := range []bool{false, true} {
					for _, threads := range []int{1, 3} {
						SetThreads(threads)
						all := slices.Clone(before)
						g.f32(all, a, b, m, n, k, add)
						for i := 0; i < m; i += 7 {
							row, one := a[i*k:(i+1)*k], slices.Clone(before[i*n:(i+1)*n])
							if g.name == "TN" {
								row = column(a, i, m)
							}
							g.f32(one, row, b, 1, n, k, add)
							same(t, fmt.Sprintf("%s add=%v k=%d, %d threads: row %d alone", g.name, add, k, threads, i), one, all[i*n:(i+1)*n])
						}
					}
				}
			}
		}
	})
}

// column returns column i of a matrix with cols columns.
func column(a []float32, i, cols int) (c []float32) {
	for ; i < len(a); i += cols {
		c = append(c, a[i])
	}
	return c
}

// TestSymmetricProducts compares the products of symmetric results with the
// plain ones, which they must equal below the diagonal, and wants them
// symmetric.
func TestSymmetricProducts(t *testing.T) {
	eachLevel(t, func(t *testing.T, _ Level) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, n := range []int{0, 1, 2, 7, 8, 31, 33, 64, 97, 250, 300} {
			for _, k := range []int{0, 1, 30, 257} {
				checkGram(t, r, n, k)
			}
			checkMulSymmetric(t, r, n)
		}
	})
}

func FuzzSymmetricProducts(f *testing.F) {
	f.Add(uint64(1), uint8(33), uint16(130))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8, k uint16) {
		for l := Portable; l <= min(Best(), AVX512); l++ {
			defer SetLevel(SetLevel(l))
			r := rand.New(rand.NewPCG(seed, 0))
			checkGram(t, r, int(n%70), int(k%300))
			checkMulSymmetric(t, r, int(n%70))
		}
	})
}

func checkGram(t *testing.T, r *rand.Rand, n, k int) {
	t.Helper()
	a, want := random[float32](r, n*k).s, make([]float32, n*n)
	GemmNT(want, a, a, n, n, k, false)
	checkSymmetric(t, fmt.Sprintf("Gram %dx%d", n, k), n, want, func(c []float32) { Gram(c, a, n, k, false) })
	GemmTN(want, a, a, n, n, k, false)
	checkSymmetric(t, fmt.Sprintf("Gram %dx%d of columns", k, n), n, want, func(c []float32) { Gram(c, a, n, k, true) })
}

func checkMulSymmetric(t *testing.T, r *rand.Rand, n int) {
	t.Helper()
	s, want := make([]float32, n*n), make([]float32, n*n)
	Gram(s, random[float32](r, n*n).s, n, n, false)
	GemmNN(want, s, s, n, n, n, false)
	checkSymmetric(t, fmt.Sprintf("MulSymmetric %d", n), n, want, func(c []float32) { MulSymmetric(c, s, s, n) })
}

func checkSymmetric(t *testing.T, what string, n int, want []float32, product func(c []float32)) {
	t.Helper()
	c := newFenced[float32](n*n, guard)
	product(c.s)
	for i := range n {
		for j := range i + 1 {
			if c.s[i*n+j] != want[i*n+j] || c.s[j*n+i] != want[i*n+j] {
				t.Fatalf("%s: (%d, %d) is %v and its mirror image %v, want %v", what, i, j, c.s[i*n+j], c.s[j*n+i], want[i*n+j])
			}
		}
	}
	c.check(t, what)
}
