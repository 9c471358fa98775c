package config

import (
	"reflect"
	"strings"
	"testing"

	"trefoil/quant"
	"trefoil/schedule"
)

// everything is a configuration in which no part is left out.
func everything() Config {
	c := Default()
	c.Name = "everything"
	c.Data.Include = []string{"**/*.go", "a b", "null", "1", "~", "x,y", `q"uo\te`, "tab\t", "ü\u2028"}
	c.Data.Field = "yes: # no"
	c.Quantization.Mixed = quant.Mixed{{Layers: "*.down", Quantizer: quant.Config{
		Bits: 4, Scheme: quant.Symmetric, Scale: quant.Percentile, Granularity: quant.PerGroup, Axis: -1, Group: 64, Block: [2]int{2, 3}, Codes: quant.Narrow,
		ScaleType: quant.Float16, Rounding: quant.Stochastic, Seed: 1, Percentile: 99, Sigmas: 2, Threshold: 0.1,
	}}, {Layers: "blocks.0.*"}}
	c.Quantization.Phases = []schedule.Phase{
		{Name: "true", Share: 0.1, Layers: []string{"blocks.0.*", "*.[qk]"}, Lambda: schedule.Lambda{Shape: schedule.Sigmoid, From: 0.25, To: 0.5},
			Weights: &schedule.Weights{Bits: 32}, Activations: &schedule.Activations{Bits: 4}, Noise: &quant.Noise{Kind: quant.BlockNoise, Block: 3}},
		{Name: "same", Share: 0.2, Lambda: schedule.Lambda{Shape: schedule.Step, To: 1}, Weights: &schedule.Weights{}},
		{Name: "ternary", Share: 0.7, Lambda: schedule.Lambda{Shape: schedule.Step, To: 1}},
	}
	return c
}

func printed(t *testing.T, c Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPrintParsesBack(t *testing.T) {
	for _, c := range []Config{Default(), everything()} {
		text := printed(t, c)
		got, err := Parse("printed.yaml", []byte(text))
		if err != nil {
			t.Errorf("%v\n%s", err, text)
		} else if !reflect.DeepEqual(got, c) {
			t.Errorf("got  %+v\nwant %+v\n%s", got, c, text)
		}
	}
}

// The text without comments parses back too, with strings in it that look like
// comments, and is otherwise the printed one up to each comment: the form that
// older checkpoints hold.
func TestText(t *testing.T) {
	for _, c := range []Config{Default(), everything()} {
		var want strings.Builder
		for line := range strings.Lines(printed(t, c)) {
			line, _, _ = strings.Cut(line, "  # ")
			want.WriteString(strings.TrimRight(line, " \n") + "\n")
		}
		if got := c.Text(); got != want.String() {
			t.Errorf("got\n%s\nwant\n%s", got, &want)
		}
		c.Data.Path, c.Data.Include = "corpus  # old", []string{"*.go  # and no more"}
		if got, err := Parse("text.yaml", []byte(c.Text())); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%v\n%s\nis read as %+v", err, c.Text(), got)
		}
	}
}

func TestPrintHasEveryFieldAndMeaning(t *testing.T) {
	c := Default()
	c.Train.Steps = 3000
	text := printed(t, c)
	for _, want := range []string{
		"train:                   # optimization and evaluation\n  steps: 3000            # updates of the parameters\n",
		"    vocab: 2048          # bpe: ",
		"    path: \"\"             # file: ",
		"  norm_eps: 1e-05        # added",
		"    - name: blend        # name of the phase",
		"        shape: linear    # step (to",
		"    - name: ternary\n      share: 0.7\n      layers: []\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text = printed(t, everything()) // with lists that are not empty
	for _, path := range fieldPaths("", reflect.TypeFor[Config]()) {
		name := path[strings.LastIndex(path, ".")+1:]
		if !strings.Contains(text, name+":") {
			t.Errorf("%s is not printed", path)
		}
	}
}

// Every field that a file can name has a meaning to print.
func TestEveryFieldIsDocumented(t *testing.T) {
	paths := fieldPaths("", reflect.TypeFor[Config]())
	for _, path := range paths {
		if strings.HasSuffix(path, "!") {
			t.Errorf("%s: the field has no yaml or no doc tag", path)
		}
	}
	if len(paths) < 60 {
		t.Errorf("found %d fields only", len(paths))
	}
}

// fieldPaths lists the fields that are reachable from a struct; those without
// tags end in "!".
func fieldPaths(path string, t reflect.Type) []string {
	var paths []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _ := yamlName(f)
		at, element := join(path, name), f.Type
		paths = append(paths, at)
		if f.Tag.Get("yaml") == "" || f.Tag.Get("doc") == "" {
			paths = append(paths, path+"."+f.Name+"!")
		}
		for element.Kind() == reflect.Pointer || element.Kind() == reflect.Slice {
			element = element.Elem()
		}
		if element.Kind() == reflect.Struct {
			paths = append(paths, fieldPaths(at, element)...)
		}
	}
	return paths
}

// No file makes Parse panic, and what it accepts prints and parses back.
func FuzzParse(f *testing.F) {
	for _, c := range []Config{Default(), everything()} {
		var b strings.Builder
		c.Print(&b)
		f.Add(b.String(), "train.steps=30")
	}
	f.Add("a: &a [*a]", "quantization.phases[0].noise.kind=block")
	f.Add("? {a: b}\n: !!float 1", "train={lr: 1}")
	f.Add("%YAML 1.1\n---\nname: |\n  a\n...\n", "=")
	f.Fuzz(func(t *testing.T, text, assignment string) {
		c, err := Parse("fuzz.yaml", []byte(text), assignment)
		if err != nil {
			return
		}
		again, err := Parse("fuzz.yaml", []byte(printed(t, c)))
		if err != nil {
			t.Fatalf("%v\n%s", err, printed(t, c))
		}
		if printed(t, again) != printed(t, c) {
			t.Errorf("%s\nprints and parses to\n%s", printed(t, c), printed(t, again))
		}
	})
}
