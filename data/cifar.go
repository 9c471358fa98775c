package data

import (
	"fmt"
	"os"
	"path/filepath"
)

// CIFAR-10's images.
const (
	cifarSide     = 32
	cifarChannels = 3
	cifarClasses  = 10
	cifarPlane    = cifarSide * cifarSide
	cifarRecord   = 1 + cifarChannels*cifarPlane
)

// OpenCIFAR10 reads the folder cifar-10-batches-bin of the binary version of
// CIFAR-10 (Krizhevsky 2009): data_batch_1.bin to data_batch_5.bin for
// training and test_batch.bin, which is held out.
func OpenCIFAR10(dir string) (train, heldout *Images, err error) {
	var batches []string
	for i := range 5 {
		batches = append(batches, filepath.Join(dir, fmt.Sprintf("data_batch_%d.bin", i+1)))
	}
	if train, err = ReadCIFAR10(batches...); err != nil {
		return nil, nil, err
	}
	heldout, err = ReadCIFAR10(filepath.Join(dir, "test_batch.bin"))
	return train, heldout, err
}

// ReadCIFAR10 reads files of records of 3,073 bytes: a label of 0 to 9, and
// 32 x 32 pixels as three planes, red, green and blue.
func ReadCIFAR10(paths ...string) (*Images, error) {
	var pixels, labels []uint8
	for _, path := range paths {
		p, l, err := readCIFAR10File(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		pixels, labels = append(pixels, p...), append(labels, l...)
	}
	return labelled(cifarSide, cifarSide, cifarChannels, cifarClasses, pixels, labels)
}

func readCIFAR10File(path string) (pixels, labels []uint8, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	if len(b) == 0 || len(b)%cifarRecord != 0 {
		return nil, nil, fmt.Errorf("%d bytes are not records of %d: want the binary version of CIFAR-10", len(b), cifarRecord)
	}
	for i := 0; i < len(b); i += cifarRecord {
		label, planes := b[i], b[i+1:i+cifarRecord]
		if label >= cifarClasses {
			return nil, nil, fmt.Errorf("record %d has label %d, want 0 to %d", i/cifarRecord, label, cifarClasses-1)
		}
		labels = append(labels, label)
		for p := range cifarPlane {
			pixels = append(pixels, planes[p], planes[cifarPlane+p], planes[2*cifarPlane+p])
		}
	}
	return pixels, labels, nil
}
