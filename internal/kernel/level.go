package kernel

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
)

// A Level names an instruction set that kernels are written for. Each level
// includes the ones before it; a kernel without code for a level uses the
// next lower one that has some.
type Level int32

const (
	// Portable is plain Go. It is compiled everywhere and is the
	// specification that the other levels are tested against.
	Portable Level = iota
	// AVX2 needs AVX2, FMA and F16C.
	AVX2
	// AVX512 needs AVX-512 F, BW, DQ and VL.
	AVX512
	// VNNI needs AVX512 and AVX-512 VNNI.
	VNNI
)

var levelNames = [...]string{"portable", "avx2", "avx512", "vnni"}

func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return fmt.Sprintf("Level(%d)", int32(l))
	}
	return levelNames[l]
}

// levelVariable is the environment variable that forces a lower level than
// the processor's best: TREFOIL_CPU=portable, avx2, avx512 or vnni.
const levelVariable = "TREFOIL_CPU"

var active atomic.Int32

func init() {
	l := Best()
	if name := os.Getenv(levelVariable); name != "" {
		forced, err := parseLevel(name)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s=%s: %v; using %v\n", levelVariable, name, err, l)
		} else {
			l = min(l, forced)
		}
	}
	active.Store(int32(l))
}

func parseLevel(name string) (Level, error) {
	for i, n := range levelNames {
		if name == n {
			return Level(i), nil
		}
	}
	return 0, fmt.Errorf("unknown level: use %s", strings.Join(levelNames[:], ", "))
}

// Active returns the level that kernels run at.
func Active() Level { return Level(active.Load()) }

// Best returns the highest level that this build and this processor have.
func Best() Level { return best }

// SetLevel makes kernels run at level l, or at Best() if that is lower, and
// returns the level that was active before. It is meant for tests and
// benchmarks, and must not run beside a kernel.
func SetLevel(l Level) (previous Level) {
	return Level(active.Swap(int32(max(Portable, min(l, Best())))))
}
