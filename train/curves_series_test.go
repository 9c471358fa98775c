package train

import (
	"math"
	"slices"
	"testing"
)

func curve(ys ...float64) []point {
	var points []point
	for i, y := range ys {
		points = append(points, point{float64(i), y})
	}
	return points
}

// same compares curves; gaps are equal to gaps.
func same(a, b []point) bool {
	return slices.EqualFunc(a, b, func(p, q point) bool {
		return p == q || p.x == q.x && math.IsNaN(p.y) && math.IsNaN(q.y)
	})
}

func TestPick(t *testing.T) {
	got := pick([]Record{{Step: 1, ValLoss: new(2.0)}, {Step: 2}, {Step: 3, ValLoss: new(math.Inf(1))}},
		func(r Record) *float64 { return r.ValLoss })
	if want := []point{{1, 2}, {3, math.NaN()}}; !same(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSmooth(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		reach    int
		in, want []point
	}{
		{0, curve(4, 2, 7), curve(4, 2, 7)},
		{1, curve(8, 2, 5, 5, 2), curve(8, 5, 4, 4, 3.5)},
		{2, curve(9, 6, 3, 0, 3, 6), curve(9, 6, 4.2, 3.6, 3, 3)},
		{1, curve(1, nan, 3, 5), curve(1, nan, 4, 4)},
		{5, nil, nil},
	} {
		if got := smooth(test.in, test.reach); !same(got, test.want) {
			t.Errorf("reach %d of %v: %v, want %v", test.reach, test.in, got, test.want)
		}
	}
}

func TestThinKeepsExtremes(t *testing.T) {
	long := make([]point, 10_000)
	for i := range long {
		long[i] = point{float64(i), 1}
	}
	long[1234].y, long[1235].y = 9, -9
	got := thin(long, 100)
	if len(got) > 100 || !slices.Contains(got, long[1234]) || !slices.Contains(got, long[1235]) {
		t.Errorf("%d points left, without the peaks", len(got))
	}
	if !slices.IsSortedFunc(got, func(a, b point) int { return int(a.x - b.x) }) {
		t.Error("out of order")
	}
	if got := thin(long[:100], 100); len(got) != 100 {
		t.Errorf("%d of 100 points left", len(got))
	}
}

func TestLossRange(t *testing.T) {
	steep := make([]point, 1000)
	for i := range steep {
		steep[i] = point{float64(i), 2 - float64(i)/999} // 2 to 1
		if i < 150 {
			steep[i].y = 1e6
		}
	}
	// Nine tenths of the losses after the first fifth are below 1.72.
	lo, hi := lossRange(steep)
	if lo > 1 || lo < 0.7 || hi < 3.5 || hi > 4.2 {
		t.Errorf("early losses of 1e6: %v to %v", lo, hi)
	}
	if lo, hi := lossRange(curve(7.5, 3, 2)); lo > 2 || hi < 7.5 || hi > 8 {
		t.Errorf("three losses: %v to %v", lo, hi)
	}
	if lo, hi := lossRange(curve(3)); !(lo < 3 && 3 < hi) {
		t.Errorf("one loss: %v to %v", lo, hi)
	}
	if lo, hi := lossRange(curve(math.NaN()), nil); !(lo < hi) {
		t.Errorf("no loss: %v to %v", lo, hi)
	}
}

func TestUntilQuantized(t *testing.T) {
	got := untilQuantized([]Record{
		{Step: 0, ValLoss: new(7.0), ValLossQuantized: new(9.0)}, {Step: 1, TrainLoss: new(6.0)},
		{Step: 2, ValLoss: new(3.0)}, {Step: 4, ValLoss: new(2.0)},
	})
	if want := []point{{0, 9}, {2, 3}}; !same(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := untilQuantized([]Record{{ValLoss: new(1.0)}}); got != nil {
		t.Errorf("quantized from the start: %v", got)
	}
}

func TestStretches(t *testing.T) {
	got := stretches([]Record{{Step: 0, Phase: "a"}, {Step: 5, Phase: "a"}, {Step: 10, Phase: "b"}, {Step: 15, Phase: "b"}}, 16)
	if want := []stretch{{"a", 0, 10}, {"b", 10, 16}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := stretches([]Record{{Step: 0}, {Step: 1}}, 1); got != nil {
		t.Errorf("no phases: %v", got)
	}
}

func TestBest(t *testing.T) {
	if _, ok := best([]Record{{TrainLoss: new(1.0)}, {ValLoss: new(math.NaN())}, {ValLoss: new(math.Inf(1))}}); ok {
		t.Error("a best record without a held-out loss")
	}
	lowest, ok := best([]Record{
		{Step: 1, ValLoss: new(2.0)},
		{Step: 2, ValLoss: new(1.0), ValLossQuantized: new(3.0)}, // good as it is, not quantized
		{Step: 3, ValLoss: new(1.5)},
		{Step: 4, ValLoss: new(1.5)},
	})
	if !ok || lowest.Step != 3 {
		t.Errorf("best is step %d", lowest.Step)
	}
}

func TestTicks(t *testing.T) {
	for _, test := range []struct {
		lo, hi, finest float64
		most           int
		want           []string
	}{
		{0, 2020, 1, 8, []string{"0", "500", "1,000", "1,500", "2,000"}},
		{0, 2.02, 1, 8, []string{"0", "1", "2"}},
		{1.42, 4.3, 0, 11, []string{"1.5", "2.0", "2.5", "3.0", "3.5", "4.0"}},
		{-0.04, 1.08, 0, 4, []string{"0.0", "0.5", "1.0"}},
		{0.991, 1.002, 0, 3, []string{"0.995", "1.000"}},
		{-15, 15, 0, 3, []string{"−10", "0", "10"}},
		{0, 3e6, 1, 3, []string{"0", "1,000,000", "2,000,000", "3,000,000"}},
	} {
		var got []string
		for _, tick := range ticks(test.lo, test.hi, test.finest, test.most) {
			got = append(got, tick.label)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%v to %v: %q, want %q", test.lo, test.hi, got, test.want)
		}
	}
}
