// Command _asm writes the assembly of package kernel with avo.
//
//	go run . -out ../float_gemm_amd64.s -stubs ../float_gemm_amd64.go -pkg kernel float_gemm
//
// The last argument names the group of kernels to write; each file here adds
// its groups to the registry. Each group becomes one assembly file and one
// file of Go stubs. The go:generate lines in the package list them all.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"

	. "github.com/mmcloughlin/avo/build"
)

// groups maps the name of a group of kernels to the function that emits it.
var groups = map[string]func(){}

func main() {
	flag.Parse()
	emit, ok := groups[flag.Arg(0)]
	if !ok {
		fmt.Fprintf(os.Stderr, "unknown group %q: use one of %v\n", flag.Arg(0), slices.Sorted(maps.Keys(groups)))
		os.Exit(2)
	}
	ConstraintExpr("!purego")
	emit()
	Generate()
}
