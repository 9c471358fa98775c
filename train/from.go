package train

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"strconv"

	"trefoil/arch"
	"trefoil/config"
	"trefoil/export"
	"trefoil/quant/packed"
)

// From returns the assignments of a configuration that goes on from the
// weights of a run folder, such as an imported model's: the model's sizes, its
// tokenizer and model.from. Unless sized, which says that the configuration
// has a context and a name of its own, they set those too: a context of at most
// the default one, for the memory that training takes grows with it.
//
// The network gets sub-norms (model.sub_norms) even if the run has none.
func From(dir string, sized bool) ([]string, error) {
	run, err := export.Open(dir)
	if err != nil {
		return nil, err
	}
	defer run.Close()
	m := run.Config.Model
	list := []string{
		"model.from=" + strconv.Quote(dir),
		fmt.Sprintf("data.tokenizer={kind: file, path: %q}", filepath.ToSlash(export.Folder(dir).Tokenizer())),
	}
	set := func(field string, value any) { list = append(list, fmt.Sprintf("model.%s=%v", field, value)) }
	set("dim", m.Dim)
	set("layers", m.Layers)
	set("heads", m.Heads)
	set("kv_heads", m.KVHeads)
	set("ff", m.FF)
	set("activation", m.Activation)
	set("rope_base", strconv.FormatFloat(m.RopeBase, 'f', -1, 64))
	set("norm_eps", strconv.FormatFloat(m.NormEps, 'f', -1, 64))
	set("head_dim", m.HeadDim)
	set("tied_head", m.TiedHead)
	set("embedding_rows", m.Rows)
	if !sized {
		set("context", min(m.Context, config.Default().Model.Context))
		list = append(list, "name="+strconv.Quote(run.Config.Name+"-from"))
	}
	return list, nil
}

// startFrom gives the network the weights of the run that model.from names, if
// it names one.
func (t *textTask) startFrom() error {
	dir := t.config.Model.From
	if dir == "" {
		return nil
	}
	run, err := export.Load(dir)
	if err == nil {
		err = t.takeWeights(run)
	}
	if err != nil {
		return fmt.Errorf("model.from: %w", err)
	}
	return nil
}

func (t *textTask) takeWeights(run *export.Run) error {
	c := t.network.Model.Config
	if err := sameModel(c, run.Model, run.Dir); err != nil {
		return err
	}
	if !bytes.Equal(run.Tokenizer, t.data.Tokenizer.JSON()) {
		return fmt.Errorf("the ids of %s mean other text than those of data.tokenizer: set data.tokenizer.kind to file and data.tokenizer.path to %s",
			run.Dir, export.Folder(run.Dir).Tokenizer())
	}
	gains := map[string]float32{}
	if run.Model.NoSubNorms && !c.NoSubNorms {
		var err error
		if gains, err = t.inputSizes(run); err != nil {
			return err
		}
	}
	for _, p := range t.network.Model.Parameters() {
		if w, ok := run.Weights[p.Name]; ok {
			copy(p.Data(), w)
			continue
		}
		for i := range p.Data() { // a sub-norm that is inserted
			p.Data()[i] = gains[p.Name]
		}
	}
	return nil
}

// sameModel checks that a model of architecture c can have the weights of one
// of architecture from. The context may differ, and sub-norms may be new.
func sameModel(c, from arch.Config, dir string) error {
	for _, f := range []struct {
		field      string
		have, want any
	}{
		{"dim", c.Dim, from.Dim}, {"layers", c.Layers, from.Layers}, {"heads", c.Heads, from.Heads}, {"kv_heads", c.KVHeads, from.KVHeads},
		{"ff", c.FF, from.FF}, {"activation", c.Activation, from.Activation}, {"rope_base", c.RopeBase, from.RopeBase},
		{"norm_eps", c.NormEps, from.NormEps}, {"head_dim", c.HeadDim(), from.HeadDim()}, {"tied_head", !c.UntiedHead, !from.UntiedHead},
		{"embedding_rows", c.Vocab, from.Vocab}, {"sub_norms", !c.NoSubNorms, !c.NoSubNorms || !from.NoSubNorms},
	} {
		if f.have != f.want {
			return fmt.Errorf("model.%s is %v, but %v in %s: start with -from %s, which sets what must be equal", f.field, f.have, f.want, dir, dir)
		}
	}
	return nil
}

// sizeWindows is how many windows of text tell the size of inputs.
const sizeWindows = 4

// inputSizes runs a model without sub-norms on some text and returns, by the
// name of the sub-norm that goes before each layer, the root mean square of the
// layer's input. A sub-norm that begins with it as its gain changes the
// network little, where a gain of 1 would change the size of every input.
func (t *textTask) inputSizes(run *export.Run) (map[string]float32, error) {
	run.Model.Context = t.config.Model.Context
	model, err := run.Inference(export.Options{Float: packed.Float32})
	if err != nil {
		return nil, err
	}
	before := map[string]string{}
	for i := range run.Model.Layers {
		b := arch.BlockNames(i)
		before[b.O], before[b.Down] = b.AttentionSubNorm, b.FFNSubNorm
	}
	sums, counts := map[string]float64{}, map[string]int{}
	model = model.WithTap(func(name string, x, _ []float32, _ int) {
		norm := before[name]
		if norm == "" {
			return
		}
		for _, v := range x {
			sums[norm] += float64(v) * float64(v)
		}
		counts[norm] += len(x)
	})
	width := t.config.Model.Context + 1
	if _, err := model.Loss(t.calibration[:sizeWindows*width], sizeWindows); err != nil {
		return nil, err
	}
	sizes := map[string]float32{}
	for norm, sum := range sums {
		sizes[norm] = float32(math.Sqrt(sum / float64(counts[norm])))
	}
	return sizes, nil
}
