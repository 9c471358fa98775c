package main

import (
	"context"
	"fmt"
	"strings"

	"trefoil/quant"
	"trefoil/quant/calib"
)

// every is a plan that gives all layers one quantizer.
func every(c quant.Config) quant.Mixed { return quant.Mixed{{Layers: "*", Quantizer: c}} }

var weightColumns = []string{"SQNR, dB", "zeros, %", "entropy, bits", "loss", "accuracy, %"}

// measure returns the cells of weightColumns.
func (s *study) measure(q quantized) ([]string, error) {
	r, err := q.score(s.heldout, nil)
	m := q.metrics
	return []string{
		fmt.Sprintf("%.2f", m.SQNR), fmt.Sprintf("%.1f", 100*m.Zeros), fmt.Sprintf("%.2f", m.Entropy),
		fmt.Sprintf("%.4f", r.loss), fmt.Sprintf("%.2f", 100*r.accuracy),
	}, err
}

// row measures a plan.
func (s *study) row(t *table, p quant.Mixed, words ...string) error {
	q, err := s.net.quantize(p)
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(words, ", "), err)
	}
	cells, err := s.measure(q)
	t.add(append(words, cells...)...)
	return err
}

// scales compares the rules for the scale, each filter having its own.
func (s *study) scales(context.Context) (table, error) {
	t := table{title: "Scale rules", columns: append([]string{"grid", "rule"}, weightColumns...)}
	for _, bits := range []float64{1, quant.Ternary, 2, 4} {
		for _, scheme := range quant.Schemes() {
			if bits < 2 && scheme == quant.Affine {
				continue
			}
			for _, rule := range quant.ScalesFor(bits, scheme) {
				if rule == quant.Static { // those of calibration
					continue
				}
				c := quant.Config{Bits: bits, Scheme: scheme, Scale: rule, Granularity: quant.PerChannel}
				if err := s.row(&t, every(c), fmt.Sprintf("%v bits, %s", bits, scheme), string(rule)); err != nil {
					return t, err
				}
			}
		}
	}
	return t, nil
}

// bits compares grids of 1 to 8 bits.
func (s *study) bits(context.Context) (table, error) {
	t := table{title: "Bits", columns: append([]string{"bits", "rule"}, weightColumns...)}
	for _, bits := range []float64{1, quant.Ternary, 2, 3, 4, 5, 6, 7, 8} {
		rule := quant.MSE
		switch bits {
		case 1:
			rule = quant.AbsMean
		case quant.Ternary:
			rule = quant.Optimal
		}
		c := quant.Config{Bits: bits, Scale: rule, Granularity: quant.PerChannel}
		if err := s.row(&t, every(c), fmt.Sprint(bits), string(rule)); err != nil {
			return t, err
		}
	}
	return t, nil
}

// granularities compares who shares a scale. The first layer has windows of 9
// weights, which neither groups nor blocks divide: it keeps a scale a filter.
func (s *study) granularities(context.Context) (table, error) {
	t := table{title: "Granularity", columns: append([]string{"grid", "a scale for"}, weightColumns...)}
	for _, bits := range []float64{quant.Ternary, 4} {
		for _, c := range []quant.Config{
			{Granularity: quant.PerTensor}, {Granularity: quant.PerChannel, Axis: 1}, {Granularity: quant.PerChannel},
			{Granularity: quant.PerToken}, {Granularity: quant.PerGroup, Group: 16}, {Granularity: quant.PerBlock, Block: [2]int{2, 16}},
		} {
			c.Bits = bits
			words := map[quant.Granularity]string{
				quant.PerTensor: "a layer", quant.PerChannel: "a filter", quant.PerToken: "a row, which is a filter",
				quant.PerGroup: "16 weights", quant.PerBlock: "2 x 16 weights",
			}[c.Granularity]
			if c.Axis == 1 {
				words = "an input"
			}
			plan := quant.Mixed{{Layers: s.net.layers[0].name, Quantizer: quant.Config{Bits: bits, Granularity: quant.PerChannel}}, {Layers: "*", Quantizer: c}}
			if err := s.row(&t, plan, fmt.Sprintf("%v bits", bits), words); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

// roundings compares the ways to round, AdaRound last.
func (s *study) roundings(ctx context.Context) (table, error) {
	t := table{title: "Rounding", columns: append([]string{"bits", "rounding"}, weightColumns...)}
	for _, bits := range []float64{2, 3} {
		c := quant.Config{Bits: bits, Scale: quant.MSE, Granularity: quant.PerChannel}
		for _, c.Rounding = range quant.Roundings() {
			if err := s.row(&t, every(c), fmt.Sprint(bits), string(c.Rounding)); err != nil {
				return t, err
			}
		}
		q, err := s.adaRound(ctx, c)
		if err != nil {
			return t, err
		}
		cells, err := s.measure(q)
		if err != nil {
			return t, err
		}
		t.add(append([]string{fmt.Sprint(bits), "AdaRound"}, cells...)...)
	}
	return t, nil
}

// adaRound rounds each layer for its inputs on training images.
func (s *study) adaRound(ctx context.Context, c quant.Config) (quantized, error) {
	const images, steps = 1000, 1000
	var tensors []*quant.Tensor
	for i, l := range s.net.layers {
		x, err := s.net.inputs(s.train, images, i)
		if err != nil {
			return quantized{}, err
		}
		t, err := calib.AdaRound(ctx, calib.Layer{Weight: l.weight, Inputs: x, Out: l.out, In: l.in}, c, steps)
		if err != nil {
			return quantized{}, fmt.Errorf("%s: %w", l.name, err)
		}
		tensors = append(tensors, t)
	}
	return s.net.of(tensors)
}

// grids compares the ranges of codes and the types of scales.
func (s *study) grids(context.Context) (table, error) {
	t := table{title: "Codes and types of scales, 4 bits, absmax by filter", columns: append([]string{"codes", "scale type"}, weightColumns...)}
	for _, codes := range quant.CodeRanges() {
		for _, kind := range quant.ScaleTypes() {
			c := quant.Config{Bits: 4, Granularity: quant.PerChannel, Codes: codes, ScaleType: kind}
			if err := s.row(&t, every(c), string(codes), string(kind)); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}
