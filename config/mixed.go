package config

import (
	"errors"
	"fmt"
	"reflect"

	"trefoil/quant"
)

// ParseMixed reads a mixed-precision plan, a list of patterns and quantizers,
// from YAML; name stands for the file in errors. It knows every field, unlike
// yaml.Unmarshal, which skips what it does not know: the error names every
// mistake, by file and line. Whether the patterns match layers is for
// [quant.Mixed.Build] to say.
//
//   - layers: "*.ffn.down"
//     quantizer: {bits: 4, granularity: group, group: 64}
func ParseMixed(name string, content []byte) (quant.Mixed, error) {
	var m quant.Mixed
	d := decoder{file: name, places: map[string]string{}}
	if err := d.document(content, reflect.ValueOf(&m).Elem()); err != nil {
		return nil, err
	}
	unread := len(d.errs) > 0
	for i, rule := range m {
		at := fmt.Sprintf("[%d]", i)
		err := under(at+".quantizer", rule.Quantizer.Validate())
		if bad := quant.CheckPattern(rule.Layers); bad != nil {
			err = errors.Join(err, problem{at + ".layers", bad.Error()})
		}
		for _, err := range leaves(err) {
			if p, ok := err.(problem); !unread || ok && d.places[p.path] != "" {
				d.errs = append(d.errs, d.placed(err))
			}
		}
	}
	if err := d.joined(); err != nil {
		return nil, err
	}
	return m, nil
}
