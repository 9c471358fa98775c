package export

import (
	"fmt"

	"trefoil/quant/packed"
)

// A Progress is told how far a stage of long work is: done of total units,
// which are bytes or tokens.
type Progress func(stage, unit string, done, total int64)

// A reading is a stage that reads so many weights of the checkpoint.
type reading struct {
	stage       string
	done, total int64
}

// begin begins a stage that reads so many weights.
func (r *Run) begin(weights int, stage string, args ...any) {
	r.reading = reading{stage: fmt.Sprintf(stage, args...), total: int64(packed.Float32.Bytes(weights))}
	r.advance(0)
}

// advance tells that so many weights more have been read.
func (r *Run) advance(weights int) {
	r.reading.done += int64(packed.Float32.Bytes(weights))
	if r.Progress != nil && r.reading.stage != "" {
		r.Progress(r.reading.stage, "bytes", r.reading.done, r.reading.total)
	}
}

// evaluated tells how many tokens a stage has evaluated.
func (r *Run) evaluated(stage string, tokens, total int) {
	if r.Progress != nil {
		r.Progress(stage, "tokens", int64(tokens), int64(total))
	}
}
