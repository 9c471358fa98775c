package main

import (
	"testing"
	"time"
)

// A worker's part of a product belongs to the operation that the caller's
// part of it came through.
func TestShare(t *testing.T) {
	const text = `File: speed
Type: cpu
Duration: 1s, Total samples = 1.9s (190%)
-----------+-------------------------------------------------------
     200ms   trefoil/internal/kernel.gemmTile (inline)
             trefoil/internal/kernel.(*product).run.func1
             trefoil/internal/kernel.(*job).run
             trefoil/internal/kernel.Parallel
             trefoil/internal/kernel.(*product).run
             trefoil/internal/kernel.GemmNN[go.shape.float32]
             gorgonia.org/gorgonia.(*tapeMachine).RunAll
-----------+-------------------------------------------------------
     600ms   trefoil/internal/kernel.(*product).run.func1
             trefoil/internal/kernel.(*job).run
             trefoil/internal/kernel.Parallel
             trefoil/internal/kernel.GemmTN[go.shape.float32]
-----------+-------------------------------------------------------
     400ms   trefoil/internal/kernel.gemmTile
             trefoil/internal/kernel.(*product).run.func1
             trefoil/internal/kernel.(*job).run
             trefoil/internal/kernel.work
-----------+-------------------------------------------------------
     300ms   trefoil/internal/kernel.pause
             trefoil/internal/kernel.take
             trefoil/internal/kernel.work
-----------+-------------------------------------------------------
     100ms   trefoil/internal/kernel.adamWAVX512
             trefoil/internal/kernel.AdamW[go.shape.float32].func1
             trefoil/internal/kernel.(*job).run
             trefoil/internal/kernel.work
-----------+-------------------------------------------------------
      50ms   gorgonia.org/gorgonia.(*tapeMachine).RunAll
`
	got := share(parseTraces(text))
	want := profile{
		"GemmNN": 300 * time.Millisecond,
		"GemmTN": 900 * time.Millisecond,
		"AdamW":  100 * time.Millisecond,
		idle:     300 * time.Millisecond, "Gorgonia": 50 * time.Millisecond,
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for op, d := range want {
		if (got[op] - d).Abs() > time.Microsecond {
			t.Errorf("%s: %v, want %v", op, got[op], d)
		}
	}
}
