package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"trefoil/export"
	"trefoil/internal/regularfile"
)

// content is what a file holds.
type content struct {
	Path    string   `json:"path"`
	Format  string   `json:"format"`
	Bytes   int64    `json:"bytes"` // of all files
	Keys    []key    `json:"keys"`
	Tensors []tensor `json:"tensors"`

	// zeros counts the zeros among the elements of a tensor, handing over what
	// it has counted so far to go on; known is false where the elements cannot
	// be decoded. It is nil when nobody asked.
	zeros func(t tensor, goOn func() error) (zeros, of int, known bool, err error)
	close func() error
}

// A key is a piece of metadata. Of an array, Value is the first elements.
type key struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Count *int   `json:"count,omitempty"` // elements of an array
	Value any    `json:"value"`
}

type tensor struct {
	Name   string   `json:"name"`
	Type   string   `json:"type"`
	Shape  []int    `json:"shape"`
	Offset int64    `json:"offset"` // in its file
	Bytes  int64    `json:"bytes"`
	Zeros  *float64 `json:"zeros,omitempty"` // share, 0 to 1
	Note   string   `json:"note,omitempty"`
}

func (t tensor) elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// headElements is how many elements of an array are shown.
const headElements = 8

// countZeros sets t.Zeros if that was asked for.
func (c *content) countZeros(ctx context.Context, t *tensor) error {
	if c.zeros == nil {
		return nil
	}
	zeros, of, known, err := c.zeros(*t, ctx.Err)
	if err != nil {
		return err
	}
	if known && of > 0 {
		share := float64(zeros) / float64(of)
		t.Zeros = &share
	}
	return nil
}

// open tells the format by the first bytes and opens the file or folder.
func open(path string) (*content, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openFolder(path)
	}
	head, err := firstBytes(path)
	switch {
	case err != nil:
		return nil, err
	case bytes.HasPrefix(head, []byte("GGUF")):
		return openGGUF(path)
	case bytes.HasPrefix(head, []byte("trefoil\n")):
		return openTrefoil(path)
	case isSafetensors(head), filepath.Ext(path) == ".safetensors", filepath.Ext(path) == ".json":
		return openSafetensors(path)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return nil, fmt.Errorf("%s is an archive, perhaps of PyTorch: convert it to safetensors", path)
	}
	if len(head) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return nil, fmt.Errorf("%s is not a GGUF, safetensors or .trefoil file: it begins with %q", path, head)
}

// openFolder opens the checkpoint of a run, the best or else the last one, or
// the model of a Hugging Face folder.
func openFolder(path string) (*content, error) {
	run := export.Folder(path)
	if _, err := os.Stat(run.Checkpoints()); err != nil {
		return openSafetensors(path)
	}
	for _, checkpoint := range []string{run.Best(), run.Last()} {
		if _, err := os.Stat(checkpoint); err == nil {
			return openSafetensors(checkpoint)
		}
	}
	return nil, fmt.Errorf("%s is the folder of a run without a checkpoint yet", path)
}

func firstBytes(path string) ([]byte, error) {
	f, _, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 9)
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return head[:n], err
}

// isSafetensors reports whether a length and the beginning of a JSON object
// stand at the head of a file.
func isSafetensors(head []byte) bool {
	return len(head) == 9 && binary.LittleEndian.Uint64(head) < 1<<32 && head[8] == '{'
}

// printable replaces numbers that JSON has no words for.
func printable(v any) any {
	f, isFloat := v.(float64)
	if f32, ok := v.(float32); ok {
		f, isFloat = float64(f32), true
	}
	if isFloat && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return fmt.Sprint(v)
	}
	return v
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// inFile adds the path to an error.
func inFile(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", path, err)
}
