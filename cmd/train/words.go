package main

import (
	"fmt"
	"strings"
)

// size writes a size in the largest unit that keeps a digit before the point.
func size(n int64) string {
	const units = "kMGT"
	v, i := float64(n), -1
	for v >= 1000 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if i < 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %cB", v, units[i])
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}
