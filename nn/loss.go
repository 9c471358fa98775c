package nn

import (
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"trefoil/internal/kernel"
)

// LossReport is what a CrossEntropy node learned in its last run beside the
// mean loss.
type LossReport struct {
	// CountCorrect asks for Correct, which costs a pass over the logits.
	CountCorrect bool
	// Tokens is the number of targets that are not -1, Sum their summed loss
	// in nats, and Correct how many of them have the largest logit.
	Tokens  int
	Sum     float64
	Correct int
}

// CrossEntropy returns the scalar node of the mean of -log softmax(logits)
// at the targets: logits is [tokens, vocab], targets an int32 node [tokens];
// a target of -1 is left out, one outside the vocabulary is an error of the
// run. The report, where not nil, is filled at each run.
//
// With [ShareMemory] the gradient takes the place of the logits in memory where
// nothing else reads them: they are the largest tensor of a small model.
func CrossEntropy(logits, targets *G.Node, report *LossReport) (*G.Node, error) {
	const name = "CrossEntropy"
	if !isMatrix(logits) || targets.Dims() != 1 || targets.Dtype() != tensor.Int32 || targets.Shape()[0] != logits.Shape()[0] {
		return nil, shapeError(name, "logits [tokens, vocab] and int32 targets [tokens]", logits, targets)
	}
	if report == nil {
		report = new(LossReport)
	}
	return byType(name, logits,
		func() (*G.Node, error) {
			var loss G.F32
			return crossEntropy[float32](logits, targets, report, &loss, func(v float64) { loss = G.F32(v) })
		},
		func() (*G.Node, error) {
			var loss G.F64
			return crossEntropy[float64](logits, targets, report, &loss, func(v float64) { loss = G.F64(v) })
		})
}

func crossEntropy[F kernel.Float](logits, targets *G.Node, report *LossReport, loss G.Value, set func(float64)) (*G.Node, error) {
	rows, vocab := logits.Shape()[0], logits.Shape()[1]
	losses, lse := make([]F, rows), make([]F, rows)
	o := &op{name: "CrossEntropy", shape: tensor.ScalarShape(), out: loss, output: kind{0, logits.Dtype()}}
	o.run = func(in []G.Value) error {
		logits, targets := values[F](in[0]), values[int32](in[1])
		if err := checkTargets(targets, vocab); err != nil {
			return err
		}
		kernel.CrossEntropy(losses, lse, logits, targets, rows, vocab)
		report.Tokens, report.Sum, report.Correct = 0, 0, 0
		for r, target := range targets {
			if target < 0 {
				continue
			}
			report.Tokens++
			report.Sum += float64(losses[r])
			if report.CountCorrect && kernel.Argmax(logits[r*vocab:(r+1)*vocab]) == int(target) {
				report.Correct++
			}
		}
		set(report.Sum / float64(max(1, report.Tokens)))
		return nil
	}
	o.hasGradient = []bool{true, false}
	o.diff = func(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
		back := crossEntropyGrad(in, lse, report)
		back.waits = G.Nodes{out}
		gradLogits, err := back.apply(grad, in[0], in[1])
		return G.Nodes{gradLogits, nil}, err
	}
	return o.apply(logits, targets)
}

func crossEntropyGrad[F kernel.Float](in G.Nodes, lse []F, report *LossReport) *op {
	rows, vocab := in[0].Shape()[0], in[0].Shape()[1]
	back, d := newOp[F]("CrossEntropyGrad", rows, vocab)
	back.over = in[0]
	back.run = func(in []G.Value) error {
		scale := values1[F](in[0]) / F(max(1, report.Tokens))
		kernel.CrossEntropyGrad(d.data, values[F](in[1]), lse, values[int32](in[2]), rows, vocab, scale)
		return nil
	}
	return back
}

func checkTargets(targets []int32, vocab int) error {
	for t, id := range targets {
		if id < -1 || int(id) >= vocab {
			return fmt.Errorf("target %d at position %d is outside the vocabulary of %d", id, t, vocab)
		}
	}
	return nil
}

// values1 returns the number of a scalar.
func values1[F kernel.Float](v G.Value) F {
	switch x := v.Data().(type) {
	case float32:
		return F(x)
	case float64:
		return F(x)
	}
	return values[F](v)[0]
}
