package config

import (
	"fmt"
	"strings"
)

// Text returns c as [Config.Print] prints it, but without comments and the
// spaces before them.
func (c Config) Text() string {
	var b strings.Builder
	c.Print(&b) // a Builder takes everything
	lines := strings.Split(b.String(), "\n")
	for i, line := range lines {
		line, _, _ = strings.Cut(line, "  # ")
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

// Changed reports the first line in which the text that a run depends on, such
// as [Config.Text], is not what it was when the run began. Spaces around a line
// do not count; what says whose text it is.
func Changed(what, now, then string) error {
	a, b := strings.Split(now, "\n"), strings.Split(then, "\n")
	for i := range max(len(a), len(b)) {
		if x, y := lineOf(a, i), lineOf(b, i); x != y {
			return fmt.Errorf("%s was changed since the run began (first difference: now %q, then %q): undo the change", what, x, y)
		}
	}
	return nil
}

// lineOf returns line i without spaces around, "" behind the last.
func lineOf(lines []string, i int) string {
	if i >= len(lines) {
		return ""
	}
	return strings.TrimSpace(lines[i])
}
