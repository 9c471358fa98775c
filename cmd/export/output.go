package main

import (
	"bytes"
	"fmt"
	"io"

	"trefoil/export"
	"trefoil/internal/command"
)

// writeOutput lists the files of an export for other programs.
func writeOutput(w io.Writer, r *export.Run, o *export.Output) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, step %s, as %s\n\n", r.Checkpoint, command.Group(r.State.Step), o.Format)
	var t table
	for _, f := range o.Files {
		t.row(f.Path, command.Group(int(f.Bytes))+" bytes")
	}
	t.write(&b, 0)
	for _, note := range o.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// writeVerification tells how well a file holds the run.
func writeVerification(w io.Writer, v *export.Verification) error {
	text := fmt.Sprintf("verified: all %d tensors are equal to the run's, to the last bit\n", v.Tensors)
	if v.Exact < v.Tensors {
		text = fmt.Sprintf("verified: %d of %d tensors are equal to the run's, to the last bit; the others are rounded, by at most %.2g of their largest element (%s)\n",
			v.Exact, v.Tensors, v.Difference, v.Worst)
	}
	_, err := io.WriteString(w, text)
	return err
}
