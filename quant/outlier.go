package quant

import (
	"fmt"
	"math"

	"trefoil/internal/kernel"
)

// What to do about outliers, besides clipping them, which the rules
// percentile, mse, kl, entropy, sigma and the ACIQ rules do: split them off,
// divide them away, or spread them out.

// Split is a matrix [rows, cols] whose columns with outliers are kept in
// float32 (LLM.int8(), Dettmers et al. 2022, arXiv:2208.07339, equation 8).
// The product with a weight matrix is that of the rest, in integers, plus that
// of these columns.
type Split struct {
	Columns []int     // in ascending order
	Values  []float32 // [rows, len(Columns)]
	Rest    []float32 // [rows, cols]: the matrix with 0 in those columns
}

// SplitColumns splits off the columns of x [rows, cols] that hold a magnitude
// of at least threshold: 6 in the paper. It fails on NaN and infinities.
func SplitColumns(x []float32, rows, cols int, threshold float32) (*Split, error) {
	if err := checkMatrix(x, rows, cols); err != nil {
		return nil, fmt.Errorf("splitting columns: %w", err)
	}
	if !(threshold > 0) {
		return nil, fmt.Errorf("splitting columns: the threshold %v is not positive: 6 is usual", threshold)
	}
	peaks := columnPeaks(x, rows, cols)
	s := &Split{Rest: append([]float32(nil), x...)}
	for c, peak := range peaks {
		if peak >= threshold {
			s.Columns = append(s.Columns, c)
		}
	}
	s.Values = make([]float32, rows*len(s.Columns))
	for r := range rows {
		for i, c := range s.Columns {
			s.Values[r*len(s.Columns)+i] = x[r*cols+c]
			s.Rest[r*cols+c] = 0
		}
	}
	return s, nil
}

// Merge puts the columns back into the values y [rows, cols] of the quantized
// rest. It fails on another number of values.
func (s *Split) Merge(y []float32) error {
	if len(y) != len(s.Rest) {
		return fmt.Errorf("merging columns: %d values for a matrix of %d elements: give the values of Rest", len(y), len(s.Rest))
	}
	if len(s.Columns) == 0 {
		return nil
	}
	rows := len(s.Values) / len(s.Columns)
	cols := len(y) / rows
	for r := range rows {
		for i, c := range s.Columns {
			y[r*cols+c] = s.Values[r*len(s.Columns)+i]
		}
	}
	return nil
}

// ColumnPeaks returns max|x| of each column of x [rows, cols], for
// [SmoothScales]. It fails on another number of elements, NaN and infinities.
func ColumnPeaks(x []float32, rows, cols int) ([]float32, error) {
	if err := checkMatrix(x, rows, cols); err != nil {
		return nil, fmt.Errorf("column peaks: %w", err)
	}
	return columnPeaks(x, rows, cols), nil
}

func columnPeaks(x []float32, rows, cols int) []float32 {
	peaks := make([]float32, cols)
	for r := range rows {
		for c, v := range x[r*cols : (r+1)*cols] {
			peaks[c] = max(peaks[c], v, -v)
		}
	}
	return peaks
}

// SmoothScales returns the factors s that SmoothQuant divides the input of a
// linear layer by and multiplies its weights by, channel by channel, which
// leaves the product as it is and the outliers of the input smaller:
//
//	s = inputs^alpha / weights^(1-alpha)
//
// with the largest magnitudes of each input channel, in the input and in the
// weights, at least 1e-5 (Xiao et al. 2023, arXiv:2211.10438, equation 4).
// alpha is 0 to 1; the paper's 0.5 shares the difficulty evenly.
func SmoothScales(inputs, weights []float32, alpha float64) ([]float32, error) {
	if len(inputs) != len(weights) || !(alpha >= 0 && alpha <= 1) {
		return nil, fmt.Errorf("smoothing: %d input channels, %d weight channels and alpha %v: give as many of both, and alpha in 0..1", len(inputs), len(weights), alpha)
	}
	s := make([]float32, len(inputs))
	for i := range s {
		x, w := float64(max(inputs[i], minScale)), float64(max(weights[i], minScale))
		s[i] = float32(math.Pow(x, alpha) / math.Pow(w, 1-alpha))
		if v := s[i]; !(v > 0 && v <= math.MaxFloat32) {
			return nil, fmt.Errorf("smoothing: channel %d has the magnitudes %v and %v: give finite ones", i, inputs[i], weights[i])
		}
	}
	return s, nil
}

// Smooth divides the columns of the input x [tokens, in] by s, and multiplies
// those of the weights w [out, in] by it. Either may be nil. It fails on factors
// that are not positive.
func Smooth(x, w, s []float32) error {
	if len(s) == 0 || len(x)%len(s) != 0 || len(w)%len(s) != 0 {
		return fmt.Errorf("smoothing: rows of %d channels do not fill %d inputs and %d weights", len(s), len(x), len(w))
	}
	for i, v := range s {
		if !(v > 0 && v <= math.MaxFloat32) {
			return fmt.Errorf("smoothing: the factor of channel %d is %v: take those of SmoothScales", i, v)
		}
	}
	for i := range x {
		x[i] /= s[i%len(s)]
	}
	for i := range w {
		w[i] *= s[i%len(s)]
	}
	return nil
}

// Hadamard rotates each row of x [rows, cols] in place by the orthonormal
// Hadamard matrix of Sylvester's construction, which spreads an outlier over
// its row (QuaRot, Ashkboos et al. 2024, arXiv:2404.00456, section 3). Where
// cols is not a power of two, the largest power of two that divides it is
// rotated at a time. The matrix is its own inverse: a second call undoes the
// first, and a product of two rotated matrices x w^T is that of the originals.
// It fails on NaN and infinities, which would spread over their row.
func Hadamard(x []float32, rows, cols int) error {
	if err := checkMatrix(x, rows, cols); err != nil {
		return fmt.Errorf("rotating: %w", err)
	}
	size := cols & -cols
	factor := float32(1 / math.Sqrt(float64(size)))
	kernel.Parallel(rows, func(r int) {
		row := x[r*cols : (r+1)*cols]
		for lo := 0; lo < cols; lo += size {
			walshHadamard(row[lo : lo+size])
		}
		for i := range row {
			row[i] *= factor
		}
	})
	return nil
}

// walshHadamard multiplies a by the Hadamard matrix of 1 and -1, in
// log2(len(a)) rounds of butterflies.
func walshHadamard(a []float32) {
	for half := 1; half < len(a); half *= 2 {
		for lo := 0; lo < len(a); lo += 2 * half {
			for i := lo; i < lo+half; i++ {
				a[i], a[i+half] = a[i]+a[i+half], a[i]-a[i+half]
			}
		}
	}
}

func checkMatrix(x []float32, rows, cols int) error {
	if rows < 1 || cols < 1 || rows > len(x)/cols || rows*cols != len(x) {
		return fmt.Errorf("%d elements are no matrix of %d x %d", len(x), rows, cols)
	}
	if i := kernel.FirstNonFinite(x); i >= 0 {
		return fmt.Errorf("element %d is %v: only finite numbers can be quantized", i, x[i])
	}
	return nil
}
