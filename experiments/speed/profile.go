package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	G "gorgonia.org/gorgonia"

	"trefoil/internal/kernel"
	"trefoil/train"
)

// profileStep prints where the time of a b1.58 training step goes.
func profileStep(ctx context.Context, out io.Writer, name string, steps int) error {
	z, err := sizeNamed(name)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "speed")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "cpu.pprof")
	runtime.GOMAXPROCS(threads)
	kernel.SetThreads(threads)
	wall, err := record(ctx, file, z, steps*z.more)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", "-unit=ms", self, file).Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	p := share(parseTraces(string(text)))
	_, err = io.WriteString(out, p.table(name, wall, steps*z.more))
	return err
}

// record writes a profile of training steps and returns how long they took.
func record(ctx context.Context, file string, z size, steps int) (time.Duration, error) {
	step, end, err := trainer(ctx, z)
	if err != nil {
		return 0, err
	}
	defer end()
	for range warmUp {
		if err := step(); err != nil {
			return 0, err
		}
	}
	f, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return 0, err
	}
	defer pprof.StopCPUProfile()
	start := time.Now()
	for range steps {
		if err := step(); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// trainer returns a training step of a size's model, on random tokens; end
// ends the model's machines.
func trainer(ctx context.Context, z size) (step func() error, end func() error, err error) {
	c, d, err := open(ctx, z)
	if err != nil {
		return nil, nil, err
	}
	vocab := d.Tokenizer.Vocab()
	if err := d.Close(); err != nil {
		return nil, nil, err
	}
	plan, err := c.Plan()
	if err != nil {
		return nil, nil, err
	}
	n, err := train.NewNetwork(c.Model.Arch(vocab), c.Quantization, c.Train.Batch, c.Seed)
	if err != nil {
		return nil, nil, err
	}
	n.Quantize(plan.At(0), 0)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n.Inputs {
		n.Inputs[i], n.Targets[i] = r.Int32N(int32(vocab)), r.Int32N(int32(vocab))
	}
	optimizer := train.NewOptimizer(c.Train, n.Model.Parameters())
	var model []G.ValueGrad
	for _, p := range n.Model.Parameters() {
		model = append(model, p.Node)
	}
	step = func() error {
		if err := n.Learn(); err != nil {
			return err
		}
		return optimizer.Step(model)
	}
	return step, n.Close, nil
}

// sample is a stack, the innermost function first, and the time spent there.
type sample struct {
	spent time.Duration
	stack []string
}

// parseTraces reads what go tool pprof -traces prints: blocks behind dashed
// lines, in each a time and a function, then the functions that call it.
func parseTraces(text string) []sample {
	var samples []sample
	inside := false
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) > 0 && strings.HasPrefix(words[0], "-----") {
			inside = true
			samples = append(samples, sample{})
			continue
		}
		if !inside || len(words) == 0 {
			continue
		}
		s := &samples[len(samples)-1]
		if len(s.stack) == 0 {
			s.spent, _ = time.ParseDuration(words[0])
			words = words[1:]
		}
		if len(words) > 0 {
			s.stack = append(s.stack, words[0])
		}
	}
	return samples
}

// profile is the time by operation.
type profile map[string]time.Duration

const idle = "looking for work"

// share sums samples by operation. A worker's stack begins at the part of the
// job that it took, not at the operation: its time is shared as the caller's
// is, of whose stacks with the same part the operations are known.
func share(samples []sample) profile {
	p := profile{}
	callers := map[string]profile{} // by part of a job
	workers := map[string]time.Duration{}
	for _, s := range samples {
		op, part := s.operation(), s.part()
		switch {
		case op == "" && part != "":
			workers[part] += s.spent
			continue
		case op == "":
			op = s.elsewhere()
		case part != "":
			if callers[part] == nil {
				callers[part] = profile{}
			}
			callers[part][op] += s.spent
		}
		p[op] += s.spent
	}
	for part, spent := range workers {
		known := callers[part].total()
		if known == 0 {
			p[part] += spent
			continue
		}
		for op, of := range callers[part] {
			p[op] += time.Duration(float64(spent) * float64(of) / float64(known))
		}
	}
	return p
}

const kernelPrefix = "trefoil/internal/kernel."

// operation is the exported kernel that a stack came through, "" if none.
func (s sample) operation() string {
	for _, f := range slices.Backward(s.stack) {
		name, inKernel := strings.CutPrefix(f, kernelPrefix)
		if inKernel && name != "Parallel" && name[0] >= 'A' && name[0] <= 'Z' {
			name, _, _ = strings.Cut(name, "[")
			name, _, _ = strings.Cut(name, ".")
			return name
		}
	}
	return ""
}

// part is the innermost function that a job of the worker pool called, "" if
// the stack has no job.
func (s sample) part() string {
	for i, f := range s.stack {
		if f == kernelPrefix+"(*job).run" && i > 0 {
			return strings.TrimPrefix(s.stack[i-1], kernelPrefix)
		}
	}
	return ""
}

// elsewhere names the time that no kernel takes.
func (s sample) elsewhere() string {
	has := func(prefix string) bool {
		return slices.ContainsFunc(s.stack, func(f string) bool { return strings.HasPrefix(f, prefix) })
	}
	switch {
	case has(kernelPrefix + "take"), has("runtime.mcall"), has("runtime.schedule"), has("runtime.park_m"), has("runtime.goschedImpl"):
		return idle
	case has("trefoil/"):
		return "Go code of Trefoil"
	case has("gorgonia.org/"):
		return "Gorgonia"
	}
	return "Go runtime"
}

func (p profile) total() time.Duration {
	var sum time.Duration
	for _, d := range p {
		sum += d
	}
	return sum
}

// table prints shares of the busy time, and what is idle of the cores' time, of
// so many steps.
func (p profile) table(size string, wall time.Duration, steps int) string {
	busy := p.total() - p[idle]
	t := newTable("operation at "+size, "% of the busy time")
	byTime := slices.SortedFunc(maps.Keys(p), func(a, b string) int { return int(p[b] - p[a]) })
	for _, op := range byTime {
		if share := 100 * p[op].Seconds() / busy.Seconds(); op != idle && share >= 0.5 {
			t.row(op, fmt.Sprintf("%.1f", share))
		}
	}
	fmt.Fprintf(t, "\nA step kept the cores busy for %.1f ms together.\n", busy.Seconds()*1e3/float64(steps))
	fmt.Fprintf(t, "%d cores were idle, or looking for work, %.1f %% of the time: %.1f %% of the second core.\n", threads,
		100*(1-busy.Seconds()/(threads*wall.Seconds())), 100*(threads-busy.Seconds()/wall.Seconds()))
	return t.String()
}
