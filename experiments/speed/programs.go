package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"trefoil/train"
)

// measurement is what one run of a program showed.
type measurement struct {
	tokensPerSecond float64 // median of its steps
	peakMemory      int64   // bytes; 0 where the system does not tell
}

// program is a trainer of all sizes, or of some.
type program struct {
	name    string
	runs    func(s *study, z size) bool
	measure func(s *study, ctx context.Context, z size, steps int) (measurement, error)
}

// Names of the programs, as tables have them.
const (
	ternary     = "Trefoil b1.58"
	ternaryMuon = "Trefoil b1.58, Muon"
	twin        = "Trefoil float32"
	builtInOps  = "Gorgonia's own operations, float32"

	torchTernaryEager = "PyTorch b1.58"
	torchTernary      = "PyTorch b1.58, compiled"
	torchTernaryBF16  = "PyTorch b1.58, compiled, bf16 autocast"
	torchFloatEager   = "PyTorch float32"
	torchFloat        = "PyTorch float32, compiled"
)

var programs = []program{
	{ternary, always, trefoil()},
	{torchTernary, withTorch, torch("b158", "compile", "0")},
	{torchTernaryBF16, withTorch, torch("b158", "compile", "1")},
	{ternaryMuon, always, trefoil("train.optimizer=muon")},
	{torchTernaryEager, withTorch, torch("b158", "eager", "0")},
	{twin, always, trefoil("quantization.weights.bits=32", "quantization.activations.bits=32")},
	{torchFloat, withTorch, torch("fp32", "compile", "0")},
	{torchFloatEager, withTorch, torch("fp32", "eager", "0")},
	{builtInOps, func(_ *study, z size) bool { return z.name == "tiny" }, ownOperations},
}

func always(*study, size) bool        { return true }
func withTorch(s *study, _ size) bool { return s.python != "" }

// warmUp is the number of steps before the measured ones.
const warmUp = 5

// trefoil measures the train command under changes of the configuration.
func trefoil(changes ...string) func(*study, context.Context, size, int) (measurement, error) {
	return func(s *study, ctx context.Context, z size, steps int) (measurement, error) {
		dir := filepath.Join(s.dir, "run")
		defer os.RemoveAll(dir)
		args := []string{"-config", z.config(), "-out", dir, "-set", fmt.Sprintf("train.steps=%d", warmUp+steps)}
		for _, c := range changes {
			args = append(args, "-set", c)
		}
		done, err := s.execute(ctx, s.trainer, args...)
		if err != nil {
			return measurement{}, err
		}
		records, err := train.ReadMetrics(filepath.Join(dir, "metrics.jsonl"))
		if err != nil {
			return measurement{}, err
		}
		var speeds []float64
		for _, r := range records {
			if r.Step > warmUp && r.TokensPerSecond != nil {
				speeds = append(speeds, *r.TokensPerSecond)
			}
		}
		return measurement{median(speeds), done.peakMemory}, nil
	}
}

// torch measures the peer, which warms up by itself.
func torch(quant, mode, amp string) func(*study, context.Context, size, int) (measurement, error) {
	return func(s *study, ctx context.Context, z size, steps int) (measurement, error) {
		done, err := s.execute(ctx, s.python, s.peer, "--size", z.name, "--quant", quant, "--mode", mode,
			"--amp", amp, "--threads", strconv.Itoa(threads), "--steps", strconv.Itoa(steps))
		if err != nil {
			return measurement{}, err
		}
		speed, err := number(done.output, "tokens/s")
		return measurement{speed, done.peakMemory}, err
	}
}

// ownOperations measures the model of Gorgonia's operations in a process of
// its own.
func ownOperations(s *study, ctx context.Context, _ size, steps int) (measurement, error) {
	done, err := s.execute(ctx, s.self, "-gorgonia", "-steps", strconv.Itoa(max(3, steps/4)))
	if err != nil {
		return measurement{}, err
	}
	speed, err := number(done.output, "tokens/s")
	return measurement{speed, done.peakMemory}, err
}

// execution is a program that ended well.
type execution struct {
	output     string
	peakMemory int64
}

// execute runs a program with the study's threads. Its error has the end of
// what the program wrote.
func (s *study) execute(ctx context.Context, name string, args ...string) (execution, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", threads))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second // for what an interrupted program started
	if err := cmd.Run(); err != nil {
		end := bytes.TrimSpace(stderr.Bytes())
		return execution{}, fmt.Errorf("%s: %w: %s", name, err, end[max(0, len(end)-2000):])
	}
	return execution{stdout.String(), peakMemory(cmd.ProcessState)}, nil
}

// median returns the upper one of the two values in the middle of an even
// number, as the peer does of times.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
