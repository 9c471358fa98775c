package main

import (
	"fmt"
	"strconv"
	"strings"
)

// group writes a number with its thousands apart: 1,234,567.
func group(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

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
