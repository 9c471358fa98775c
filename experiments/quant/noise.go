package main

import (
	"context"
	"fmt"
	"math"

	"trefoil/quant"
)

// noises compares networks that were trained with noise on their weights, as
// they are and when they are quantized.
func (s *study) noises(ctx context.Context) (table, error) {
	t := table{
		title:   fmt.Sprintf("Noise in training, mean loss and spread of %d seeds", s.seeds),
		columns: []string{"noise", "in float32", "2 bits", "3 bits", "accuracy at 2 bits, %"},
	}
	for _, kind := range quant.NoiseKinds() {
		var losses [3][]float64
		var accuracy []float64
		for seed := range s.seeds {
			noise := quant.Noise{Kind: kind, Strength: 1, Block: 8, Share: 0.5}
			net, _, err := s.trained(ctx, lesson{name: "noise-" + string(kind), steps: s.steps / 2, noise: noise}, uint64(seed+1))
			if err != nil {
				return t, err
			}
			for i, bits := range []float64{0, 2, 3} {
				now := quantized{network: net}
				if bits > 0 {
					c := noisy
					c.Bits = bits
					if now, err = net.quantize(every(c)); err != nil {
						return t, err
					}
				}
				r, err := now.score(s.heldout, nil)
				if err != nil {
					return t, err
				}
				losses[i] = append(losses[i], r.loss)
				if bits == 2 {
					accuracy = append(accuracy, 100*r.accuracy)
				}
			}
		}
		t.add(string(kind), spread(losses[0], 4), spread(losses[1], 4), spread(losses[2], 4), spread(accuracy, 2))
	}
	return t, nil
}

// spread writes the mean of x and half the distance of its ends.
func spread(x []float64, digits int) string {
	sum, lo, hi := 0.0, math.Inf(1), math.Inf(-1)
	for _, v := range x {
		sum, lo, hi = sum+v, min(lo, v), max(hi, v)
	}
	return fmt.Sprintf("%.*f +- %.*f", digits, sum/float64(len(x)), digits, (hi-lo)/2)
}
