package data

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Images is a set of labelled images in memory, all of one size.
type Images struct {
	Height, Width, Channels int
	Classes                 int     // labels are 0 to Classes-1
	Pixels                  []uint8 // [n, height, width, channels]
	Labels                  []uint8 // [n]
}

// Len returns the number of images.
func (s *Images) Len() int { return len(s.Labels) }

// Size returns the number of values of an image.
func (s *Images) Size() int { return s.Height * s.Width * s.Channels }

// Read writes image i, scaled to 0..1, to x [height*width*channels] and
// returns its label.
func (s *Images) Read(x []float32, i int) (label int32) {
	size := s.Size()
	x = x[:size]
	for j, p := range s.Pixels[i*size : (i+1)*size] {
		x[j] = float32(p) / 255
	}
	return int32(s.Labels[i])
}

// Holdout splits the set in two: every n-th image is held out, the others are
// for training. n is at least 2 and at most the number of images.
func (s *Images) Holdout(n int) (train, heldout *Images, err error) {
	if n < 2 || n > s.Len() {
		return nil, nil, fmt.Errorf("every %d. of %d images held out leaves one side empty: use 2 to %d", n, s.Len(), s.Len())
	}
	train, heldout = s.empty(), s.empty()
	size := s.Size()
	for i, label := range s.Labels {
		side := train
		if i%n == n-1 {
			side = heldout
		}
		side.Pixels = append(side.Pixels, s.Pixels[i*size:(i+1)*size]...)
		side.Labels = append(side.Labels, label)
	}
	return train, heldout, nil
}

// empty returns a set of the same kind without images.
func (s *Images) empty() *Images {
	return &Images{Height: s.Height, Width: s.Width, Channels: s.Channels, Classes: s.Classes}
}

// ImageSampler draws batches: each image once an epoch, in an order of the
// epoch's own. The same seed gives the same batches on every machine. It is
// not safe for concurrent use.
type ImageSampler struct {
	images *Images
	seed   uint64
	drawn  uint64 // images so far
	order  []int  // of the epoch that drawn is in
}

// NewImageSampler samples a set that is not empty.
func NewImageSampler(s *Images, seed uint64) (*ImageSampler, error) {
	if s.Len() == 0 {
		return nil, fmt.Errorf("no images to train on")
	}
	return &ImageSampler{images: s, seed: seed}, nil
}

// Next fills a batch: x [batch, height*width*channels], scaled to 0..1, and
// labels [batch]. A batch may run over the end of an epoch.
func (s *ImageSampler) Next(x []float32, labels []int32) {
	size, n := s.images.Size(), uint64(s.images.Len())
	for b := range labels {
		if s.drawn%n == 0 || s.order == nil {
			s.order = rand.New(rand.NewPCG(s.seed, s.drawn/n)).Perm(int(n))
		}
		labels[b] = s.images.Read(x[b*size:(b+1)*size], s.order[s.drawn%n])
		s.drawn++
	}
}

// State is what a sampler needs to go on with the same batches.
func (s *ImageSampler) State() []byte { return binary.LittleEndian.AppendUint64(nil, s.drawn) }

// Restore takes a state from [ImageSampler.State].
func (s *ImageSampler) Restore(state []byte) error {
	if len(state) != 8 {
		return fmt.Errorf("state of the image sampler: %d bytes, want 8: the checkpoint is damaged or not of an image classifier", len(state))
	}
	s.drawn, s.order = binary.LittleEndian.Uint64(state), nil
	return nil
}

// labelled builds a set of pixels and labels that were read, and checks the
// labels.
func labelled(height, width, channels, classes int, pixels, labels []uint8) (*Images, error) {
	if i := slices.IndexFunc(labels, func(l uint8) bool { return int(l) >= classes }); i >= 0 {
		return nil, fmt.Errorf("image %d has label %d, want 0 to %d", i, labels[i], classes-1)
	}
	return &Images{height, width, channels, classes, pixels, labels}, nil
}
