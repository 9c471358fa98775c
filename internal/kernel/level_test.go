package kernel

import (
	"strings"
	"testing"
)

func TestStartLevel(t *testing.T) {
	for _, c := range []struct {
		name       string
		best, want Level
		err        string
	}{
		{"", VNNI, VNNI, ""},
		{"portable", VNNI, Portable, ""},
		{"avx2", VNNI, AVX2, ""},
		{"avx512", AVX512, AVX512, ""},
		{"vnni", AVX2, AVX2, ""},
		{"avx2", Portable, Portable, ""},
		{"AVX2", AVX512, AVX512, `"AVX2" is not a level: use portable, avx2, avx512, vnni`},
		{"sse", Portable, Portable, `"sse" is not a level`},
	} {
		got, err := startLevel(c.name, c.best)
		if got != c.want {
			t.Errorf("%q where %v is the best: %v, want %v", c.name, c.best, got, c.want)
		}
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %v, want %q", c.name, err, c.err)
		}
	}
}

func TestSetLevel(t *testing.T) {
	start := Active()
	defer SetLevel(start)
	if previous := SetLevel(VNNI + 1); previous != start || Active() != Best() {
		t.Errorf("above all levels: %v, before %v; want %v and %v", Active(), previous, Best(), start)
	}
	if previous := SetLevel(-1); previous != Best() || Active() != Portable {
		t.Errorf("below all levels: %v, before %v; want %v and %v", Active(), previous, Portable, Best())
	}
}
