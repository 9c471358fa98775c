package quant

import "testing"

// The quantizers on 64 MB of float32, a byte a code; package packed has the
// packed forms.
func BenchmarkScalar(b *testing.B) {
	const rows, cols = 4096, 4096
	x := normal(rows*cols, 1)
	for name, c := range map[string]Config{
		"b1.58": {}, "int8-token": {Bits: 8, Granularity: PerToken}, "int4-group64": {Bits: 4, Granularity: PerGroup, Group: 64},
		"affine8-channel": {Bits: 8, Scheme: Affine, Granularity: PerChannel}, "twn": {Scale: TWN}, "median": {Scale: Median}, "optimal-channel": {Scale: Optimal, Granularity: PerChannel},
		"percentile": {Bits: 8, Scale: Percentile}, "mse": {Bits: 4, Scale: MSE}, "kl": {Bits: 8, Scale: KL}, "stochastic": {Bits: 4, Rounding: Stochastic},
	} {
		b.Run(name, func(b *testing.B) {
			q, dst := mustNew(b, c), new(Tensor)
			b.SetBytes(4 * rows * cols)
			for b.Loop() {
				if err := q.QuantizeInto(dst, x, rows, cols); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
