package config

import (
	"fmt"
	"strings"
)

// Text returns c as [Config.Print] prints it, but without comments. [Parse] of
// it gives c again.
func (c Config) Text() string {
	var b strings.Builder
	c.print(&b, false) // a Builder takes everything
	return b.String()
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
