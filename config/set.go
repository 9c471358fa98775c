package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// setFlag introduces an assignment in errors, as on the command line.
const setFlag = "-set "

// assign makes one assignment, "path=value" with a YAML value, to the
// configuration root.
func (d *decoder) assign(assignment string, root reflect.Value) {
	d.assignment = setFlag + assignment
	defer func() { d.assignment = "" }()
	path, text, ok := strings.Cut(assignment, "=")
	switch {
	case !ok:
		d.fail("", nil, "has no value: write it as %s", example(root, path))
		return
	case path == "":
		d.fail("", nil, "has no field before =: write it as train.steps=30")
		return
	}
	d.assigned = append(d.assigned, path)
	target, err := lookup(root, path)
	if err != nil {
		d.errs = append(d.errs, located(d.assignment, problem{reason: err.Error()}))
		return
	}
	node, err := parseValue(text)
	switch {
	case err != nil && strings.Contains(text, "*"): // it begins an alias in YAML
		d.fail("", nil, "put the pattern in quotes: -set '%s=%s'", path, quotedList(text))
		return
	case err != nil:
		d.fail("", nil, "the value %v", err)
		return
	}
	d.places[path] = d.assignment
	d.value(path, node, target)
}

// example is an assignment of the value that a field has.
func example(root reflect.Value, path string) string {
	v, err := lookup(root, path)
	if err != nil || v.Kind() == reflect.Struct || v.Kind() == reflect.Slice || v.Kind() == reflect.Pointer {
		return "train.steps=30"
	}
	return path + "=" + literal(v)
}

// quotedList writes a list whose quotes the shell took off, or that had none,
// with its quotes.
func quotedList(text string) string {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		text = strings.TrimSuffix(inner, "]")
	}
	items := strings.Split(text, ",")
	for i, item := range items {
		items[i] = strconv.Quote(strings.Trim(item, ` "'`))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// parseValue parses one YAML value.
func parseValue(text string) (*yaml.Node, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("is longer than %d bytes", maxFile)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, plain(err)
	}
	if doc.Kind == 0 {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, nil
	}
	return doc.Content[0], nil
}

// lookup follows a path such as quantization.phases[0].lambda.to from a
// struct. Structs that are optional are made on the way.
func lookup(root reflect.Value, path string) (reflect.Value, error) {
	v, at := root, ""
	for name := range strings.SplitSeq(path, ".") {
		name, index, indexed := strings.Cut(name, "[")
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		if v.Kind() == reflect.Slice {
			return v, fmt.Errorf("%s is a list: name an element in brackets, as %s", at, bracketed(path, at, v))
		}
		if v.Kind() != reflect.Struct {
			return v, fmt.Errorf("%s has no fields: give it a value of its own", at)
		}
		field, ok := fieldNamed(v, name)
		if !ok {
			return v, fmt.Errorf("%s is not a field: %s", join(at, name), suggest(at, name, v.Type()))
		}
		v, at = field, join(at, name)
		if !indexed {
			continue
		}
		i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if v.Kind() != reflect.Slice || err != nil || !strings.HasSuffix(index, "]") || i < 0 || i >= v.Len() {
			return v, fmt.Errorf("%s[%s is not an element of a list: set the whole list, as %s=[...]", at, index, at)
		}
		v, at = v.Index(i), fmt.Sprintf("%s[%d]", at, i)
	}
	return v, nil
}

// bracketed shows how to name an element of the list at, of which path has
// the index or nothing: phases[0].share for phases.0.share.
func bracketed(path, at string, list reflect.Value) string {
	index, rest, more := strings.Cut(path[len(at)+1:], ".")
	if _, err := strconv.Atoi(index); err != nil {
		index, rest, more = "0", path[len(at)+1:], list.Type().Elem().Kind() == reflect.Struct
	}
	element := fmt.Sprintf("%s[%s]", at, index)
	if more {
		element = join(element, rest)
	}
	return element
}
