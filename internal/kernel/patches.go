package kernel

import "fmt"

// ConvShape is the geometry of a 2-D convolution or pooling over images
// [Batch, Height, Width, Channels], channels last: windows of KernelHeight x
// KernelWidth, their corners Stride apart, on images with Padding zeros around
// them.
type ConvShape struct {
	Batch, Height, Width, Channels int
	KernelHeight, KernelWidth      int
	Stride, Padding                int
}

// Validate reports sizes that make no sense, and windows that fit nowhere.
func (s ConvShape) Validate() error {
	switch {
	case min(s.Batch, s.Height, s.Width, s.Channels) < 1:
		return fmt.Errorf("images [%d, %d, %d, %d]: every size must be at least 1", s.Batch, s.Height, s.Width, s.Channels)
	case min(s.KernelHeight, s.KernelWidth, s.Stride) < 1:
		return fmt.Errorf("windows of %d x %d, %d apart: every size must be at least 1", s.KernelHeight, s.KernelWidth, s.Stride)
	case s.Padding < 0 || s.Padding >= max(s.KernelHeight, s.KernelWidth):
		return fmt.Errorf("padding %d: use 0 to %d, less than the window", s.Padding, max(s.KernelHeight, s.KernelWidth)-1)
	case s.Height+2*s.Padding < s.KernelHeight || s.Width+2*s.Padding < s.KernelWidth:
		return fmt.Errorf("a window of %d x %d does not fit into an image of %d x %d with padding %d", s.KernelHeight, s.KernelWidth, s.Height, s.Width, s.Padding)
	}
	return nil
}

// OutHeight is the number of windows from top to bottom.
func (s ConvShape) OutHeight() int { return (s.Height+2*s.Padding-s.KernelHeight)/s.Stride + 1 }

// OutWidth is the number of windows from left to right.
func (s ConvShape) OutWidth() int { return (s.Width+2*s.Padding-s.KernelWidth)/s.Stride + 1 }

// Rows is the number of windows of all images: the rows of Patches.
func (s ConvShape) Rows() int { return s.Batch * s.OutHeight() * s.OutWidth() }

// Cols is the number of values of a window: the columns of Patches.
func (s ConvShape) Cols() int { return s.KernelHeight * s.KernelWidth * s.Channels }

// Patches writes the windows of x [Batch, Height, Width, Channels] as the rows
// of dst [Batch*OutHeight*OutWidth, KernelHeight*KernelWidth*Channels], with
// zeros where a window is outside of its image (im2col; Chellapilla et al.
// 2006). So a convolution is a product with a matrix [out, Cols].
func Patches[T int8 | float32 | float64](dst, x []T, s ConvShape) {
	dst = dst[:s.Rows()*s.Cols()]
	line := s.KernelWidth * s.Channels
	s.eachRow(func(image, oy, row int) {
		for ox := range s.OutWidth() {
			patch := dst[(row+ox)*s.Cols():][:s.Cols()]
			for ky := range s.KernelHeight {
				d := patch[ky*line : (ky+1)*line]
				from, to, at := s.inside(image, oy, ox, ky)
				clear(d[:from])
				copy(d[from:to], x[at:at+to-from])
				clear(d[to:])
			}
		}
	})
}

// PatchesGrad writes the gradient of Patches: dx [Batch, Height, Width,
// Channels] is the sum of the rows of d at the places that they came from, in
// the order of the rows (col2im).
func PatchesGrad[F Float](dx, d []F, s ConvShape) {
	size := s.Height * s.Width * s.Channels
	dx, d = dx[:s.Batch*size], d[:s.Rows()*s.Cols()]
	line := s.KernelWidth * s.Channels
	Parallel(s.Batch, func(image int) {
		clear(dx[image*size : (image+1)*size])
		for oy := range s.OutHeight() {
			for ox := range s.OutWidth() {
				patch := d[((image*s.OutHeight()+oy)*s.OutWidth()+ox)*s.Cols():][:s.Cols()]
				for ky := range s.KernelHeight {
					from, to, at := s.inside(image, oy, ox, ky)
					sum := dx[at : at+to-from]
					for i, v := range patch[ky*line+from : ky*line+to] {
						sum[i] += v
					}
				}
			}
		}
	})
}

// eachRow calls body, in parallel, with each row of windows of each image and
// the number of its first window.
func (s ConvShape) eachRow(body func(image, oy, row int)) {
	chunks(s.Batch*s.OutHeight(), max(1, grain/(s.OutWidth()*s.Cols())), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			body(i/s.OutHeight(), i%s.OutHeight(), i*s.OutWidth())
		}
	})
}

// inside returns which values [from, to) of line ky of the window (oy, ox) lie
// in the image, and where in x the first of them is. from = to: none.
func (s ConvShape) inside(image, oy, ox, ky int) (from, to, at int) {
	y, left := oy*s.Stride-s.Padding+ky, ox*s.Stride-s.Padding
	first, last := max(left, 0), min(left+s.KernelWidth, s.Width)
	if y < 0 || y >= s.Height || first >= last {
		return 0, 0, 0
	}
	return (first - left) * s.Channels, (last - left) * s.Channels, ((image*s.Height+y)*s.Width + first) * s.Channels
}

// MaxPool writes the largest value of each window and channel of x [Batch,
// Height, Width, Channels] to y [Batch, OutHeight, OutWidth, Channels], and
// its index in x to from: the first one of equals. Padding must be 0.
func MaxPool[F Float](y []F, from []int32, x []F, s ConvShape) {
	s.eachRow(func(image, oy, row int) {
		for ox := range s.OutWidth() {
			at := (row + ox) * s.Channels
			best, index := y[at:at+s.Channels], from[at:at+s.Channels]
			corner := ((image*s.Height+oy*s.Stride)*s.Width + ox*s.Stride) * s.Channels
			for c := range best {
				best[c], index[c] = x[corner+c], int32(corner+c)
			}
			for k := 1; k < s.KernelHeight*s.KernelWidth; k++ {
				place := corner + (k/s.KernelWidth*s.Width+k%s.KernelWidth)*s.Channels
				for c, v := range x[place : place+s.Channels] {
					if v > best[c] || v != v {
						best[c], index[c] = v, int32(place+c)
					}
				}
			}
		}
	})
}

// MaxPoolGrad writes the gradient of MaxPool: each dy goes to the value that
// was the largest, all else is 0.
func MaxPoolGrad[F Float](dx, dy []F, from []int32) {
	clear(dx)
	for i, at := range from {
		dx[at] += dy[i]
	}
}

// BiasReLU writes y = max(x + bias, 0), bias [cols] being added to every row
// of x [rows, cols]. A NaN stays one.
func BiasReLU[F Float](y, x, bias []F, rows, cols int) {
	bias = bias[:cols]
	chunks(rows, rowGrain(cols), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			line := y[r*cols : (r+1)*cols]
			for c, v := range x[r*cols : (r+1)*cols] {
				line[c] = max(v+bias[c], 0)
			}
		}
	})
}

// BiasReLUGrad writes the gradients of BiasReLU, y being its result: dx [rows,
// cols] and, its rows added up in their order, dbias [cols].
func BiasReLUGrad[F Float](dx, dbias, dy, y []F, rows, cols int) {
	clear(dbias[:cols])
	for r := range rows {
		line, d := dx[r*cols:(r+1)*cols], dy[r*cols:(r+1)*cols]
		for c, v := range y[r*cols : (r+1)*cols] {
			line[c] = 0
			if v > 0 {
				line[c] = d[c]
			}
			dbias[c] += line[c]
		}
	}
}
