package train

import (
	"fmt"
	"math"
)

// Evaluation is how well a network predicts held-out examples.
type Evaluation struct {
	Loss        float64 // mean over all tokens or images, in nats
	Accuracy    float64 // share of them whose target had the largest logit
	BitsPerByte float64 // the summed loss in bits, over the bytes of the text; 0 for images
}

// EvaluateWindows runs the network over windows [n, context+1], each the
// inputs and the last target. tokenBytes gives the length of a token's text.
func (n *Network) EvaluateWindows(windows []int32, tokenBytes func(id int32) int) (Evaluation, error) {
	context := n.Model.Config.Context
	width := context + 1
	if len(windows) == 0 || len(windows)%width != 0 {
		return Evaluation{}, fmt.Errorf("evaluation: %d tokens are not windows of %d", len(windows), width)
	}
	var sum float64
	var tokens, correct, bytes int
	n.Report.CountCorrect = true
	defer func() { n.Report.CountCorrect = false }()
	for first := 0; first < len(windows); first += n.Batch * width {
		for b := range n.Batch {
			inputs, targets := n.Inputs[b*context:(b+1)*context], n.Targets[b*context:(b+1)*context]
			at := first + b*width
			if at >= len(windows) {
				fill(targets, -1) // the last batch is not full
				continue
			}
			copy(inputs, windows[at:at+context])
			copy(targets, windows[at+1:at+width])
			for _, id := range targets {
				bytes += tokenBytes(id)
			}
		}
		if err := n.Evaluate(); err != nil {
			return Evaluation{}, err
		}
		sum += n.Report.Sum
		tokens += n.Report.Tokens
		correct += n.Report.Correct
	}
	return Evaluation{
		Loss:        sum / float64(tokens),
		Accuracy:    float64(correct) / float64(tokens),
		BitsPerByte: sum / math.Ln2 / float64(max(1, bytes)),
	}, nil
}

func fill(s []int32, v int32) {
	for i := range s {
		s[i] = v
	}
}
