package export

import (
	"encoding/json"
	"testing"

	"trefoil/internal/safetensors"
)

// A run opens whose configuration, in its checkpoint, has a text that looks
// like a comment.
func TestOpensARunWhosePathLooksLikeAComment(t *testing.T) {
	r := load(t, fakeRun(t, `data.path="corpus  # old"`))
	state, err := json.Marshal(State{Step: 30, Config: r.Config.Text()})
	if err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for _, p := range r.Model.Parameters() {
		tensors = append(tensors, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: r.Weights[p.Name]})
	}
	writeTensors(t, Folder(r.Dir).Last(), map[string]string{StateKey: string(state)}, tensors)
	if again := load(t, r.Dir); again.State.Config == "" || again.Config.Data.Path != "corpus  # old" {
		t.Errorf("opened with the path %q and, in the checkpoint, the configuration\n%s", again.Config.Data.Path, again.State.Config)
	}
}
