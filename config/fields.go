package config

import (
	"fmt"
	"reflect"
	"strings"
)

// join adds a field to a path.
func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

// yamlName returns the name of a field in YAML, and whether it is left out
// where it is zero.
func yamlName(f reflect.StructField) (name string, omitEmpty bool) {
	name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name, strings.Contains(options, "omitempty")
}

// fieldNamed finds a field of a struct by its YAML name.
func fieldNamed(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if own, _ := yamlName(v.Type().Field(i)); own == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// suggest says which field may have been meant by an unknown key of a struct:
// those of that name in other sections, else one that is spelled much the same,
// else which fields there are.
func suggest(path, key string, t reflect.Type) string {
	best, distance := "", 1+len(key)/3
	var names []string
	for i := range t.NumField() {
		name, _ := yamlName(t.Field(i))
		names = append(names, name)
		if d := editDistance(key, name); d <= distance {
			best, distance = name, d-1
		}
	}
	if paths := elsewhere("", key, reflect.TypeFor[Config]()); len(paths) > 0 {
		best = strings.Join(paths, " or ")
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	if path != "" {
		path = " of " + path
	}
	return fmt.Sprintf("the fields%s are %s", path, strings.Join(names, ", "))
}

// elsewhere finds the paths of the fields of a name, outside lists.
func elsewhere(path, name string, t reflect.Type) (paths []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		own, _ := yamlName(f)
		at := join(path, own)
		if own == name {
			paths = append(paths, at)
		}
		if f.Type.Kind() == reflect.Struct {
			paths = append(paths, elsewhere(at, name, f.Type)...)
		}
	}
	return paths
}

// editDistance counts the bytes to insert, remove, replace or swap with their
// neighbour to make b of a (optimal string alignment). Keys beyond 64 bytes
// are like no field.
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
