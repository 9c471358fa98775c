package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Names of the files of an image set in IDX format, as MNIST and those after
// it (Fashion-MNIST, KMNIST, EMNIST) have them; ".gz" may follow.
const (
	idxImages = "-images-idx3-ubyte"
	idxLabels = "-labels-idx1-ubyte"
)

// heldoutEvery of the images of a folder that has one set is held out.
const heldoutEvery = 5

// OpenIDX reads a folder of images in IDX format, plain or compressed by
// gzip: the sets "train" and "t10k", or one of them, of which every fifth
// image is held out.
func OpenIDX(dir string) (train, heldout *Images, err error) {
	train, errTrain := readSet(dir, "train")
	if errTrain != nil && !errors.Is(errTrain, fs.ErrNotExist) {
		return nil, nil, errTrain
	}
	heldout, errTest := readSet(dir, "t10k")
	if errTest != nil && !errors.Is(errTest, fs.ErrNotExist) {
		return nil, nil, errTest
	}
	switch {
	case errTrain != nil && errTest != nil:
		return nil, nil, fmt.Errorf("%s has no images in IDX format: put train%s and train%s there, or the same of t10k, as they are or with .gz: %w",
			dir, idxImages, idxLabels, fs.ErrNotExist)
	case errTrain != nil:
		return heldout.Holdout(heldoutEvery)
	case errTest != nil:
		return train.Holdout(heldoutEvery)
	case train.Height != heldout.Height || train.Width != heldout.Width:
		return nil, nil, fmt.Errorf("%s: images of train are %d x %d, those of t10k %d x %d", dir, train.Height, train.Width, heldout.Height, heldout.Width)
	}
	classes := max(train.Classes, heldout.Classes)
	train.Classes, heldout.Classes = classes, classes
	return train, heldout, nil
}

func readSet(dir, name string) (*Images, error) {
	images, err := present(filepath.Join(dir, name+idxImages))
	if err != nil {
		return nil, err
	}
	labels, err := present(filepath.Join(dir, name+idxLabels))
	if err != nil {
		return nil, fmt.Errorf("%s has no labels beside it, %s: %v", images, filepath.Join(dir, name+idxLabels), err)
	}
	return ReadIDX(images, labels)
}

// present returns path or path.gz, whichever exists.
func present(path string) (string, error) {
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	_, err := os.Stat(path + ".gz")
	return path + ".gz", err
}

// ReadIDX reads images of one channel, a file of three dimensions of bytes,
// and their labels, one of one dimension, each plain or compressed by gzip
// (LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file
// formats). Classes is the largest label and one.
func ReadIDX(images, labels string) (*Images, error) {
	shape, pixels, err := readIDXFile(images, 3)
	if err != nil {
		return nil, err
	}
	count, y, err := readIDXFile(labels, 1)
	if err != nil {
		return nil, err
	}
	if shape[0] != count[0] {
		return nil, fmt.Errorf("%s has %d images, but %s has %d labels", images, shape[0], labels, count[0])
	}
	return labelled(shape[1], shape[2], 1, int(slices.Max(y))+1, pixels, y)
}

func readIDXFile(path string, dims int) (shape []int, data []uint8, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if shape, data, err = readIDX(f, dims); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return shape, data, nil
}

// maxImageBytes bounds what a file may expand to.
const maxImageBytes = 1 << 32

// readIDX reads bytes in IDX format: two zeros, the type 8 (unsigned byte),
// the number of dimensions, each of them in 32 bits, most significant byte
// first, and the bytes.
func readIDX(r io.Reader, dims int) (shape []int, data []uint8, err error) {
	in := bufio.NewReader(r)
	if start, _ := in.Peek(2); bytes.Equal(start, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, err
		}
		in = bufio.NewReader(z)
	}
	header := make([]byte, 4+4*dims)
	if _, err := io.ReadFull(in, header); err != nil {
		return nil, nil, fmt.Errorf("header of %d bytes: %w", len(header), err)
	}
	if want := []byte{0, 0, 8, byte(dims)}; !bytes.Equal(header[:4], want) {
		return nil, nil, fmt.Errorf("begins with % x, want % x: bytes of %d dimensions in IDX format", header[:4], want, dims)
	}
	total := int64(1)
	for i := range dims {
		d := int64(binary.BigEndian.Uint32(header[4+4*i:]))
		if d == 0 || d > maxImageBytes/total {
			return nil, nil, fmt.Errorf("dimension %d is %d: want 1 or more, and at most %d bytes together", i, d, int64(maxImageBytes))
		}
		total *= d
		shape = append(shape, int(d))
	}
	data, err = io.ReadAll(io.LimitReader(in, total+1)) // memory grows with what is there
	if err != nil {
		return nil, nil, fmt.Errorf("after %d of %d bytes: %w", len(data), total, err)
	}
	switch have := int64(len(data)); {
	case have < total:
		return nil, nil, fmt.Errorf("the shape %v asks for %d bytes, the file has %d", shape, total, have)
	case have > total:
		return nil, nil, fmt.Errorf("the shape %v asks for %d bytes, the file has more", shape, total)
	}
	return shape, data, nil
}
