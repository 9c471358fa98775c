package kernel

import "sync/atomic"

// Unpack makes t hold the codes [out, in] that p packed into src, in the
// storage of what it held before; no more than a panel of them is unpacked at
// a time by a thread. It reports whether all are -1, 0 or 1: if not, t is of
// no use.
func (t *Ternary) Unpack(p Packing, src []byte, out, in int) bool {
	t.out, t.in = out, in
	panels := (out + panelOutputs - 1) / panelOutputs
	size := t.blocks() * panelBlock
	t.panels = grow(&t.panels, panels*size)
	var beyond atomic.Bool
	chunks(panels, max(1, grain/size), func(lo, hi int) {
		space := taskSpace()
		defer space.release()
		buf := grow(&space.int8, panelOutputs*in)
		for i := lo; i < hi; i++ {
			first := i * panelOutputs
			outs := min(panelOutputs, out-first)
			codes := buf[:outs*in]
			p.Unpack(codes, src, first*in)
			for _, c := range codes {
				if c < -1 || c > 1 {
					beyond.Store(true)
					return
				}
			}
			packPanel(t.panels[i*size:(i+1)*size], codes, outs, in)
		}
	})
	return !beyond.Load()
}
