//go:build !amd64 || purego

package kernel

var dotTiles [VNNI + 1]dotTile
