// Package experiments_test checks that the configurations of the studies are
// whole.
package experiments_test

import (
	"path/filepath"
	"testing"

	"trefoil/config"
)

func TestConfigurations(t *testing.T) {
	files, err := filepath.Glob("*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d configurations, %v", len(files), err)
	}
	for _, file := range files {
		if _, err := config.Load(file); err != nil {
			t.Error(err)
		}
	}
}
