package main

import (
	"fmt"
	"io"
	"strings"
)

// table prints the outcomes in Markdown.
func table(w io.Writer, outcomes []outcome) error {
	var b strings.Builder
	fmt.Fprintln(&b, "| recipe | how | accuracy by seed, % | mean | packed, mean | weights, kB | s a run |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|")
	for _, o := range outcomes {
		var seeds []string
		for _, a := range o.graph {
			seeds = append(seeds, fmt.Sprintf("%.2f", 100*a))
		}
		packed := "-"
		if o.packed != nil {
			packed = fmt.Sprintf("%.2f", 100*mean(o.packed))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | **%.2f** | %s | %.0f | %.0f |\n", o.recipe.name, o.recipe.words, strings.Join(seeds, ", "),
			100*mean(o.graph), packed, float64(o.bytes)/1000, o.spent.Seconds()/float64(len(o.graph)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
