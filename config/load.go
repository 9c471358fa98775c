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
		return Config{}, err
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
		return fmt.Errorf("%s: is larger than %d bytes: a configuration is a small YAML file", d.file, maxFile)
	}
	stream := yaml.NewDecoder(bytes.NewReader(content))
	var doc yaml.Node
	switch err := stream.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return d.syntax(content, err)
	}
	var second yaml.Node
	if err := stream.Decode(&second); err == nil {
		return fmt.Errorf("%s: holds a second document: keep one and remove the line ---", d.file)
	} else if !errors.Is(err, io.EOF) {
		return d.syntax(content, err)
	}
	d.value("", doc.Content[0], v)
	return nil
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)

// plain rewrites a syntax error of the YAML parser: its line as line N, without
// the name of the package.
func plain(err error) error {
	line, reason := parts(err)
	if line != "" {
		reason = "line " + line + ": " + reason
	}
	return errors.New("is not YAML: " + reason)
}

// parts takes a syntax error of the YAML parser apart; line may be empty.
func parts(err error) (line, reason string) {
	m := yamlLine.FindStringSubmatch(err.Error())
	return m[1], strings.TrimPrefix(err.Error(), m[0])
}

// tabbed matches the indentation of a line that has a tab in it.
var tabbed = regexp.MustCompile(`(?m)^ *\t[ \t]*[^\s#]`)

// syntax puts file and line before a syntax error of the file.
func (d *decoder) syntax(content []byte, err error) error {
	if at := tabbed.FindIndex(content); at != nil {
		return fmt.Errorf("%s:%d: a tab begins the line: indent with spaces, not tabs", d.file, 1+bytes.Count(content[:at[0]], []byte("\n")))
	}
	line, reason := parts(err)
	if line != "" {
		line = ":" + line
	}
	if line != "" {
		reason += ": look at the indentation, brackets and quotes of this line and the next"
	}
	return fmt.Errorf("%s%s: is not YAML: %s", d.file, line, reason)
}

// placed puts the place of the value that an error is about before it.
func (d *decoder) placed(err error) error {
	var p problem
	if !errors.As(err, &p) {
		return err
	}
	return located(d.placeOf(p), p)
}

// placeOf finds what probably caused a problem: the field itself or one beside
// or beneath it that the reason names, above all an assignment; else a field of
// train that it names, above all the steps; else the nearest enclosing field;
// else an assignment to the same section.
func (d *decoder) placeOf(p problem) string {
	own, related := d.places[p.path], d.related(p.reason, p.path, enclosing(p.path))
	if own == "" || strings.HasPrefix(related, setFlag) && !strings.HasPrefix(own, setFlag) {
		own = related
	}
	if own == "" {
		own = d.related(p.reason, "train")
	}
	for at := p.path; at != "" && own == ""; at = enclosing(at) {
		own = d.places[at]
	}
	for at := p.path; at != "" && own == ""; at = enclosing(at) {
		for _, path := range d.assigned {
			if strings.HasPrefix(path, at+".") {
				own = d.places[path]
			}
		}
	}
	switch {
	case own != "":
		return own
	case len(d.assigned) == 1:
		return d.places[d.assigned[0]]
	}
	return d.file
}

var word = regexp.MustCompile(`[a-z_0-9]+`)

// related finds the place of a field in one of the sections that the reason of
// a problem names: an assignment rather than a line.
func (d *decoder) related(reason string, sections ...string) (place string) {
	words := word.FindAllString(reason, -1)
	for _, section := range sections {
		for _, w := range words {
			found := d.places[join(section, w)]
			if place == "" || strings.HasPrefix(found, setFlag) && !strings.HasPrefix(place, setFlag) {
				place = found
			}
		}
	}
	return place
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
