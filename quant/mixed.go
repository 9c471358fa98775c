package quant

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Mixed is a mixed-precision plan: which layers get which quantizer. In YAML
// it is a list of
//
//   - layers: blocks.0.*
//     quantizer: {bits: 8, granularity: channel}
//
// which ParseMixed of trefoil/config reads, with an error for each field that is
// not known. (yaml.Unmarshal skips those without a word.)
type Mixed []MixedRule

// MixedRule gives the layers whose names match a pattern a quantizer. In the
// pattern * stands for any characters but a slash, ? for one and [a-c] for one
// of a set, as in [path.Match].
type MixedRule struct {
	Layers    string `yaml:"layers" json:"layers" doc:"pattern of the layers, as *.ffn.down"`
	Quantizer Config `yaml:"quantizer" json:"quantizer" doc:"of their weights"`
}

// CheckPattern reports a pattern of layers that is empty or malformed.
func CheckPattern(pattern string) error {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return fmt.Errorf("%q is not a pattern: write it as blocks.0.* or *.ffn.down", pattern)
	}
	return nil
}

// Build returns the quantizers of the named layers. The first rule that
// matches a name decides; a name that none matches has no entry, and stays in
// float. A pattern that is malformed, or decides about no layer, and a
// configuration that makes no sense are errors, each with the number of its
// rule. Layers of one rule share a quantizer.
func (m Mixed) Build(names []string) (map[string]*Scalar, error) {
	quantizers := map[string]*Scalar{}
	var errs []error
	for i, r := range m {
		q, err := New(r.Quantizer)
		if err != nil {
			errs = append(errs, fmt.Errorf("[%d].quantizer: %w", i, err))
			continue
		}
		if err := CheckPattern(r.Layers); err != nil {
			errs = append(errs, fmt.Errorf("[%d].layers: %w", i, err))
		} else if r.claim(quantizers, q, names) == 0 {
			errs = append(errs, fmt.Errorf("[%d].layers: %q decides about no layer: %s", i, r.Layers, r.idle(names)))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return quantizers, nil
}

// Find returns the configuration of the rule that decides about a name, if
// there is one.
func (m Mixed) Find(name string) (c Config, ok bool) {
	for _, r := range m {
		if matched, _ := path.Match(r.Layers, name); matched {
			return r.Quantizer, true
		}
	}
	return c, false
}

// idle says why the rule decides about none of the names.
func (r MixedRule) idle(names []string) string {
	for _, name := range names {
		if matched, _ := path.Match(r.Layers, name); matched {
			return fmt.Sprintf("earlier rules take all it matches, such as %s", name)
		}
	}
	if len(names) == 0 {
		return "there are no layers"
	}
	if strings.Contains(names[0], "/") {
		return fmt.Sprintf("it matches none, as %s: a * stops at a slash, write one for each part", names[0])
	}
	return fmt.Sprintf("it matches none, as %s", names[0])
}

// claim gives q to the names that match and have none yet, and counts them.
func (r MixedRule) claim(quantizers map[string]*Scalar, q *Scalar, names []string) (claimed int) {
	for _, name := range names {
		matched, _ := path.Match(r.Layers, name)
		if _, taken := quantizers[name]; matched && !taken {
			quantizers[name] = q
			claimed++
		}
	}
	return claimed
}
