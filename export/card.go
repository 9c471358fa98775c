package export

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/template"

	"trefoil/arch"
	"trefoil/internal/command"
	"trefoil/schedule"
)

// The model card of a Hugging Face folder, and the tag by which an export is
// known.
const (
	cardFile = "README.md"
	cardTag  = "- trefoil"
)

// card is the model card.
var card = template.Must(template.New("card").Parse(`---
library_name: transformers
pipeline_tag: text-generation
tags:
- trefoil{{if .Ternary}}
- bitnet{{end}}
---

# {{.Name}}

A language model of {{.Parameters}} parameters, {{if .Ternary}}{{.TernaryParameters}} of them ternary (BitNet b1.58),{{else}}float32,{{end}}
{{.Origin}} Trefoil.

| | |
|---|---|
{{range .Rows}}| {{index . 0}} | {{index . 1}} |
{{end}}
## Use

` + "```python" + `
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForCausalLM.from_pretrained(".")
text = tokenizer("The ", return_tensors="pt")
print(tokenizer.decode(model.generate(**text, max_new_tokens=50)[0]))
` + "```" + `

{{.Weights}}
`))

// How the weights of a folder are stored, for the card.
const (
	packedWeights = "The weights of the linear layers are packed, four ternary codes to a byte, each matrix with one float32 scale."
	onlineWeights = "The weights of the linear layers are those that learned, in float32: transformers rounds them to ternary codes at each use, and can train them further."
	floatWeights  = "All weights are float32."
)

// writeCard writes the model card with the run's figures.
func (r *Run) writeCard(w io.Writer, f Format) error {
	ternary := 0
	for _, p := range linear(r.Model.Parameters()) {
		ternary += p.Size()
	}
	origin := "trained with"
	if r.State.Imported != "" {
		origin = "imported into"
	}
	weights := floatWeights
	switch {
	case f == PackedHuggingFace:
		weights = packedWeights
	case r.ternary():
		weights = onlineWeights
	}
	return card.Execute(w, map[string]any{
		"Name": r.Config.Name, "Parameters": command.Group(r.Model.ParameterCount()), "Ternary": r.ternary(), "Origin": origin,
		"TernaryParameters": command.Group(ternary), "Rows": r.figures(), "Weights": weights,
	})
}

// figures are the rows of the card's table. What a run does not have, because
// it was imported or never evaluated, is left out.
func (r *Run) figures() [][2]string {
	c, s := r.Model, r.State
	rows := [][2]string{
		{"layers, width, feed-forward", fmt.Sprintf("%d, %d, %d", c.Layers, c.Dim, c.FF)},
		{"heads, key-value heads", fmt.Sprintf("%d, %d", c.Heads, c.KVHeads)},
		{"gate of the feed-forward", map[arch.Activation]string{arch.SiLU: "SiLU", arch.ReLU2: "squared ReLU"}[c.Activation]},
		{"context", command.Group(c.Context) + " tokens"},
		{"vocabulary", command.Group(c.Vocab) + " tokens"},
	}
	add := func(name, format string, args ...any) {
		rows = append(rows, [2]string{name, fmt.Sprintf(format, args...)})
	}
	if q := r.Config.Quantization; r.ternary() {
		add("weights", "-1, 0 or 1 times a scale for each matrix (%s)", q.Weights.Scale)
		if q.Activations.Bits != schedule.Float {
			add("activations", "%d bits, a scale for each token", q.Activations.Bits)
		}
	}
	if s.Step > 0 {
		add("trained", "%s steps, %s tokens", command.Group(s.Step), command.Group(int(s.Tokens)))
	}
	if s.Imported != "" {
		add("imported from", "%s", strings.ReplaceAll(s.Imported, "|", `\|`))
	}
	if s.ValLoss > 0 {
		add("held-out loss", "%.4f nats a token, perplexity %.2f", s.ValLoss, math.Exp(s.ValLoss))
	}
	if s.BitsPerByte > 0 {
		add("held-out bits a byte", "%.4f", s.BitsPerByte)
	}
	if s.ValAccuracy > 0 {
		add("next-token accuracy", "%.1f %%", 100*s.ValAccuracy)
	}
	return rows
}
