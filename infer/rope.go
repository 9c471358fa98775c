package infer

import (
	"sync"

	"trefoil/arch"
	"trefoil/internal/kernel"
)

// A rope holds the tables of the rotary embedding for the positions that were
// needed so far: a file may claim any context.
type rope struct {
	config   arch.Config
	mu       sync.Mutex
	cos, sin []float32 // [positions, headDim/2]
}

// tables returns tables of at least so many positions. They never change;
// longer ones begin with the same numbers.
func (r *rope) tables(positions int) (cos, sin []float32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	half := r.config.HeadDim() / 2
	if len(r.cos) < positions*half {
		positions = min(2*positions, r.config.Context)
		r.cos, r.sin = make([]float32, positions*half), make([]float32, positions*half)
		kernel.RopeTable(r.cos, r.sin, positions, r.config.HeadDim(), r.config.RopeBase)
	}
	return r.cos, r.sin
}
