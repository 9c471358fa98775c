package schedule

import (
	"math"
	"testing"
)

func TestLambdaAt(t *testing.T) {
	for _, test := range []struct {
		shape string
		p     float64
		want  float64
	}{
		{Step, 0, 1}, {Step, 0.5, 1},
		{Linear, 0, 0}, {Linear, 0.25, 0.25}, {Linear, 1, 1}, {Linear, 2, 1},
		{Cosine, 0, 0}, {Cosine, 0.25, 0.14644661}, {Cosine, 0.5, 0.5}, {Cosine, 1, 1},
		// (1/(1+e^2.5) - 1/(1+e^5)) / (1/(1+e^-5) - 1/(1+e^5))
		{Sigmoid, 0, 0}, {Sigmoid, 0.25, 0.07010371}, {Sigmoid, 0.5, 0.5}, {Sigmoid, 1, 1},
		// (1 - e^-1.25) / (1 - e^-5)
		{Exponential, 0, 0}, {Exponential, 0.25, 0.71833531}, {Exponential, 1, 1},
	} {
		l := Lambda{Shape: test.shape, From: 0, To: 1}
		if got := l.At(test.p); math.Abs(got-test.want) > 1e-8 {
			t.Errorf("%s at %v: %.8f, want %.8f", test.shape, test.p, got, test.want)
		}
	}
	half := Lambda{Shape: Linear, From: 0.5, To: 0.75}
	if got := half.At(0.5); got != 0.625 {
		t.Errorf("from 0.5 to 0.75 at half: %v, want 0.625", got)
	}
}

func TestLambdaIsMonotonic(t *testing.T) {
	for _, shape := range []string{Step, Linear, Cosine, Sigmoid, Exponential} {
		l, last := Lambda{Shape: shape, From: 0, To: 1}, 0.0
		for i := range 1001 {
			v := l.At(float64(i) / 1000)
			if v < last || v > 1 {
				t.Fatalf("%s: %v after %v at %v", shape, v, last, float64(i)/1000)
			}
			last = v
		}
	}
}
