package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"trefoil/arch"
	"trefoil/quant"
	"trefoil/schedule"
)

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	p, err := c.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if start, done := p.Lambda(0), p.Complete(c.Train.Steps*3/10); start != 0 || !done {
		t.Errorf("lambda %v at first, complete at three tenths: %v", start, done)
	}
	if got := c.Data.Tokenizer.Vocab; got != 2048 {
		t.Errorf("vocabulary of %d", got)
	}
}

func TestParse(t *testing.T) {
	c, err := Parse("run.yaml", []byte(`
name: tiny
seed: 18446744073709551615
model: {dim: 128, activation: relu2}
train:
  lr: 1
  weight_decay: 1e-2
  steps: 1_000
data:
  include: ["**/*.go", a.txt]
quantization:
  phases:
    - {name: float, share: 0.5, layers: ["*.q"], weights: {bits: 32}, activations: null}
    - name: ternary
      share: 0.5
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Name, want.Seed = "tiny", 1<<64-1
	want.Model.Dim, want.Model.Activation = 128, "relu2"
	want.Train.LR, want.Train.WeightDecay, want.Train.Steps = 1, 0.01, 1000
	want.Data.Include = []string{"**/*.go", "a.txt"}
	now := schedule.Lambda{Shape: schedule.Step, From: 0, To: 1}
	want.Quantization.Phases = []schedule.Phase{
		{Name: "float", Share: 0.5, Layers: []string{"*.q"}, Lambda: now, Weights: &schedule.Weights{Bits: 32}},
		{Name: "ternary", Share: 0.5, Lambda: now},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	m := arch.Config{Vocab: 99, Dim: 128, Layers: want.Model.Layers, Heads: 4, KVHeads: 2, FF: want.Model.FF, Context: 256, Activation: arch.ReLU2, RopeBase: 10000, NormEps: 1e-5}
	if got := c.Model.Arch(99); got != m {
		t.Errorf("architecture %+v, want %+v", got, m)
	}
}

func TestNothingIsDefault(t *testing.T) {
	for _, text := range []string{"", "# only a comment\n", "{}"} {
		c, err := Parse("run.yaml", []byte(text))
		if err != nil || !reflect.DeepEqual(c, Default()) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
}

// Every mistake of a file is reported, with its line, path and remedy.
func TestParseReportsAllMistakes(t *testing.T) {
	_, err := Parse("run.yaml", []byte(`name: a
sed: 3
model:
  dim: 64.5
  vocab: 3
  heads: [4]
  ff:
train:
  lr: fast
  lr: 1e-3
  batch: 8
  batch: 9
  learning_rate_of_muon: 1
steps: 3
seed: -1
data: text.txt
quantization:
  weights:
    bits: .inf
  phases:
    - {name: 3, lambda: {shap: step}}
    - 7
`))
	wantLines(t, err,
		`run.yaml:2: sed: is not a field: did you mean seed?`,
		`run.yaml:4: model.dim: 64.5 is not a whole number`,
		`run.yaml:5: model.vocab: is not a field: did you mean data.tokenizer.vocab?`,
		`run.yaml:6: model.heads: a list is not a whole number`,
		`run.yaml:7: model.ff: nothing is not a whole number`,
		`run.yaml:9: train.lr: "fast" is not a number`,
		`run.yaml:10: train.lr: is given twice: remove this or line 9`,
		`run.yaml:12: train.batch: is given twice: remove this or line 11`,
		`run.yaml:13: train.learning_rate_of_muon: is not a field: the fields of train are steps, batch, accumulate, optimizer, lr, muon_lr, muon_block, schedule, warmup, floor, decay, drop, weight_decay, beta1, beta2, clip, eval_every, eval_batches`,
		`run.yaml:14: steps: is not a field: did you mean train.steps?`,
		`run.yaml:15: seed: -1 is not a whole number, 0 or more`,
		`run.yaml:16: data: "text.txt" is not a mapping: indent its fields beneath it, or leave it out`,
		`run.yaml:19: quantization.weights.bits: .inf is not a number`,
		`run.yaml:21: quantization.phases[0].name: 3 is not a text: put it in quotes`,
		`run.yaml:21: quantization.phases[0].lambda.shap: is not a field: did you mean shape?`,
		`run.yaml:22: quantization.phases[1]: 7 is not a mapping: indent its fields beneath it, or leave it out`,
	)
}

// What the parts refuse is reported at the line of the field, or of the
// section around it, or at the assignment that caused it.
func TestParseLocatesRanges(t *testing.T) {
	_, err := Parse("run.yaml", []byte(`name: ../a
model:
  heads: 5
data:
  path: ""
train:
  clip: -1
quantization:
  weights: {bits: 1.6}
  phases:
    - name: a
      share: 0.7
      lambda: {to: 2}
`), "train.steps=0", "model.activation=gelu")
	wantLines(t, err,
		`run.yaml:1: name: "../a" does not make a folder: use up to 100 letters, digits, dots, dashes and underscores, with a letter or digit first`,
		`run.yaml:3: model.dim: 256 is not divisible into 5 heads of an even width: use a multiple of 10`,
		`run.yaml:3: model.kv_heads: 2 does not divide heads: 5`,
		`run.yaml:5: data.path: is empty: set it to "go", a text file, a folder or a .jsonl file`,
		`run.yaml:7: train.clip: -1 is not supported: use 0 (never) or more: 1 is usual`,
		`run.yaml:9: quantization.weights.bits: 1.6 is not supported: use 1.58 (ternary) or 32 (float32); other bits are for layers in quantization.mixed`,
		`run.yaml:10: quantization.phases: the shares add up to 0.7: make them add up to 1`,
		`run.yaml:13: quantization.phases[0].lambda.to: 2 is outside 0..1: use a value in that range`,
		`-set model.activation=gelu: "gelu" is not known: use silu or relu2`,
		`-set train.steps=0: 0 is too few: a run has at least 1 step`,
	)
	_, err = Parse("run.yaml", []byte("quantization:\n  phases:\n  - {name: a, share: 1, layers: [blocks.9.*]}"))
	wantLines(t, err, `run.yaml:3: quantization.phases[0].layers[0]: "blocks.9.*" names no linear layer: the first is blocks.0.attention.q, the last blocks.3.ffn.down`)
	_, err = Parse("run.yaml", []byte("quantization:\n  phases:\n  - {name: a, share: 1, layers: [blocks.0.*]}"))
	wantLines(t, err, `run.yaml:2: quantization.phases: layer blocks.1.attention.q would stay float32, for no phase names it: add a pattern that does to the last phase, or leave its layers out`)
	_, err = Parse("run.yaml", []byte("quantization:\n  mixed:\n  - {layers: '*.up', quantizer: {bits: 4, granularity: group, group: 48}}\n  - {layers: '*.[qk]', quantizer: {block: [1]}}"))
	wantLines(t, err, `run.yaml:4: quantization.mixed[1].quantizer.block: a list is not a list of 2: write it as [0, 0]`)
	_, err = Parse("run.yaml", []byte("quantization:\n  mixed:\n  - {layers: '*.up', quantizer: {bits: 4, granularity: group, group: 48}}"))
	wantLines(t, err, `run.yaml:2: quantization.mixed: layer blocks.0.ffn.up: groups of 48 do not divide the last dimension of shape [768 256]: choose a divisor of 256`)
}

// Sizes that are each in range may together be beyond any memory.
func TestParseRefusesWhatFitsNowhere(t *testing.T) {
	_, err := Parse("run.yaml", []byte("model: {dim: 1048576, ff: 1048576}\ntrain:\n  batch: 1000000"))
	wantLines(t, err,
		`run.yaml:1: model: 26,388,297,940,992 parameters are more than 17,179,869,184: use a smaller dim, ff or layers`,
		`run.yaml:3: train.batch: 1,000,000 sequences of 256 tokens are more than 16,777,216 in one pass: use a smaller batch and train.accumulate`)
	_, err = Parse("run.yaml", nil, "train.eval_batches=16777216")
	wantLines(t, err, `-set train.eval_batches=16777216: 16,777,216 batches of 2,048 tokens are more than 1,073,741,824: use fewer`)
}

// What can be read is checked too when something else cannot, but not what
// follows from that.
func TestParseReportsRangesBesideSyntax(t *testing.T) {
	_, err := Parse("run.yaml", []byte(`model: {dim: wide, heads: 3, ff: 0}
train: {stps: 30, clip: -1}
quantization:
  weights: {bits: 1.6}
  phases: [{nam: a, share: x, lambda: {to: 2}}]
`))
	wantLines(t, err,
		`run.yaml:1: model.dim: "wide" is not a whole number`,
		`run.yaml:1: model.ff: 0 is not between 1 and 16777216`,
		`run.yaml:2: train.stps: is not a field: did you mean steps?`,
		`run.yaml:2: train.clip: -1 is not supported: use 0 (never) or more: 1 is usual`,
		`run.yaml:4: quantization.weights.bits: 1.6 is not supported: use 1.58 (ternary) or 32 (float32); other bits are for layers in quantization.mixed`,
		`run.yaml:5: quantization.phases[0].nam: is not a field: did you mean name?`,
		`run.yaml:5: quantization.phases[0].share: "x" is not a number`,
		`run.yaml:5: quantization.phases[0].lambda.to: 2 is outside 0..1: use a value in that range`,
	)
}

func TestParseRefusesFiles(t *testing.T) {
	bomb := "a: &a [x, x]\n" + strings.Repeat("b: &b [*a, *a, *a]\n", 100)
	for _, test := range []struct{ name, text, want string }{
		{"syntax", "name: [", "run.yaml:1: is not YAML: "},
		{"a tab", "model:\n  dim: 64\n\theads: 2", "run.yaml:3: a tab begins the line: indent with spaces, not tabs"},
		{"an unknown anchor", "name: *a", "run.yaml: is not YAML: "},
		{"an anchor", "name: &n a", "run.yaml:1: name: anchors and aliases"},
		{"an alias", "name: &n a\ntrain: {optimizer: *n}", "run.yaml:1: name: anchors and aliases"},
		{"a bomb", bomb, "run.yaml:1: a: is not a field"},
		{"a merge key", "<<: {name: a}", "run.yaml:1: <<: is not a field"},
		{"a list as key", "? [a, b]\n: 3", "run.yaml:1: a list is not the name of a field"},
		{"a list at the root", "[1, 2]", "run.yaml:1: a list is not a mapping"},
		{"two documents", "name: a\n---\nname: b", "run.yaml: holds a second document"},
		{"binary", "\x00\x01\xff", "run.yaml: is not YAML: "},
		{"a huge file", strings.Repeat("#", maxFile+1), "run.yaml: is larger than 1048576 bytes"},
		{"depth", strings.Repeat("[", 20000), "run.yaml: is not YAML: "},
		{"many mistakes", strings.Repeat("x: 1\n", 1000), "run.yaml:1: x: is not a field"},
		{"a foreign tag", "name: !!binary aGk=", "run.yaml:1: name: aGk= is not a text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("run.yaml", []byte(test.text))
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("%v\nwant %s...", err, test.want)
			}
			if n := strings.Count(err.Error(), "\n"); n > maxErrors {
				t.Errorf("%d lines of errors", n)
			}
		})
	}
}

func TestSet(t *testing.T) {
	c := Default()
	err := c.Set("train.steps=30", "quantization.phases=[]", "data.include=[a, b]", "name=a-b", "data.tokenizer={kind: char}")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Train.Steps, want.Quantization.Phases, want.Name = 30, nil, "a-b"
	want.Data.Include, want.Data.Tokenizer.Kind = []string{"a", "b"}, "char"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestSetInsidePhases(t *testing.T) {
	c := Default()
	err := c.Set("quantization.phases[0].share=0.5", "quantization.phases[1].share=0.5", "quantization.phases[0].noise.kind=uniform")
	if err != nil {
		t.Fatal(err)
	}
	p := c.Quantization.Phases
	if p[0].Share != 0.5 || p[1].Share != 0.5 || *p[0].Noise != (quant.Noise{Kind: quant.UniformNoise}) {
		t.Errorf("%+v", p)
	}
}

func TestSetReportsAllMistakes(t *testing.T) {
	c := Default()
	wantLines(t, c.Set("train.steps=x", "train.stps=3", "train", "steps.x=1", "train.steps.x=1", "name=[", "name=", "seed=1: 2",
		"quantization.phases[2].share=1", "quantization.phases[x=1", "train[0]=1", "train={lr: a}"),
		`-set train.steps=x: "x" is not a whole number`,
		`-set train.stps=3: train.stps is not a field: did you mean steps?`,
		`-set train: has no value: write it as train.steps=30`,
		`-set steps.x=1: steps is not a field: did you mean train.steps?`,
		`-set train.steps.x=1: train.steps has no fields: give it a value of its own`,
		`-set name=[: the value is not YAML: line 1: did not find expected node content`,
		`-set name=: nothing is not a text: give one, or leave the field out`,
		`-set seed=1: 2: a mapping is not a whole number, 0 or more`,
		`-set quantization.phases[2].share=1: quantization.phases[2] is not an element of a list: set the whole list, as quantization.phases=[...]`,
		`-set quantization.phases[x=1: quantization.phases[x is not an element of a list: set the whole list, as quantization.phases=[...]`,
		`-set train[0]=1: train[0] is not an element of a list: set the whole list, as train=[...]`,
		`-set train={lr: a}: train.lr: "a" is not a number`,
	)
	c = Default()
	wantLines(t, c.Set("model.dim=6"), `-set model.dim=6: 6 is not divisible into 4 heads of an even width: use a multiple of 8`)
	c = Default()
	wantLines(t, c.Set("model.heads=6"), `-set model.heads=6: model.dim: 256 is not divisible into 6 heads of an even width: use a multiple of 12`)
}

// The error about one field names the assignment to another that caused it,
// and says what to write instead.
func TestSetBlamesItself(t *testing.T) {
	for assignment, want := range map[string]string{
		"data.tokenizer.kind=file":         "data.tokenizer.path: is empty: kind file needs the path of a tokenizer.json",
		"data.include=**/*.md":             `put the pattern in quotes: -set 'data.include=["**/*.md"]'`,
		"train.lr":                         "has no value: write it as train.lr=",
		"=1":                               "has no field before =",
		"train.steps=1e3":                  "1e3 is not a whole number: write 1000",
		"train.batch=99999999999999999999": "99999999999999999999 is too large",
		"train.batch=99999999":             "99999999 is too large: use at most",
		"quantization.phases.0.share=0.5":  "quantization.phases is a list: name an element in brackets, as quantization.phases[0].share",
		"quantization.phases.share=0.5":    "as quantization.phases[0].share",
		"quantization.weights=1.58":        "1.58 is not a mapping: name a field: -set quantization.weights.bits=1.58",
		"data.tokenizer=byte":              `"byte" is not a mapping: name a field: -set data.tokenizer.kind=byte`,
		"data=t.txt":                       `"t.txt" is not a mapping: name a field: -set data.path=t.txt`,
		"model=[1]":                        "a list is not a mapping: indent its fields",
		"path=t.txt":                       "path is not a field: did you mean data.path or data.tokenizer.path?",
		"train.warmup=010":                 "010 begins with a 0, which makes it octal in YAML: leave the 0 out",
		"train.lr=00.1":                    "00.1 begins with a 0",
	} {
		c, prefix := Default(), "-set "+assignment+": "
		if err := c.Set(assignment); err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s%s", err, prefix, want)
		}
	}
}

// Too few steps for a phase are blamed on the steps, not on phases that no one
// gave.
func TestTooFewStepsForThePhases(t *testing.T) {
	const reason = "quantization.phases[0].share: 0.3 of 1 step is less than one step: raise the share, train for more steps, or leave the phases out (quantization.phases=[])"
	c := Default()
	wantLines(t, c.Set("train.steps=1", "name=a", "train.batch=2"), "-set train.steps=1: "+reason)
	_, err := Parse("run.yaml", []byte("name: a\ntrain:\n  steps: 1\nquantization:\n  activations: {bits: 8}\n"))
	wantLines(t, err, "run.yaml:3: "+reason)
	_, err = Parse("run.yaml", []byte("quantization:\n  phases:\n  - {name: a, share: 0.01}\n  - {name: b, share: 0.99}"), "train.steps=10", "name=a")
	if err == nil || !strings.HasPrefix(err.Error(), "run.yaml:3: quantization.phases[0].share: 0.01 of 10 steps is less") {
		t.Errorf("a share that was given: %v", err)
	}
	for _, assignment := range []string{"train.steps=2", "train.warmup=0", "train.lr=0.1"} {
		if err := c.Set("train.steps=30", assignment); err != nil {
			t.Errorf("%s: %v", assignment, err)
		}
	}
}

func TestLoadAndWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	want := Default()
	want.Name = "written"
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = Load(path, "name=set")
	if err != nil || got.Name != "set" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// wantLines checks every line of an error.
func wantLines(t *testing.T, err error, lines ...string) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	got := strings.Split(err.Error(), "\n")
	for i := range max(len(got), len(lines)) {
		switch {
		case i >= len(got):
			t.Errorf("missing: %s", lines[i])
		case i >= len(lines):
			t.Errorf("too much: %s", got[i])
		case got[i] != lines[i]:
			t.Errorf("got  %s\nwant %s", got[i], lines[i])
		}
	}
}
