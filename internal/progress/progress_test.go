package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// clock gives a Progress whose time the caller sets.
func clock(columns int) (p *Progress, out *bytes.Buffer, at func(seconds float64)) {
	out = &bytes.Buffer{}
	start := time.Now()
	now := start
	p = &Progress{out: out, columns: columns, now: func() time.Time { return now }}
	return p, out, func(seconds float64) { now = start.Add(time.Duration(seconds * float64(time.Second))) }
}

func TestLines(t *testing.T) {
	p, out, at := clock(0)
	p.Show("reading", "bytes", 0, 400)
	at(9)
	p.Show("reading", "bytes", 90, 400)
	if out.Len() > 0 {
		t.Errorf("after 9 s: %q", out)
	}
	at(10)
	p.Show("reading", "bytes", 100, 400)
	at(12)
	p.Show("reading", "bytes", 120, 400)
	p.Show("writing", "bytes", 399, 400) // a stage of its own, that has just begun
	at(40)
	p.Show("writing", "bytes", 400, 400)
	p.Show("without a total", "bytes", 5, -1)
	p.Clear()
	if want := "reading: 25%, 30s left\nwriting: 100%, 0s left\n"; out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestBar(t *testing.T) {
	p, out, at := clock(100)
	p.Show("reading", "tokens", 0, 400)
	at(0.4)
	p.Show("reading", "tokens", 399, 400)
	p.Clear()
	if out.Len() > 0 {
		t.Errorf("work of 0.4 s shows %q", out)
	}
	p.Show("measuring", "tokens", 0, 400)
	at(1)
	p.Show("measuring", "tokens", 100, 400)
	if s := out.String(); !strings.Contains(s, "measuring") || !strings.Contains(s, "25%") || !strings.Contains(s, "100/400") || !strings.Contains(s, "tokens/s") {
		t.Errorf("the bar is %q", s)
	}
	p.Clear()
	if s := out.String(); !strings.HasSuffix(s, "\r") {
		t.Errorf("the bar stays: %q", s)
	}
}
