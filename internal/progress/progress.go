// Package progress shows how far a command is with work that can take long: on
// a terminal as a bar with rate and time left, elsewhere as a line now and
// then. Work that is over soon leaves no trace.
package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"trefoil/internal/command"
)

const (
	barAfter   = 500 * time.Millisecond // work that is over sooner shows no bar
	lineAfter  = 10 * time.Second       // the same of lines, and the time between them
	wideEnough = 76                     // columns that a bar with rate and count takes
)

// A Progress shows one stage of work after the other.
type Progress struct {
	out         io.Writer
	columns     int // of the terminal; 0 if out is none
	now         func() time.Time
	stage       string
	bar         *progressbar.ProgressBar
	began, told time.Time
}

// New shows progress on standard error.
func New() *Progress {
	return &Progress{out: os.Stderr, columns: command.Columns(os.Stderr), now: time.Now}
}

// Show tells that done of total units of a stage are done. A unit is "bytes",
// or a word in the plural. What has no known total, which is 0 or less, is not
// shown.
func (p *Progress) Show(stage, unit string, done, total int64) {
	if total <= 0 {
		return
	}
	now := p.now()
	if stage != p.stage {
		p.Clear()
		p.stage, p.began, p.told = stage, now, now
		if p.columns > 0 {
			p.bar = p.newBar(unit, total)
		}
	}
	switch {
	case p.bar != nil:
		p.bar.ChangeMax64(total)
		p.bar.Set64(min(done, total))
	case now.Sub(p.told) >= lineAfter && done > 0:
		p.told = now
		left := time.Duration(float64(now.Sub(p.began)) / float64(done) * float64(total-done))
		fmt.Fprintf(p.out, "%s: %d%%, %v left\n", stage, 100*done/total, left.Round(time.Second))
	}
}

func (p *Progress) newBar(unit string, total int64) *progressbar.ProgressBar {
	options := []progressbar.Option{
		progressbar.OptionSetWriter(patient{p.out, p.now, p.began}), progressbar.OptionSetDescription(p.stage), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetPredictTime(p.columns >= wideEnough),
	}
	switch {
	case p.columns < wideEnough:
	case unit == "bytes":
		options = append(options, progressbar.OptionShowBytes(true))
	default:
		options = append(options, progressbar.OptionShowIts(), progressbar.OptionShowCount(), progressbar.OptionSetItsString(unit))
	}
	return progressbar.NewOptions64(total, options...)
}

// Clear ends the stage and takes its bar away, so that other text can follow.
func (p *Progress) Clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
	p.bar, p.stage = nil, ""
}

// Patient returns a writer that swallows what is written in its first half
// second. A bar that draws on it takes no room for work that is over sooner, and
// has seen enough by then to know its rate: it must see all of the work.
func Patient(out io.Writer) io.Writer { return patient{out, time.Now, time.Now()} }

type patient struct {
	out   io.Writer
	now   func() time.Time
	began time.Time
}

func (p patient) Write(b []byte) (int, error) {
	if p.now().Sub(p.began) < barAfter {
		return len(b), nil
	}
	return p.out.Write(b)
}
