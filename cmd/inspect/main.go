// Command inspect shows what is in a model's file: its metadata and its
// tensors, their types, shapes and sizes.
//
//	go run ./cmd/inspect model.gguf
//	go run ./cmd/inspect runs/gocode/checkpoints/best.safetensors -zeros
//
// It reads headers only, so that a file of any size opens in a moment; -zeros
// reads the tensors too.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"

	"trefoil/internal/command"
)

const usage = `usage: inspect FILE [-zeros] [-json]

Shows the metadata and the tensors of a GGUF file, a .trefoil file, a
safetensors file such as a checkpoint, the index of a model in several
safetensors files, a Hugging Face folder with either, or a run folder, of which
it opens the best checkpoint.

`

func main() {
	command.Main("inspect", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) })
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("inspect", flag.ContinueOnError)
	zeros := flags.Bool("zeros", false, "read the tensors and show the share of zeros in each")
	asJSON := flags.Bool("json", false, "print JSON; of an array its first elements")
	files, err := command.Parse(flags, args, usage, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case len(files) != 1:
		return command.Usagef("%d files: name one, such as model.gguf", len(files))
	}
	c, err := open(files[0])
	if err != nil {
		return err
	}
	defer c.close()
	if !*zeros {
		c.zeros = nil
	}
	if *asJSON {
		return printJSON(ctx, stdout, c)
	}
	return printText(ctx, stdout, c)
}

func printJSON(ctx context.Context, w io.Writer, c *content) error {
	for i := range c.Tensors {
		if err := c.countZeros(ctx, &c.Tensors[i]); err != nil {
			return err
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(c)
}
