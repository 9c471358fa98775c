package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxErrors is how many mistakes are reported.
const maxErrors = 20

// A decoder puts YAML nodes into Go values and gathers what is wrong.
type decoder struct {
	file       string            // name of the file
	assignment string            // the assignment at work, "" while it is the file
	places     map[string]string // where each field was given, and could be read: path -> "file:line"
	assigned   []string          // paths of the assignments made, in order
	errs       []error
}

// place names where a node is written.
func (d *decoder) place(n *yaml.Node) string {
	if d.assignment != "" {
		return d.assignment
	}
	return fmt.Sprintf("%s:%d", d.file, n.Line)
}

// fail notes that a node is not a value for path, which then has none, nor have
// the fields around it in full.
func (d *decoder) fail(path string, n *yaml.Node, format string, args ...any) {
	for at := path; at != ""; at = enclosing(at) {
		delete(d.places, at)
	}
	d.errs = append(d.errs, located(d.place(n), problem{path, fmt.Sprintf(format, args...)}))
}

// joined returns the mistakes as one error, those of the file by line.
func (d *decoder) joined() error {
	slices.SortStableFunc(d.errs, func(a, b error) int { return d.line(a) - d.line(b) })
	if more := len(d.errs) - maxErrors; more > 0 {
		return errors.Join(append(d.errs[:maxErrors:maxErrors], fmt.Errorf("and %d mistakes more", more))...)
	}
	return errors.Join(d.errs...)
}

// line is the line of the file that an error begins with. What is not in the
// file comes after it.
func (d *decoder) line(err error) int {
	rest, _ := strings.CutPrefix(err.Error(), d.file+":")
	number, _, _ := strings.Cut(rest, ":")
	if n, err := strconv.Atoi(number); err == nil {
		return n
	}
	return math.MaxInt
}

// value decodes a node into v, the field at path.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		d.fail(path, n, "anchors and aliases (&, *) are not supported: write the value out")
		return
	case v.Kind() == reflect.Pointer:
		d.pointer(path, n, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(path, n, v)
	case reflect.Slice:
		d.list(path, n, v)
	case reflect.Array:
		d.array(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

// pointer decodes a value that may be null.
func (d *decoder) pointer(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		v.SetZero()
		return
	}
	target := reflect.New(v.Type().Elem())
	d.value(path, n, target.Elem())
	v.Set(target)
}

// structure decodes a mapping over the values that v has already.
func (d *decoder) structure(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		remedy := "indent its fields beneath it, or leave it out"
		if field := taking(path, n, v); d.assignment != "" && field != "" {
			remedy = fmt.Sprintf("name a field: -set %s=%s", field, n.Value)
		}
		d.fail(path, n, "%s is not a mapping: %s", describe(n), remedy)
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		field, ok := fieldNamed(v, key.Value)
		switch first := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.Anchor != "":
			d.fail(path, key, "%s is not the name of a field", describe(key))
		case !ok:
			d.fail(at, key, "is not a field: %s", suggest(path, key.Value, v.Type()))
		case first != 0:
			d.fail(at, key, "is given twice: remove this or line %d", first)
		default:
			lines[key.Value] = key.Line
			d.places[at] = d.place(key)
			d.value(at, value, field)
		}
	}
}

// taking returns the path of the first field of a struct that a scalar can be
// the value of, "" if there is none.
func taking(path string, n *yaml.Node, v reflect.Value) string {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if n.Kind == yaml.ScalarNode && slices.Contains(accepted[f.Type.Kind()], n.ShortTag()) {
			name, _ := yamlName(f)
			return join(path, name)
		}
	}
	return ""
}

// list decodes a sequence in place of what v had.
func (d *decoder) list(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.fail(path, n, "%s is not a list: write [a, b], or [] for none", describe(n))
		return
	}
	v.SetZero()
	for i, item := range n.Content {
		element := reflect.New(v.Type().Elem())
		if e, ok := element.Interface().(interface{ SetDefaults() }); ok {
			e.SetDefaults()
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		d.places[at] = d.place(item)
		d.value(at, item, element.Elem())
		v.Set(reflect.Append(v, element.Elem()))
	}
}

// array decodes a sequence of a fixed length.
func (d *decoder) array(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode || len(n.Content) != v.Len() {
		d.fail(path, n, "%s is not a list of %d: write it as %s", describe(n), v.Len(), literal(v))
		return
	}
	for i, item := range n.Content {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i))
	}
}

// wanted names what a scalar of a kind looks like, for errors.
var wanted = map[reflect.Kind]string{
	reflect.Bool: "true or false", reflect.String: "a text: put it in quotes",
	reflect.Int: "a whole number", reflect.Uint64: "a whole number, 0 or more",
	reflect.Float64: "a number",
}

// accepted lists the YAML types that a scalar of a kind may have.
var accepted = map[reflect.Kind][]string{
	reflect.Bool: {"!!bool"}, reflect.String: {"!!str"},
	reflect.Int: {"!!int"}, reflect.Uint64: {"!!int"},
	reflect.Float64: {"!!int", "!!float"},
}

func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	tags, ok := accepted[v.Kind()]
	if !ok {
		panic("config: field " + path + " has the unsupported type " + v.Type().String())
	}
	number := v.CanInt() || v.CanUint() || v.CanFloat()
	if digits := strings.TrimLeft(n.Value, "+-"); number && n.Kind == yaml.ScalarNode && len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		d.fail(path, n, "%s begins with a 0, which makes it octal in YAML: leave the 0 out", n.Value)
		return
	}
	if n.Kind == yaml.ScalarNode {
		for _, tag := range tags {
			if n.ShortTag() == tag && n.Decode(v.Addr().Interface()) == nil && finite(v) {
				return
			}
		}
	}
	if v.CanInt() || v.CanUint() {
		// The value of a whole number in another form, or of too many digits.
		var x float64
		if n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!int" || n.ShortTag() == "!!float") && n.Decode(&x) == nil && x == math.Trunc(x) {
			switch {
			case x >= 1<<53:
				d.fail(path, n, "%s is too large", describe(n))
				return
			case x >= 0:
				d.fail(path, n, "%s is not %s: write %.0f", describe(n), wanted[v.Kind()], x)
				return
			}
		}
	}
	want := wanted[v.Kind()]
	if v.Kind() == reflect.String && n.ShortTag() == "!!null" {
		want = "a text: give one, or leave the field out"
	}
	d.fail(path, n, "%s is not %s", describe(n), want)
}

func finite(v reflect.Value) bool {
	return !v.CanFloat() || !math.IsNaN(v.Float()) && !math.IsInf(v.Float(), 0)
}

// describe shows a node in an error.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null" && n.Value == "":
		return "nothing"
	case len(n.Value) > 60:
		return fmt.Sprintf("%.60q...", n.Value)
	case n.ShortTag() == "!!str":
		return fmt.Sprintf("%q", n.Value)
	}
	return n.Value
}
