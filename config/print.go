package config

import (
	"bufio"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"trefoil/internal/atomicfile"
)

// Write writes the file that [Config.Print] prints.
func (c Config) Write(path string) error {
	return atomicfile.Write(path, c.Print)
}

// Print writes c as YAML with every field, its value and its meaning as a
// comment. [Parse] of the text gives c again.
func (c Config) Print(w io.Writer) error { return c.print(w, true) }

// print writes c as YAML, with the comments if it is to be documented.
func (c Config) print(w io.Writer, documented bool) error {
	var p printer
	p.fields(reflect.ValueOf(c), "", documented, false)
	width := 0
	for _, l := range p.lines {
		if n := utf8.RuneCountInString(l.text); n <= maxColumn {
			width = max(width, n)
		}
	}
	out := bufio.NewWriter(w)
	for _, l := range p.lines {
		if l.comment == "" {
			fmt.Fprintln(out, l.text)
		} else {
			fmt.Fprintf(out, "%-*s  # %s\n", width, l.text, l.comment)
		}
	}
	return out.Flush()
}

// maxColumn is the longest line that the column of comments gives way to.
const maxColumn = 40

// A printer gathers lines of YAML and the comments beside them.
type printer struct {
	lines []struct{ text, comment string }
}

func (p *printer) line(text, comment string) {
	p.lines = append(p.lines, struct{ text, comment string }{text, comment})
}

// fields prints the fields of a struct, each beginning with indent; documented
// puts the comments beside them, sparse leaves out those that are zero, which
// is done anyway for fields with omitempty in their tag.
func (p *printer) fields(v reflect.Value, indent string, documented, sparse bool) {
	for i := range v.NumField() {
		field, comment := v.Type().Field(i), ""
		if documented {
			comment = field.Tag.Get("doc")
		}
		value := v.Field(i)
		name, omitEmpty := yamlName(field)
		if (sparse || omitEmpty) && value.IsZero() {
			continue
		}
		if indent == "" && value.Kind() == reflect.Struct {
			p.line("", "")
		}
		p.field(indent+name+":", comment, value, documented)
	}
}

// field prints "head value", or head and beneath it the fields or elements.
func (p *printer) field(head, comment string, v reflect.Value, documented bool) {
	deeper := strings.Repeat(" ", len(head)-len(strings.TrimLeft(head, " "))+2)
	switch {
	case v.Kind() == reflect.Struct:
		p.line(head, comment)
		p.fields(v, deeper, documented, false)
	case v.Kind() == reflect.Pointer && v.IsNil():
		p.line(head+" null", comment)
	case v.Kind() == reflect.Pointer && v.Elem().IsZero():
		p.line(head+" {}", comment)
	case v.Kind() == reflect.Pointer:
		p.line(head, comment)
		p.fields(v.Elem(), deeper, documented, true)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && v.Len() > 0:
		p.line(head, comment)
		p.elements(v, deeper, documented)
	default:
		p.line(head+" "+literal(v), comment)
	}
}

// elements prints a list of structs; the first one carries the comments.
func (p *printer) elements(v reflect.Value, indent string, documented bool) {
	for i := range v.Len() {
		first := len(p.lines)
		p.fields(v.Index(i), indent+"  ", documented && i == 0, false)
		p.lines[first].text = indent + "- " + strings.TrimLeft(p.lines[first].text, " ")
	}
}

// literal writes a scalar, or a list of them, as YAML.
func literal(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = literal(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.String:
		return text(v.String())
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	}
	return fmt.Sprint(v.Interface())
}

var bare = regexp.MustCompile(`^[A-Za-z_./][A-Za-z0-9_./@+-]*$`)

// text writes a string as YAML, without quotes where it is a plain word.
func text(s string) string {
	if bare.MatchString(s) {
		if n := (&yaml.Node{Kind: yaml.ScalarNode, Value: s}); n.ShortTag() == "!!str" {
			return s
		}
	}
	return strconv.Quote(s)
}
