package train

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// synthetic returns the records of a run of n steps that is evaluated at every
// so many of them.
func synthetic(n, every int, blend bool) []Record {
	random := rand.New(rand.NewPCG(1, 2))
	var records []Record
	for step := 0; step <= n; step++ {
		f := float64(step) / float64(max(n, 1))
		r := Record{Step: step, Tokens: int64(step) * 2048, LR: 0.002 * (1 - f), Lambda: 1}
		loss := 1.6 + 0.9*(1-f) + 5.1*math.Exp(-40*f)
		if step < n/30 {
			r.LR = 0.002 * float64(step+1) / float64(n/30)
		}
		if blend {
			r.Lambda, r.Phase = min(1, f/0.3), "blend"
			if f >= 0.3 {
				r.Phase = "ternary"
			}
		}
		if step > 0 {
			r.TrainLoss = new(loss + 0.08*random.NormFloat64())
		}
		if step%every == 0 || step == n {
			val := loss + 0.05 + 0.01*random.NormFloat64()
			r.ValLoss, r.ValAccuracy = new(val), new(0.6-val/14)
			if r.Lambda < 1 {
				r.ValLossQuantized = new(val + 1.5*(1-r.Lambda))
			}
		}
		records = append(records, r)
	}
	return records
}

func TestLook(t *testing.T) {
	layer := synthetic(3000, 100, true)
	for i := range layer {
		layer[i].Phase = []string{"float", "blocks 0", "blocks 1", "blocks 2 and 3", "x", "ternary"}[min(5, i/550)]
		if i > 2600 && i < 2650 {
			layer[i].Phase = "tiny"
		}
	}
	nan := synthetic(300, 10, false)
	for i := 200; i < 220; i++ {
		nan[i].TrainLoss = new(math.NaN())
	}
	nan[210].ValLoss = new(math.Inf(1))
	for i := range nan[:40] {
		if nan[i].TrainLoss != nil {
			*nan[i].TrainLoss *= 1e4
		}
	}
	for name, records := range map[string][]Record{
		"none": nil, "one": synthetic(0, 1, true), "three": synthetic(2, 1, true),
		"few": synthetic(30, 5, true), "two-thousand": synthetic(2000, 100, true), "plain": synthetic(20000, 50, false), "layers": layer, "nan": nan,
	} {
		dir := filepath.Join("/tmp/look", name)
		os.MkdirAll(dir, 0o777)
		start := time.Now()
		if err := DrawCurves(dir, "gocode", records); err != nil {
			t.Error(err)
		}
		t.Log(name, time.Since(start))
	}
}
