package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fixed writes a number with so many decimals, or with as many digits as the
// width has room for.
func fixed(v float64, width, decimals int) string {
	s := fmt.Sprintf("%*.*f", width, decimals, v)
	for digits := 3; len(s) > width && digits > 0; digits-- {
		s = fmt.Sprintf("%*.*g", width, digits, v)
	}
	return s
}

// optional writes what was measured like [fixed], a dash otherwise.
func optional(v *float64, width, decimals int) string {
	if v == nil {
		return fmt.Sprintf("%*s", width, "-")
	}
	return fixed(*v, width, decimals)
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

// printable replaces what a terminal might take for a command, and what is not
// UTF-8: a model of bytes may write anything.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, s)
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ")
}
