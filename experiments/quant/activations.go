package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"trefoil/internal/kernel"
	"trefoil/quant"
	"trefoil/quant/calib"
)

// watched is what calibration saw of a layer's input.
type watched struct {
	all     calib.Observer
	average calib.MovingAverage
}

// watch runs training images through the network.
func (s *study) watch() ([]watched, error) {
	w := make([]watched, len(s.net.layers))
	for i := range w {
		w[i].average.Momentum = 0.1
	}
	return w, s.net.run(s.train, 1000, func(i int, x []float32) error {
		w[i].all.Observe(x)
		return w[i].average.Observe(x)
	}, func([]float32, int32) {})
}

// ranges compares the static ranges of the layers' inputs.
func (s *study) ranges(context.Context) (table, error) {
	t := table{title: "Static ranges of activations: loss and accuracy", columns: []string{
		"range", "3 bits, symmetric", "8 bits, symmetric", "3 bits, affine", "4 bits, affine", "8 bits, affine",
	}}
	w, err := s.watch()
	if err != nil {
		return t, err
	}
	const moving = "moving average"
	for _, rule := range append(quant.ScalesFor(8, quant.Affine), quant.KL, quant.AbsMax, moving) {
		if rule == quant.Static {
			continue
		}
		cells := []string{string(rule)}
		for _, c := range []quant.Config{{Bits: 3}, {Bits: 8}, {Bits: 3, Scheme: quant.Affine}, {Bits: 4, Scheme: quant.Affine}, {Bits: 8, Scheme: quant.Affine}} {
			if c.Scale = rule; rule == moving {
				c.Scale = ""
			}
			if c.Validate() != nil { // the rule has no affine grid
				cells = append(cells, "-")
				continue
			}
			r, err := s.static(w, c, rule == moving)
			if err != nil {
				return t, fmt.Errorf("%s: %w", rule, err)
			}
			cells = append(cells, fmt.Sprintf("%.4f, %.2f %%", r.loss, 100*r.accuracy))
		}
		t.add(cells...)
	}
	return t, nil
}

// arguments compares the numbers that rules have, defaults among them: of
// static ranges of 4 bits, affine, and the threshold of ttq on the weights.
func (s *study) arguments(context.Context) (table, error) {
	t := table{title: "Arguments of rules: loss and accuracy", columns: []string{"rule", "argument", "loss, accuracy"}}
	w, err := s.watch()
	if err != nil {
		return t, err
	}
	affine := quant.Config{Bits: 4, Scheme: quant.Affine}
	for _, percent := range []float64{99, 99.9, 99.99} {
		c := affine
		c.Scale, c.Percentile = quant.Percentile, percent
		r, err := s.static(w, c, false)
		if err != nil {
			return t, err
		}
		t.add(string(c.Scale), fmt.Sprint(percent), fmt.Sprintf("%.4f, %.2f %%", r.loss, 100*r.accuracy))
	}
	for _, k := range []float64{2, 3, 4, 6} {
		c := affine
		c.Scale, c.Sigmas = quant.Sigma, k
		r, err := s.static(w, c, false)
		if err != nil {
			return t, err
		}
		t.add(string(c.Scale), fmt.Sprint(k), fmt.Sprintf("%.4f, %.2f %%", r.loss, 100*r.accuracy))
	}
	for _, threshold := range []float64{0.05, 0.1, 0.2} {
		q, err := s.net.quantize(every(quant.Config{Scale: quant.TTQ, Threshold: threshold, Granularity: quant.PerChannel}))
		if err != nil {
			return t, err
		}
		r, err := q.score(s.heldout, nil)
		if err != nil {
			return t, err
		}
		t.add(string(quant.TTQ), fmt.Sprint(threshold), fmt.Sprintf("%.4f, %.2f %%", r.loss, 100*r.accuracy))
	}
	return t, nil
}

// static scores the network with inputs quantized by static scales.
func (s *study) static(w []watched, c quant.Config, moving bool) (score, error) {
	q, err := quant.New(c)
	if err != nil {
		return score{}, err
	}
	tensors := make([]quant.Tensor, len(w))
	for i := range w {
		lo, hi, err := w[i].average.Range()
		if !moving {
			lo, hi, err = w[i].all.Range(c)
		}
		if err != nil {
			return score{}, err
		}
		scale, zero, err := c.Cover(lo, hi)
		if err != nil {
			return score{}, err
		}
		tensors[i].Scales, tensors[i].Zeros = []float32{scale}, []int8{zero}
	}
	return s.net.score(s.heldout, func(i int, x []float32) error {
		if err := q.Encode(&tensors[i], x); err != nil {
			return err
		}
		return tensors[i].Dequantize(x)
	})
}

// outliers compares what to do about columns that are thirty times as large as
// the rest, in a product of activations and weights, both quantized.
func (s *study) outliers(context.Context) (table, error) {
	t := table{title: "Outliers: SQNR of a product, dB", columns: []string{"remedy", "4 bits", "8 bits"}}
	const rows, out, in, large = 512, 256, 256, 4
	r := rand.New(rand.NewPCG(5, 6))
	x, w := make([]float32, rows*in), make([]float32, out*in)
	for i := range x {
		x[i] = float32(r.NormFloat64())
		if i%in < large {
			x[i] *= 30
		}
	}
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	want := make([]float32, rows*out)
	kernel.GemmNT(want, x, w, rows, out, in, false)
	for _, remedy := range []string{none, clip, split, smooth, rotate} {
		cells := []string{remedy}
		for _, bits := range []float64{4, 8} {
			got, err := product(remedy, bits, slices.Clone(x), slices.Clone(w), rows, out, in)
			if err != nil {
				return t, fmt.Errorf("%s: %w", remedy, err)
			}
			cells = append(cells, fmt.Sprintf("%.2f", sqnr(want, got)))
		}
		t.add(cells...)
	}
	return t, nil
}

// What the outliers can be met with.
const (
	none   = "none"
	clip   = "clip at the percentile 99"
	split  = "split the columns off"
	smooth = "smooth, alpha 0.5"
	rotate = "rotate"
)

// product returns x w^T of inputs with a scale a row and weights with a scale
// a filter.
func product(remedy string, bits float64, x, w []float32, rows, out, in int) ([]float32, error) {
	inputs := quant.Config{Bits: bits, Granularity: quant.PerToken}
	var apart *quant.Split
	var err error
	switch remedy {
	case clip:
		inputs.Scale, inputs.Percentile = quant.Percentile, 99
	case split:
		if apart, err = quant.SplitColumns(x, rows, in, 6); err == nil {
			x = apart.Rest
		}
	case smooth:
		inputs, errX := quant.ColumnPeaks(x, rows, in)
		weights, errW := quant.ColumnPeaks(w, out, in)
		f, errF := quant.SmoothScales(inputs, weights, 0.5)
		if err = errors.Join(errX, errW, errF); err == nil {
			err = quant.Smooth(x, w, f)
		}
	case rotate:
		if err = quant.Hadamard(x, rows, in); err == nil {
			err = quant.Hadamard(w, out, in)
		}
	}
	if err != nil {
		return nil, err
	}
	x, err = values(inputs, x, rows, in)
	if err != nil {
		return nil, err
	}
	whole := w
	if w, err = values(quant.Config{Bits: bits, Granularity: quant.PerChannel}, w, out, in); err != nil {
		return nil, err
	}
	y := make([]float32, rows*out)
	kernel.GemmNT(y, x, w, rows, out, in, false)
	if apart != nil { // the product of the columns, in float32
		columns := make([]float32, len(x))
		if err := apart.Merge(columns); err != nil {
			return nil, err
		}
		kernel.GemmNT(y, columns, whole, rows, out, in, true)
	}
	return y, nil
}

// values returns what quantization makes of x [rows, cols].
func values(c quant.Config, x []float32, rows, cols int) ([]float32, error) {
	q, err := quant.New(c)
	if err != nil {
		return nil, err
	}
	t, err := q.Quantize(x, rows, cols)
	if err != nil {
		return nil, err
	}
	return t.Values(), nil
}

// sqnr is the ratio of the signal to what differs, in dB.
func sqnr(want, got []float32) float64 {
	signal, noise := 0.0, 0.0
	for i, v := range want {
		signal += float64(v) * float64(v)
		noise += float64(v-got[i]) * float64(v-got[i])
	}
	return 10 * math.Log10(signal/noise)
}
