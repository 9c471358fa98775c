// Package analysis shows what quantization does to a model's layers: metrics
// by layer and by channel as a table or as JSON, and pictures of a layer's
// weights under the grid, of the error by channel and of the shares of the
// codes.
package analysis

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"trefoil/quant"
)

// A Layer is what quantization did to one layer.
type Layer struct {
	Name     string          `json:"name"`
	Shape    []int           `json:"shape"`
	Config   quant.Config    `json:"config"`
	Scales   int             `json:"scales"` // number of scales
	Metrics  quant.Metrics   `json:"metrics"`
	Channels []quant.Metrics `json:"channels,omitempty"` // by the index of the first dimension

	values []float32
	tensor *quant.Tensor
}

// Analyze quantizes the weights of a layer, of that row-major shape, and
// measures the whole and each channel of the first dimension. It keeps the
// weights for the plots.
func Analyze(name string, weights []float32, q *quant.Scalar, shape ...int) (*Layer, error) {
	t, err := q.Quantize(weights, shape...)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", name, err)
	}
	l := &Layer{Name: name, Shape: t.Shape, Config: q.Config(), Scales: len(t.Scales), values: weights, tensor: t}
	if l.Metrics, err = quant.Compare(weights, t); err != nil {
		return nil, fmt.Errorf("layer %s: %w", name, err)
	}
	if l.Channels, err = quant.CompareChannels(weights, t, 0); err != nil {
		return nil, fmt.Errorf("layer %s: %w", name, err)
	}
	return l, nil
}

// Report is the layers of a model, in its order.
type Report []*Layer

// WriteJSON writes the report as indented JSON, channels included.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteTable writes a line for each layer: its bits and rule, the SQNR of the
// whole and of the worst channel, and the other metrics of the whole.
func (r Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "layer\tshape\tbits\tscale\tgranularity\tSQNR dB\tworst channel\tMSE\tmax error\tcosine\tKL\tzeros %\tentropy bits\teffective bits\t")
	for _, l := range r {
		m := l.Metrics
		fmt.Fprintf(t, "%s\t%v\t%v\t%s\t%s\t%.2f\t%.2f\t%.3g\t%.3g\t%.5f\t%.3g\t%.1f\t%.2f\t%.2f\t\n",
			l.Name, l.Shape, l.Config.Bits, l.Config.Scale, l.Config.Granularity,
			m.SQNR, l.worst(), m.MSE, m.MaxError, m.Cosine, m.KL, 100*m.Zeros, m.Entropy, m.EffectiveBits)
	}
	return t.Flush()
}

// WriteTable writes a line for each channel, the indices of the first
// dimension, and a last one for the whole layer.
func (l *Layer) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, l.Name+"\tSQNR dB\tMSE\tmax error\tcosine\tKL\tzeros %\tentropy bits\teffective bits\t")
	line := func(name string, m quant.Metrics) {
		fmt.Fprintf(t, "%s\t%.2f\t%.3g\t%.3g\t%.5f\t%.3g\t%.1f\t%.2f\t%.2f\t\n",
			name, m.SQNR, m.MSE, m.MaxError, m.Cosine, m.KL, 100*m.Zeros, m.Entropy, m.EffectiveBits)
	}
	for i, m := range l.Channels {
		line(fmt.Sprint(i), m)
	}
	line("all", l.Metrics)
	return t.Flush()
}

// worst returns the least SQNR of a channel.
func (l *Layer) worst() float64 {
	least := math.Inf(1)
	for _, m := range l.Channels {
		least = min(least, m.SQNR)
	}
	return least
}
