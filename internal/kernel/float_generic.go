//go:build !amd64 || purego

package kernel

var vectorLevels [VNNI + 1]*vectorKernels
