package train

import (
	"fmt"
	"strings"

	"trefoil/config"
	"trefoil/export"
)

// sameConfig checks that a configuration is the one that the run in a folder
// began with. The name may change, and so may the place of the text: sameText
// looks at the text itself.
func sameConfig(now config.Config, dir string) error {
	folder := export.Folder(dir)
	f, s, err := openCheckpoint(folder.Last())
	if err != nil {
		return unreadable(err, dir)
	}
	defer f.Close()
	if s.Config == "" { // a checkpoint of an earlier version
		return nil
	}
	then, err := config.Parse(folder.Last(), []byte(s.Config))
	if err != nil {
		return err
	}
	then.Name, then.Data.Path = now.Name, now.Data.Path
	return sameLines(folder.Config(), configLines(now), configLines(then))
}

// sameRecipe checks that the text of a configuration is the one that the run
// in a folder began with.
func sameRecipe(now, dir string) error {
	last := export.Folder(dir).Last()
	f, s, err := openCheckpoint(last)
	if err != nil {
		return unreadable(err, dir)
	}
	defer f.Close()
	return sameLines("the configuration of "+last, strings.Split(now, "\n"), strings.Split(s.Config, "\n"))
}

// unreadable says what to do about a last checkpoint that cannot be read.
func unreadable(err error, dir string) error {
	return fmt.Errorf("%w: bring the file back, or begin a new run, that of a text with the weights of the best checkpoint by -from %s", err, dir)
}

func sameLines(what string, now, then []string) error {
	for i := range max(len(now), len(then)) {
		a, b := lineOf(now, i), lineOf(then, i)
		if a != b {
			return fmt.Errorf("%s was changed since the run began (first difference: now %q, then %q): undo the change, or begin a new run, with the weights of this one by -from", what, a, b)
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

// configLines returns a configuration as lines of YAML without comments.
func configLines(c config.Config) []string {
	var b strings.Builder
	c.Print(&b) // a Builder takes everything
	lines := strings.Split(b.String(), "\n")
	for i, line := range lines {
		line, _, _ = strings.Cut(line, "  # ")
		lines[i] = strings.TrimRight(line, " ")
	}
	return lines
}
