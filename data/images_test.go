package data

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// idxBytes writes the IDX format of bytes.
func idxBytes(shape []int, data []byte) []byte {
	b := []byte{0, 0, 8, byte(len(shape))}
	for _, d := range shape {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return append(b, data...)
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func writeFile(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// counted returns n images of 2 x 3 with the pixels 0, 1, 2, ... and the
// labels 0 to 3 in turn.
func counted(n int) (pixels, labels []byte) {
	for i := range n * 6 {
		pixels = append(pixels, byte(i))
	}
	for i := range n {
		labels = append(labels, byte(i%4))
	}
	return pixels, labels
}

func TestReadIDX(t *testing.T) {
	pixels, labels := counted(5)
	for _, ending := range []string{"", ".gz"} {
		dir := t.TempDir()
		images, y := idxBytes([]int{5, 2, 3}, pixels), idxBytes([]int{5}, labels)
		if ending == ".gz" {
			images, y = gzipped(t, images), gzipped(t, y)
		}
		s, err := ReadIDX(writeFile(t, filepath.Join(dir, "images"+ending), images), writeFile(t, filepath.Join(dir, "labels"+ending), y))
		if err != nil {
			t.Fatal(err)
		}
		if s.Len() != 5 || s.Height != 2 || s.Width != 3 || s.Channels != 1 || s.Classes != 4 {
			t.Errorf("got %d images of %d x %d x %d, %d classes", s.Len(), s.Height, s.Width, s.Channels, s.Classes)
		}
		x := make([]float32, 6)
		if label := s.Read(x, 2); label != 2 || !slices.Equal(x, []float32{12. / 255, 13. / 255, 14. / 255, 15. / 255, 16. / 255, 17. / 255}) {
			t.Errorf("image 2 is %v with label %d", x, label)
		}
	}
}

func TestReadIDXErrors(t *testing.T) {
	pixels, labels := counted(5)
	good, y := idxBytes([]int{5, 2, 3}, pixels), idxBytes([]int{5}, labels)
	packed := gzipped(t, good)
	damaged := slices.Clone(packed)
	damaged[len(damaged)-5] ^= 1 // the checksum
	for _, c := range []struct {
		name, want   string
		images, both []byte
	}{
		{"empty", "header of 16 bytes", nil, y},
		{"short header", "header of 16 bytes", good[:9], y},
		{"labels as images", "want 00 00 08 03", idxBytes([]int{5, 2}, append(labels, labels...)), y},
		{"floats", "want 00 00 08 03", append([]byte{0, 0, 13, 3}, good[4:]...), y},
		{"too short", "asks for 30 bytes, the file has 29", good[:len(good)-1], y},
		{"too long", "the file has more", append(slices.Clone(good), 0), y},
		{"no images", "dimension 0 is 0", idxBytes([]int{0, 2, 3}, nil), y},
		{"huge", "dimension 2 is 4294967295", idxBytes([]int{1 << 31, 2, 1<<32 - 1}, pixels), y},
		{"huge but not there", "asks for 4294901760 bytes, the file has 30", idxBytes([]int{65535, 256, 256}, pixels), y},
		{"torn gzip", "unexpected EOF", packed[:len(packed)-12], y},
		{"damaged gzip", "checksum", damaged, y},
		{"fewer labels", "5 images", good, idxBytes([]int{4}, labels[:4])},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := ReadIDX(writeFile(t, filepath.Join(dir, "images"), c.images), writeFile(t, filepath.Join(dir, "labels"), c.both))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v, want %q and the path", err, c.want)
			}
		})
	}
}

func FuzzReadIDX(f *testing.F) {
	pixels, _ := counted(2)
	f.Add(idxBytes([]int{2, 2, 3}, pixels))
	f.Add(idxBytes([]int{1 << 30, 1 << 30, 1 << 30}, pixels))
	f.Fuzz(func(t *testing.T, b []byte) {
		shape, data, err := readIDX(bytes.NewReader(b), 3)
		if err == nil && len(data) != shape[0]*shape[1]*shape[2] {
			t.Errorf("%d bytes for the shape %v", len(data), shape)
		}
	})
}

func TestOpenIDX(t *testing.T) {
	pixels, labels := counted(10)
	dir := t.TempDir()
	if _, _, err := OpenIDX(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("an empty folder: %v", err)
	}
	writeFile(t, filepath.Join(dir, "t10k-images-idx3-ubyte"), idxBytes([]int{10, 2, 3}, pixels))
	if _, _, err := OpenIDX(dir); err == nil || !strings.Contains(err.Error(), "labels") {
		t.Errorf("images without labels: %v", err)
	}
	writeFile(t, filepath.Join(dir, "t10k-labels-idx1-ubyte.gz"), gzipped(t, idxBytes([]int{10}, labels)))
	train, heldout, err := OpenIDX(dir)
	if err != nil {
		t.Fatal(err)
	}
	// Every fifth image: 4 and 9.
	if train.Len() != 8 || heldout.Len() != 2 || !slices.Equal(heldout.Labels, []byte{0, 1}) || heldout.Pixels[0] != 24 || heldout.Pixels[6] != 54 {
		t.Errorf("%d images to train, held out %v", train.Len(), heldout)
	}
	writeFile(t, filepath.Join(dir, "train-images-idx3-ubyte"), idxBytes([]int{3, 2, 3}, pixels[:18]))
	writeFile(t, filepath.Join(dir, "train-labels-idx1-ubyte"), idxBytes([]int{3}, labels[:3]))
	if train, heldout, err = OpenIDX(dir); err != nil || train.Len() != 3 || heldout.Len() != 10 || train.Classes != 4 {
		t.Errorf("two sets: %v", err)
	}
}

func TestOpenRealDigits(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "data", "mnist")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no digits beside the repository: %v", err)
	}
	train, heldout, err := OpenIDX(dir)
	if err != nil {
		t.Fatal(err)
	}
	if train.Len() != 8000 || heldout.Len() != 2000 || train.Size() != 28*28 || train.Classes != 10 {
		t.Errorf("%d and %d images of %d pixels, %d classes", train.Len(), heldout.Len(), train.Size(), train.Classes)
	}
	// The first test digit of MNIST is a 7, the fifth, held out, a 4.
	if train.Labels[0] != 7 || heldout.Labels[0] != 4 {
		t.Errorf("first labels %d and %d, want 7 and 4", train.Labels[0], heldout.Labels[0])
	}
}

func TestReadCIFAR10(t *testing.T) {
	record := func(label, red, green, blue byte) []byte {
		b := []byte{label}
		for _, v := range []byte{red, green, blue} {
			plane := bytes.Repeat([]byte{v}, 1024)
			plane[33] = v + 1 // row 1, column 1
			b = append(b, plane...)
		}
		return b
	}
	dir := t.TempDir()
	for i := range 5 {
		writeFile(t, filepath.Join(dir, "data_batch_"+string(rune('1'+i))+".bin"), append(record(byte(i), 10, 20, 30), record(9, 1, 2, 3)...))
	}
	test := writeFile(t, filepath.Join(dir, "test_batch.bin"), record(7, 50, 60, 70))
	train, heldout, err := OpenCIFAR10(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(train.Labels, []byte{0, 9, 1, 9, 2, 9, 3, 9, 4, 9}) || !slices.Equal(heldout.Labels, []byte{7}) {
		t.Errorf("labels %v and %v", train.Labels, heldout.Labels)
	}
	if p := heldout.Pixels; len(p) != heldout.Size() || !slices.Equal(p[:3], []byte{50, 60, 70}) || !slices.Equal(p[33*3:34*3], []byte{51, 61, 71}) {
		t.Errorf("pixels begin with %v, the one at (1, 1) is %v", p[:3], p[33*3:34*3])
	}
	for want, bad := range map[string][]byte{"not records of 3073": record(1, 2, 3, 4)[:3000], "0 bytes": nil, "label 10": record(10, 0, 0, 0)} {
		writeFile(t, test, bad)
		if _, err := ReadCIFAR10(test); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), test) {
			t.Errorf("error %v, want %q and the path", err, want)
		}
	}
}

// An epoch has each image once; a sampler that was restored goes on with the
// same images, also in the middle of an epoch.
func TestImageSampler(t *testing.T) {
	pixels, labels := counted(10)
	set := &Images{Height: 2, Width: 3, Channels: 1, Classes: 4, Pixels: pixels, Labels: labels}
	draw := func(s *ImageSampler) (first []int) {
		x, y := make([]float32, 4*6), make([]int32, 4)
		s.Next(x, y)
		for b := range y {
			i := int(x[b*6]*255+0.5) / 6
			if y[b] != int32(labels[i]) {
				t.Fatalf("image %d has label %d", i, y[b])
			}
			first = append(first, i)
		}
		return first
	}
	s, err := NewImageSampler(set, 3)
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for range 3 {
		all = append(all, draw(s)...)
	}
	state := s.State()
	for range 2 {
		all = append(all, draw(s)...)
	}
	first, second := all[:10], all[10:]
	if slices.Equal(first, second) {
		t.Error("two epochs have one order")
	}
	for _, epoch := range [][]int{slices.Clone(first), slices.Clone(second)} {
		slices.Sort(epoch)
		if !slices.Equal(epoch, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("an epoch draws %v", epoch)
		}
	}
	again, err := NewImageSampler(set, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Restore(state); err != nil {
		t.Fatal(err)
	}
	if got := append(draw(again), draw(again)...); !slices.Equal(got, all[12:]) {
		t.Errorf("restored: %v, want %v", got, all[12:])
	}
	if err := again.Restore(state[:7]); err == nil {
		t.Error("a short state is taken")
	}
	if _, err := NewImageSampler(&Images{}, 1); err == nil {
		t.Error("a sampler of no images")
	}
}
