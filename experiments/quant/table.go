package main

import (
	"fmt"
	"io"
	"strings"
)

// table is a table of the report.
type table struct {
	title   string
	columns []string
	rows    [][]string
}

// add adds a row of texts and numbers.
func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table in Markdown.
func (t table) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n| %s |\n|%s\n", t.title, strings.Join(t.columns, " | "), strings.Repeat("---|", len(t.columns)))
	for _, r := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r, " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
