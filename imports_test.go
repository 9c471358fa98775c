// Package trefoil_test checks what holds for the whole module.
package trefoil_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rooms lists the module's packages from low to high, each with the packages
// outside the standard library and the module that it may import. A package
// may import the rooms above it in the list, never one below.
var rooms = []struct {
	path    string
	outside []string
}{
	{"internal/kernel/peak", []string{"golang.org/x/sys/cpu"}},
	{"internal/kernel", []string{"golang.org/x/sys/cpu"}},
	{"internal/atomicfile", nil},
	{"internal/regularfile", nil},
	{"internal/safetensors", nil},
	{"internal/gguf", nil},
	{"internal/command", []string{"golang.org/x/term"}},
	{"internal/progress", []string{"github.com/schollz/progressbar/v3"}},
	{"arch", nil},
	{"internal/names", nil},
	{"quant", nil},
	{"quant/calib", nil},
	{"quant/analysis", []string{"gonum.org/v1/plot"}},
	{"quant/packed", []string{"github.com/edsrzf/mmap-go"}},
	{"data", []string{"github.com/sugarme/tokenizer", "golang.org/x/text/unicode/norm", "github.com/edsrzf/mmap-go", "github.com/bmatcuk/doublestar/v4"}},
	{"infer", nil},
	{"schedule", nil},
	{"config", []string{"go.yaml.in/yaml/v3"}},
	{"export", nil},
	{"convert", nil},
	{"nn", gorgonia},
	{"layers", gorgonia},
	{"train", append([]string{"gonum.org/v1/plot", "golang.org/x/image/font"}, gorgonia...)},
	{"cmd/train", []string{"github.com/schollz/progressbar/v3"}},
	{"cmd/export", nil},
	{"cmd/import", nil},
	{"cmd/inspect", nil},
	{"cmd/generate", []string{"golang.org/x/term"}},
	{"interop", nil},
	{"experiments/study", nil},
	{"experiments/shakespeare", nil},
	{"experiments/gradientbits", nil},
	{"experiments/mnist", append([]string{"gonum.org/v1/plot"}, gorgonia...)},
	{"experiments/quant", gorgonia},
	{"experiments/speed", gorgonia},
}

var gorgonia = []string{"gorgonia.org/gorgonia", "gorgonia.org/tensor", "github.com/chewxy/hm", "go4.org/unsafe/assume-no-moving-gc"}

const module = "trefoil"

type goPackage struct {
	ImportPath, Doc string
	GoFiles         []string
	Imports, Deps   []string
}

// listPackages describes the packages that match the patterns.
func listPackages(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Doc,GoFiles,Imports,Deps"}, patterns...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestImportOrder(t *testing.T) {
	level := map[string]int{}
	for i, r := range rooms {
		level[module+"/"+r.path] = i
	}
	for _, p := range listPackages(t, "./...") {
		if len(p.GoFiles) == 0 {
			continue // tests alone
		}
		own, known := level[p.ImportPath]
		if !known {
			t.Errorf("%s has no place in the list of rooms", p.ImportPath)
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if i, ok := level[imported]; ok {
				if i >= own {
					t.Errorf("%s imports %s, a room that is not above it", p.ImportPath, imported)
				}
				continue
			}
			if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") && !allowed(imported, rooms[own].outside) {
				t.Errorf("%s imports %s, which it may not", p.ImportPath, imported)
			}
		}
	}
}

func allowed(path string, list []string) bool {
	return slices.ContainsFunc(list, func(a string) bool { return path == a || strings.HasPrefix(path, a+"/") })
}

// What runs and writes packed models is free of the graph.
func TestNoGorgoniaInRuntime(t *testing.T) {
	for _, p := range listPackages(t, "./infer", "./export", "./convert", "./cmd/export", "./cmd/import", "./cmd/generate") {
		for _, d := range p.Deps {
			if strings.HasPrefix(d, "gorgonia.org/") {
				t.Errorf("%s links %s", p.ImportPath, d)
			}
		}
	}
}
