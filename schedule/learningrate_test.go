package schedule

import (
	"math"
	"strings"
	"testing"
)

// The expected factors were computed by hand from the formulas of the
// project's PyTorch reference.
func TestLearningRate(t *testing.T) {
	linear := LearningRate{Schedule: Linear, Steps: 1000, Warmup: 100}
	cosine := LearningRate{Schedule: Cosine, Steps: 1000, Warmup: 100, Floor: 0.1}
	wsd := LearningRate{Schedule: WSD, Steps: 1000, Decay: 0.4}
	two := LearningRate{Schedule: TwoStage, Steps: 1000, Drop: 0.66}
	for _, test := range []struct {
		name        string
		schedule    LearningRate
		step        int
		rate, decay float64
	}{
		{"warm-up starts above 0", linear, 0, 0.01, 1},
		{"warm-up", linear, 49, 0.5, 1},
		{"warm-up ends at the peak", linear, 99, 1, 1},
		{"then the line", linear, 100, 0.9, 1},
		{"linear at half", linear, 500, 0.5, 1},
		{"linear, last step", linear, 999, 0.001, 1},
		{"linear, end", linear, 1000, 0, 1},
		{"past the end", linear, 5000, 0, 1},
		{"linear with a floor", LearningRate{Schedule: Linear, Steps: 10, Floor: 0.2}, 5, 0.6, 1},
		{"cosine at a quarter", cosine, 250, 0.86819805, 1},
		{"cosine at half", cosine, 500, 0.55, 1},
		{"cosine at three quarters", cosine, 750, 0.23180195, 1},
		{"cosine, end", cosine, 1000, 0.1, 1},
		{"wsd is stable", wsd, 599, 1, 1},
		{"wsd decays", wsd, 800, 0.5, 1},
		{"wsd, late", wsd, 900, 0.25, 1},
		{"wsd without decay", LearningRate{Schedule: WSD, Steps: 10}, 10, 1, 1},
		{"two-stage before half", two, 499, 0.501, 1},
		{"two-stage at half", two, 500, 0.33, 0},
		{"two-stage late", two, 750, 0.165, 0},
		{"constant", LearningRate{Schedule: Constant, Steps: 10, Warmup: 2}, 9, 1, 1},
	} {
		rate, decay := test.schedule.At(test.step)
		if math.Abs(rate-test.rate) > 1e-8 || decay != test.decay {
			t.Errorf("%s: step %d: rate %v, weight decay %v, want %v, %v", test.name, test.step, rate, decay, test.rate, test.decay)
		}
	}
}

func TestLearningRateValidate(t *testing.T) {
	good := LearningRate{Schedule: Cosine, Steps: 1, Floor: 0.1, Decay: 0.4, Drop: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := LearningRate{Schedule: "cosin", Steps: 0, Warmup: -1, Floor: 2, Decay: math.NaN(), Drop: -1}
	wantErrors(t, bad.Validate(), `schedule: "cosin"`, "steps: 0", "warmup: -1", "floor: 2", "decay: NaN", "drop: -1")
}

// wantErrors checks that err is made of lines that start with the prefixes.
func wantErrors(t *testing.T, err error, prefixes ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", prefixes)
		return
	}
	lines := strings.Split(err.Error(), "\n")
	missing := false
	for _, prefix := range prefixes {
		found := false
		for _, line := range lines {
			found = found || strings.HasPrefix(line, prefix)
		}
		missing = missing || !found
	}
	if missing || len(lines) != len(prefixes) {
		t.Errorf("errors:\n%v\nwant one for each of %q", err, prefixes)
	}
}
