package quant

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// Dequantizing tells how far it is, each element once, and stops when it is
// told to; so does quantizing, in groups that are no whole number of pieces.
func TestProgressCountsElements(t *testing.T) {
	const rows, cols = 5, taskSize + 1000
	x := numbers(rows*cols, 3)
	q := mustNew(t, Config{Bits: 4, Granularity: PerChannel})
	var done []int
	report := func(n, total int) {
		if total != rows*cols {
			t.Fatalf("a total of %d, want %d", total, rows*cols)
		}
		done = append(done, n)
	}
	got, want := new(Tensor), []int{cols, 2 * cols, 3 * cols, 4 * cols, 5 * cols}
	var halves []int // a group that has its scale is half done
	for g := range rows {
		halves = append(halves, g*cols+cols/2, (g+1)*cols)
	}
	if err := q.QuantizeInput(context.Background(), got, Input{Float32: x, Shape: []int{rows, cols}}, report); err != nil || !slices.Equal(done, halves) {
		t.Errorf("quantizing: progress %v, want %v; %v", done, halves, err)
	}
	done = nil
	y := make([]float32, len(x))
	if err := got.DequantizeContext(context.Background(), y, report); err != nil || !slices.Equal(done, want) {
		t.Errorf("dequantizing: progress %v, want %v; %v", done, want, err)
	}
	if !slices.Equal(y, got.Values()) {
		t.Error("the values differ from those of Dequantize")
	}
}

func TestDequantizeStops(t *testing.T) {
	for _, c := range []Config{{}, {Granularity: PerGroup, Group: 1 << 10}} {
		const n = 2 * stripTasks * taskSize
		q := mustQuantize(t, c, make([]float32, n), 1, n)
		ctx, stop := context.WithCancel(context.Background())
		reports := 0
		err := q.DequantizeContext(ctx, make([]float32, n), func(int, int) { reports++; stop() })
		if !errors.Is(err, context.Canceled) || reports != 1 {
			t.Errorf("%+v: %v after %d reports, want it to stop after one", c, err, reports)
		}
	}
}
