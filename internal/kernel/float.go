package kernel

// Float is what the float kernels compute in: float32 for work, float64 for
// checking gradients.
type Float interface{ float32 | float64 }

// grain is how many elements of simple arithmetic are worth a goroutine.
const grain = 16384

// vectorKernels are the float32 kernels of one level. Each does what the
// portable function of the same name does; the generated stubs show the loops.
type vectorKernels struct {
	gemmTiles

	add        func(dst, a, b []float32)
	combine    func(dst, x, y []float32, a, b float32)
	scale      func(dst []float32, s float32)
	dot        func(a, b []float32) float32
	sumSquares func(x []float32) float64
	maximum    func(x []float32) float32
	finite     func(x []float32) bool
	adamW      func(w, m, v, g []float32, gradScale, oneMinusBeta1, oneMinusBeta2, rate, correction, eps, keep float32)

	expSum       func(y, x []float32, shift, scale, gain float32) float32
	sumExp       func(x []float32, shift float32) float32
	siluGate     func(y, gate, up []float32)
	siluGateGrad func(dgate, dup, dy, gate, up []float32)

	// What attention does to one row of tiles.
	softmaxRows     func(p *float32, ld, rows, first, more int, scale float32, top, sum *float32)
	softmaxGradRows func(p, ds *float32, ld, rows, first, more int, scale float32, lse, delta *float32)

	relu2Gate     func(y, gate, up []float32)
	relu2GateGrad func(dgate, dup, dy, gate, up []float32)
	normalize     func(y, x, gain []float32, inv float32)
	weightedDot   func(a, b, weight []float32) float32
	rmsNormGrad   func(dx, dgain, dy, x, gain []float32, inv, pull float32)
	squares4      func(sums *float32, x, row []float32)
	weightedDots4 func(sums *float32, a, b, weight []float32)
	rmsNormGrad4  func(inv, pull *float32, dx, dy, x, dgain, gain []float32)
	rope          func(x, cos, sin []float32, sign float32)
}

// vector returns the kernels that F has at the active level, or nil if it has
// the portable ones only.
func vector[F Float]() *vectorKernels {
	if _, ok := any(F(0)).(float32); !ok {
		return nil
	}
	return vectorLevels[Active()]
}

// f32 returns x, which is known to be float32.
func f32[F Float](x []F) []float32 { return any(x).([]float32) }
