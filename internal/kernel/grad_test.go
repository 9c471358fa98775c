package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// checkGradient compares grad with central differences of loss with respect
// to x.
func checkGradient(t *testing.T, what string, x, grad []float64, loss func() float64) {
	t.Helper()
	const h = 1e-5
	for i := range x {
		at := x[i]
		x[i] = at + h
		up := loss()
		x[i] = at - h
		down := loss()
		x[i] = at
		want := (up - down) / (2 * h)
		if math.Abs(grad[i]-want) > 1e-7*(1+math.Abs(want)) {
			t.Fatalf("%s: element %d is %v, finite difference %v", what, i, grad[i], want)
		}
	}
}

func TestRMSNormGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const rows, dim = 3, 5
	x, gain, dy := gaussian[float64](r, rows*dim), gaussian[float64](r, dim), gaussian[float64](r, rows*dim)
	y, inv := make([]float64, rows*dim), make([]float64, rows)
	loss := func() float64 {
		RMSNorm(y, inv, x, gain, rows, dim, 1e-2)
		return dot(dy, y)
	}
	loss()
	dx, dgain := make([]float64, rows*dim), make([]float64, dim)
	RMSNormGrad(dx, dgain, dy, x, gain, inv, nil, rows, dim)
	checkGradient(t, "dx", x, dx, loss)
	checkGradient(t, "dgain", gain, dgain, loss)
}

func TestGateGradients(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const rows, ff = 3, 5
	gu, dy := gaussian[float64](r, rows*2*ff), gaussian[float64](r, rows*ff)
	y, dgu := make([]float64, rows*ff), make([]float64, rows*2*ff)
	SiLUGateGrad(dgu, dy, gu, rows, ff)
	checkGradient(t, "SiLU", gu, dgu, func() float64 { SiLUGate(y, gu, rows, ff); return dot(dy, y) })
	ReLU2GateGrad(dgu, dy, gu, rows, ff)
	checkGradient(t, "ReLU2", gu, dgu, func() float64 { ReLU2Gate(y, gu, rows, ff); return dot(dy, y) })
}

func TestCrossEntropyGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	const rows, vocab = 4, 7
	x, targets := gaussian[float64](r, rows*vocab), []int32{2, -1, 6, 0}
	losses, lse, d := make([]float64, rows), make([]float64, rows), make([]float64, rows*vocab)
	loss := func() float64 {
		CrossEntropy(losses, lse, x, targets, rows, vocab)
		return 0.3 * (losses[0] + losses[1] + losses[2] + losses[3])
	}
	loss()
	CrossEntropyGrad(d, x, lse, targets, rows, vocab, 0.3)
	checkGradient(t, "dlogits", x, d, loss)
}

func TestAttentionGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	s := AttentionShape{Batch: 2, Heads: 4, KVHeads: 2, HeadDim: 3, Queries: 5, Keys: 5}
	a := newAttentionCase[float64](r, s)
	loss := func() float64 { a.forward(); return dot(a.dy, a.y) }
	loss()
	a.backward()
	checkGradient(t, "dq", a.q, a.dq, loss)
	checkGradient(t, "dk", a.k, a.dk, loss)
	checkGradient(t, "dv", a.v, a.dv, loss)
}
