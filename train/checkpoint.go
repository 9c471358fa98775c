package train

import (
	"encoding/json"
	"fmt"
	"io"

	"trefoil/export"
	"trefoil/internal/atomicfile"
	"trefoil/internal/safetensors"
	"trefoil/layers"
)

// Prefixes of the optimizer's tensors in a checkpoint, before the parameter's
// name. The parameters themselves go by their own names.
const (
	meanPrefix   = "optimizer.mean."
	squarePrefix = "optimizer.square."
)

// State is where a run stands.
type State struct {
	export.State
	// BestStep and BestLoss belong to the best checkpoint so far.
	BestStep int     `json:"best_step"`
	BestLoss float64 `json:"best_loss"`
	// The rest lets a run continue with the same bits.
	Sampler        []byte  `json:"sampler,omitempty"`
	OptimizerSteps int     `json:"optimizer_steps,omitempty"`
	PendingLoss    float64 `json:"pending_loss,omitempty"`
	PendingSteps   int     `json:"pending_steps,omitempty"`
}

// saveCheckpoint writes the parameters and the state, and the optimizer's
// memory unless it is nil.
func saveCheckpoint(path string, s State, parameters []*layers.Parameter, o *Optimizer) error {
	state, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var tensors []safetensors.Tensor
	for _, p := range parameters {
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Data()})
	}
	if o != nil {
		for i, st := range o.states {
			shape := parameters[i].Shape
			tensors = append(tensors, safetensors.Tensor{Name: meanPrefix + st.name, Shape: shape, Data: st.mean})
			if st.square != nil {
				tensors = append(tensors, safetensors.Tensor{Name: squarePrefix + st.name, Shape: shape, Data: st.square})
			}
		}
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		return safetensors.Write(w, map[string]string{export.StateKey: string(state)}, tensors)
	})
}

// openCheckpoint opens a checkpoint and reads its state.
func openCheckpoint(path string) (*safetensors.File, State, error) {
	var s State
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, s, err
	}
	if err := json.Unmarshal([]byte(f.Metadata(export.StateKey)), &s); err != nil {
		f.Close()
		return nil, s, fmt.Errorf("%s: the metadata %s is not the state of a run: %w", path, export.StateKey, err)
	}
	return f, s, nil
}

// loadCheckpoint reads a checkpoint into the parameters and, unless it is
// nil, the optimizer.
func loadCheckpoint(path string, parameters []*layers.Parameter, o *Optimizer) (State, error) {
	f, s, err := openCheckpoint(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	read := func(name string, dst []float32, shape []int) error {
		values, err := f.Float32(name, shape...)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		copy(dst, values)
		return nil
	}
	for i, p := range parameters {
		if err := read(p.Name, p.Data(), p.Shape); err != nil {
			return s, err
		}
		if o == nil {
			continue
		}
		st := o.states[i]
		if err := read(meanPrefix+st.name, st.mean, p.Shape); err != nil {
			return s, err
		}
		if st.square != nil {
			if err := read(squarePrefix+st.name, st.square, p.Shape); err != nil {
				return s, err
			}
		}
	}
	if o != nil {
		o.steps = s.OptimizerSteps
	}
	return s, nil
}
