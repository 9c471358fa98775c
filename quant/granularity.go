package quant

import (
	"fmt"
	"math"
	"slices"
)

// Granularity says which elements of a tensor share a scale.
type Granularity string

const (
	// PerTensor has one scale for all elements.
	PerTensor Granularity = "tensor"
	// PerChannel has one scale for each index of Config.Axis.
	PerChannel Granularity = "channel"
	// PerToken has one scale for each row, a row being the last dimension.
	PerToken Granularity = "token"
	// PerGroup has one scale for Config.Group consecutive elements of a row.
	PerGroup Granularity = "group"
	// PerBlock has one scale for each block of Config.Block elements of the
	// last two dimensions.
	PerBlock Granularity = "block"
)

// Granularities lists the granularities.
func Granularities() []Granularity {
	return []Granularity{PerTensor, PerChannel, PerToken, PerGroup, PerBlock}
}

func (c Config) validateGranularity() error {
	switch {
	case c.Granularity == PerGroup && c.Group < 1:
		return fmt.Errorf("group: %d elements make no group: use 32, 64 or 128", c.Group)
	case c.Granularity == PerBlock && min(c.Block[0], c.Block[1]) < 1:
		return fmt.Errorf("block: %d x %d elements make no block: use 128 x 128", c.Block[0], c.Block[1])
	}
	return oneOf("granularity", c.Granularity, Granularities())
}

// A Layout says which elements of a row-major tensor share a scale: each of
// Groups groups is Runs runs of Run consecutive elements, their beginnings
// Stride apart. Across groups lie side by side, and the next so many begin
// Jump elements later.
type Layout struct {
	Groups int `json:"groups"`
	Runs   int `json:"runs"`
	Run    int `json:"run"`
	Stride int `json:"stride"`
	Across int `json:"across"`
	Jump   int `json:"jump"`
}

// Size is the number of elements of a group.
func (l Layout) Size() int { return l.Runs * l.Run }

// Start is the first element of the group g.
func (l Layout) Start(g int) int { return g/l.Across*l.Jump + g%l.Across*l.Run }

// Layout returns which elements of a tensor of that shape share a scale. It
// fails on an empty shape, a dimension below 1, an axis that the shape does
// not have, and groups or blocks that do not divide it.
func (c Config) Layout(shape ...int) (Layout, error) {
	n, err := elements(shape)
	if err != nil {
		return Layout{}, err
	}
	last := shape[len(shape)-1]
	switch c.Granularity {
	case PerChannel:
		return c.channels(shape, n)
	case PerToken:
		return consecutive(n, last), nil
	case PerGroup:
		if c.Group < 1 || last%c.Group != 0 {
			return Layout{}, fmt.Errorf("groups of %d do not divide the last dimension of shape %s: choose a divisor of %d", c.Group, dims(shape), last)
		}
		return consecutive(n, c.Group), nil
	case PerBlock:
		return c.blocks(shape, n)
	}
	return consecutive(n, n), nil
}

func consecutive(n, size int) Layout {
	return Layout{Groups: n / size, Runs: 1, Run: size, Stride: size, Across: n / size}
}

func (c Config) channels(shape []int, n int) (Layout, error) {
	axis := c.Axis
	if axis < 0 {
		axis += len(shape)
	}
	if axis < 0 || axis >= len(shape) {
		return Layout{}, fmt.Errorf("axis %d is out of range for shape %s: use %d to %d", c.Axis, dims(shape), -len(shape), len(shape)-1)
	}
	inner := 1
	for _, d := range shape[axis+1:] {
		inner *= d
	}
	stride := shape[axis] * inner
	return Layout{Groups: shape[axis], Runs: n / stride, Run: inner, Stride: stride, Across: shape[axis]}, nil
}

func (c Config) blocks(shape []int, n int) (Layout, error) {
	if len(shape) < 2 {
		return Layout{}, fmt.Errorf("blocks of %d x %d need two dimensions, shape %s has one: use groups", c.Block[0], c.Block[1], dims(shape))
	}
	rows, cols := shape[len(shape)-2], shape[len(shape)-1]
	if min(c.Block[0], c.Block[1]) < 1 || rows%c.Block[0] != 0 || cols%c.Block[1] != 0 {
		return Layout{}, fmt.Errorf("blocks of %d x %d do not divide shape %s: choose divisors of %d and %d", c.Block[0], c.Block[1], dims(shape), rows, cols)
	}
	return Layout{
		Groups: n / (c.Block[0] * c.Block[1]),
		Runs:   c.Block[0], Run: c.Block[1], Stride: cols,
		Across: cols / c.Block[1], Jump: c.Block[0] * cols,
	}, nil
}

// elements returns the product of a shape.
func elements(shape []int) (int, error) {
	if len(shape) == 0 {
		return 0, fmt.Errorf("the shape is empty: give at least one dimension")
	}
	n := 1
	for _, d := range shape {
		if d < 1 || n > math.MaxInt/d {
			return 0, fmt.Errorf("shape %s: every dimension must be at least 1, and the product an int", dims(shape))
		}
		n *= d
	}
	return n, nil
}

// dims writes a shape for an error. It copies it, so that the list of a
// variadic call need not be allocated when there is no error.
func dims(shape []int) string { return fmt.Sprint(slices.Clone(shape)) }
