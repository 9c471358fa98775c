package train

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// availableMemory returns the bytes that this process may use at most: those of
// the machine with its swap, or a limit below. ok is false if the system does
// not tell.
func availableMemory() (most int64, ok bool) {
	info, _ := os.ReadFile("/proc/meminfo")
	for _, name := range []string{"MemTotal:", "SwapTotal:"} {
		if _, rest, found := bytes.Cut(info, []byte(name)); found {
			line, _, _ := bytes.Cut(rest, []byte("kB"))
			if kib, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64); err == nil {
				most += kib << 10
			}
		}
	}
	ok = most > 0
	lower := func(limit int64) {
		if limit > 0 && (!ok || limit < most) {
			most, ok = limit, true
		}
	}
	var space syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_AS, &space) == nil {
		lower(int64(space.Cur)) // unlimited is negative
	}
	group, _ := os.ReadFile("/sys/fs/cgroup/memory.max")
	if limit, err := strconv.ParseInt(string(bytes.TrimSpace(group)), 10, 64); err == nil {
		lower(limit)
	}
	return most, ok
}
