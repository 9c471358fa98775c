package kernel

import (
	"fmt"
	"os"
	"slices"
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
	// AVX512 needs AVX2, AVX-512 F, BW, DQ and VL, and BMI2.
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
	l, err := startLevel(os.Getenv(levelVariable), Best())
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v; using %v\n", levelVariable, err, l)
	}
	active.Store(int32(l))
}

// startLevel returns the level called name, or best if that is lower or name
// is empty or unknown.
func startLevel(name string, best Level) (Level, error) {
	if name == "" {
		return best, nil
	}
	i := slices.Index(levelNames[:], name)
	if i < 0 {
		return best, fmt.Errorf("%q is not a level: use %s", name, strings.Join(levelNames[:], ", "))
	}
	return min(Level(i), best), nil
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
