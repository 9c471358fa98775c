package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"trefoil/internal/kernel"
)

// machine describes where the study ran: processor, features and versions.
func (s *study) machine(ctx context.Context) (string, error) {
	name, features := processor()
	versions := []string{runtime.Version(), "Gorgonia " + moduleVersion("gorgonia.org/gorgonia")}
	if s.python != "" {
		done, err := s.execute(ctx, s.python, "-c", "import torch; print(torch.__version__)")
		if err != nil {
			return "", err
		}
		versions = append(versions, "PyTorch "+strings.TrimSpace(done.output))
	}
	return fmt.Sprintf("%s, %d cores, %d threads used; %s; kernels at level %v; %s\n",
		name, runtime.NumCPU(), threads, strings.Join(features, " "), kernel.Active(), strings.Join(versions, ", ")), nil
}

// interesting are the features that matter to the kernels of both sides.
var interesting = []string{"avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"}

// processor returns the name and the interesting features, as far as Linux
// tells them.
func processor() (name string, features []string) {
	name = runtime.GOARCH
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return name, nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch strings.TrimSpace(key) {
		case "model name":
			name = strings.TrimSpace(value)
		case "flags":
			all := strings.Fields(value)
			features = slices.DeleteFunc(slices.Clone(interesting), func(f string) bool { return !slices.Contains(all, f) })
		case "":
			return name, features // the end of the first core
		}
	}
	return name, features
}

func moduleVersion(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return ""
}

// product is a benchmark of package kernel at 1024 x 1024 x 1024.
type product struct {
	what, benchmark string
	target          float64 // % of what the instruction does on registers
}

// products measures the large matrix products against the peak of the
// instruction that multiplies, all in one process.
func (s *study) products(ctx context.Context) (string, error) {
	level, float := kernel.Active(), min(kernel.Active(), kernel.AVX512)
	if level < kernel.AVX2 {
		return "", nil
	}
	integers := fmt.Sprintf("/%v/%d/1024x1024x1024", level, threads)
	floats := fmt.Sprintf("/1024x1024x1024/%v/%d", float, threads)
	t := newTable("product of 1024 x 1024 x 1024", "% of the instruction's peak", "target")
	for _, p := range []product{
		{"int8 x ternary, forward", "MulTernary" + integers, 60},
		{"int16 x ternary, gradient of the input", "MulGradInput" + integers, 60},
		{"int16 x int8, gradient of the weights", "MulGradWeight" + integers, 60},
		{"float32, A B", "Gemm/NN" + floats, 75},
		{"float32, A B^T", "Gemm/NT" + floats, 75},
		{"float32, A^T B", "Gemm/TN" + floats, 75},
	} {
		share, err := s.share(ctx, p.benchmark)
		if err != nil {
			return "", err
		}
		cell := fmt.Sprintf("%.0f", share)
		if share >= p.target {
			cell = "**" + cell + "**"
		}
		t.row(p.what, cell, fmt.Sprintf("at least %.0f", p.target))
	}
	return t.String(), nil
}

var peakShare = regexp.MustCompile(`([0-9.]+) %peak`)

func (s *study) share(ctx context.Context, benchmark string) (float64, error) {
	pattern := "^Benchmark" + strings.ReplaceAll(benchmark, "/", "$/^") + "$"
	done, err := s.execute(ctx, "go", "test", "./internal/kernel", "-run", "^$", "-bench", pattern, "-benchtime", "1s")
	if err != nil {
		return 0, err
	}
	found := peakShare.FindStringSubmatch(done.output)
	if found == nil {
		return 0, fmt.Errorf("benchmark %s: %w", benchmark, errNoSpeed)
	}
	return number("%peak "+found[1], "%peak")
}
