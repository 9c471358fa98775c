package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is the size of the largest file that is read.
const maxFile = 1 << 20

// Load reads a configuration from a YAML file, puts it over [Default], makes
// the assignments (each as "train.steps=30"), in order, and validates the
// whole. The error names every mistake, by file and line or by assignment.
func Load(path string, assignments ...string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Config{}, err
	}
	return Parse(path, data, assignments...)
}

// Parse is [Load] of a file's content; name stands for the file in errors.
// Without content it gives Default with the assignments made.
func Parse(name string, content []byte, assignments ...string) (Config, error) {
	c := Default()
	d := decoder{file: name, places: map[string]string{}}
	if err := d.document(content, reflect.ValueOf(&c).Elem()); err != nil {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	if err := c.apply(&d, assignments); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Set makes assignments, as "train.steps=30" or "quantization.phases=[]", and
// validates the result. The value is YAML. After an error c is of no use.
func (c *Config) Set(assignments ...string) error {
	return c.apply(&decoder{places: map[string]string{}}, assignments)
}

// apply makes the assignments, validates c, and returns all mistakes with their
// places.
func (c *Config) apply(d *decoder, assignments []string) error {
	for _, a := range assignments {
		d.assign(a, reflect.ValueOf(c).Elem())
	}
	unread := len(d.errs) > 0
	for _, err := range leaves(c.Validate()) {
		// After a value that could not be read, a fault elsewhere may be but
		// its consequence.
		if p, ok := err.(problem); !unread || ok && d.places[p.path] != "" {
			d.errs = append(d.errs, d.placed(err))
		}
	}
	return d.joined()
}

// document decodes the one YAML document of a file into v.
func (d *decoder) document(content []byte, v reflect.Value) error {
	if len(content) > maxFile {
		return fmt.Errorf("is larger than %d bytes: a configuration is a small YAML file", maxFile)
	}
	stream := yaml.NewDecoder(bytes.NewReader(content))
	var doc yaml.Node
	switch err := stream.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return plain(err)
	}
	var second yaml.Node
	if err := stream.Decode(&second); err == nil {
		return errors.New("holds a second document: keep one and remove the line ---")
	} else if !errors.Is(err, io.EOF) {
		return plain(err)
	}
	d.value("", doc.Content[0], v)
	return nil
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// plain rewrites a syntax error of the YAML parser: its line as line N, without
// the name of the package.
func plain(err error) error {
	text := err.Error()
	m := yamlLine.FindStringSubmatch(text)
	text = strings.TrimPrefix(text, m[0])
	if m[1] != "" {
		text = "line " + m[1] + ": " + text
	}
	return errors.New("is not YAML: " + text)
}

// placed puts the place of the value that an error is about before it: the
// nearest enclosing field that the file or an assignment gives.
func (d *decoder) placed(err error) error {
	var p problem
	if !errors.As(err, &p) {
		return err
	}
	for at := p.path; at != ""; at = enclosing(at) {
		if place, ok := d.places[at]; ok {
			return located(place, p)
		}
	}
	return located(d.file, p)
}

// enclosing cuts the last step off a path: a[1].b, a[1], a, "".
func enclosing(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// located writes "place: path: reason", without the path where the place, an
// assignment, already starts with it.
func located(place string, p problem) error {
	switch {
	case place == "":
		return p
	case p.path == "" || strings.HasPrefix(place, setFlag+p.path+"="):
		return fmt.Errorf("%s: %s", place, p.reason)
	}
	return fmt.Errorf("%s: %w", place, p)
}
