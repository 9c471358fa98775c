package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"trefoil/internal/regularfile"
)

// maxConfig bounds a config.json.
const maxConfig = 1 << 20

// configKeys lists the fields of a config.json if there is one.
func configKeys(path string) ([]key, error) {
	b, err := regularfile.Read(path, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	keys, err := flatten("config.json", b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// flatten lists the fields of a JSON object by their paths, in the order of
// the alphabet.
func flatten(prefix string, b []byte) ([]key, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return nil, err
	}
	var keys []key
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		field, path := fields[name], prefix+"."+name
		if bytes.HasPrefix(field, []byte("{")) {
			inner, err := flatten(path, field)
			if err != nil {
				return nil, err
			}
			keys = append(keys, inner...)
			continue
		}
		var line bytes.Buffer
		if err := json.Compact(&line, field); err != nil {
			return nil, err
		}
		keys = append(keys, key{Name: path, Type: "json", Value: json.RawMessage(line.Bytes())})
	}
	return keys, nil
}
