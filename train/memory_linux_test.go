package train

import "testing"

func TestMemoryOf(t *testing.T) {
	const info = "MemTotal:        8000000 kB\nMemFree:          500000 kB\nSwapCached:            7 kB\nSwapTotal:       1000000 kB\n"
	for _, c := range []struct {
		what, info string
		space      int64
		group      string
		most       int64
	}{
		{"memory and swap", info, -1, "max\n", 9_000_000 << 10},
		{"no swap", "MemTotal:  8000000 kB\n", -1, "", 8_000_000 << 10},
		{"less address space", info, 3 << 30, "max\n", 3 << 30},
		{"a control group", info, -1, "2147483648\n", 2 << 30},
		{"the group is the lower", info, 3 << 30, "2147483648\n", 2 << 30},
		{"the space is the lower", info, 1 << 30, "2147483648\n", 1 << 30},
		{"limits above", info, 1 << 50, "1125899906842624\n", 9_000_000 << 10},
		{"a group of no limit in digits", info, 0, "0\n", 9_000_000 << 10},
		{"a group alone", "", -1, "2147483648\n", 2 << 30},
		{"another form", "MemTotal: plenty\n", 3 << 30, "", 3 << 30},
		{"nothing", "", -1, "max\n", 0},
	} {
		most, ok := memoryOf([]byte(c.info), c.space, []byte(c.group))
		if most != c.most || ok != (c.most > 0) {
			t.Errorf("%s: %d bytes, %v; want %d", c.what, most, ok, c.most)
		}
	}
}
