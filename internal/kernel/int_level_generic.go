//go:build !amd64 || purego

package kernel

var integerLevels [VNNI + 1]*integerKernels
